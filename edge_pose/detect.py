"""Who is in a frame: views of it through the detector, boxes in frame pixels out.

In: a frame's pixels and the views in which to look (`edge_pose/sweep.py`).  Out: detections, best
first, everybody once.  Whoever wants to know what took how long hands in `timed`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from edge_pose.clock import Timed, untimed
from edge_pose.crop import letterbox
from edge_pose.decode import decode_detections, merged
from edge_pose.engines import Engine
from edge_pose.inference import infer
from edge_pose.manifest import NetworkSpec
from edge_pose.sweep import View
from edge_pose.types import Detection


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSettings:
    """What counts as a person."""

    score_min: float = 0.4
    overlap_max: float = 0.6
    """Boxes that share more (intersection over union) show one person."""


def find_people(
    engine: Engine,
    network: NetworkSpec,
    image: UInt8[np.ndarray, "height width 3"],
    views: Sequence[View],
    settings: DetectSettings,
    *,
    timed: Timed = untimed,
) -> list[Detection]:
    """Look for people in every view of a frame; who is seen in two is one."""
    found = [
        detection
        for view in views
        for detection in _find_in(engine, network, image, view, settings, timed=timed)
    ]
    with timed("decode"):
        return merged(found, max_overlap=settings.overlap_max)


def _find_in(
    engine: Engine,
    network: NetworkSpec,
    image: UInt8[np.ndarray, "height width 3"],
    view: View,
    settings: DetectSettings,
    *,
    timed: Timed,
) -> list[Detection]:
    x0, y0, x1, y1 = (int(value) for value in view)
    with timed("crop"):
        fitted = letterbox(
            image[y0:y1, x0:x1],
            width_px=network.width_px,
            height_px=network.height_px,
            pad_value=network.pad_value or 0.0,
        )
    with timed("detect"):
        outputs = infer(engine, network, [fitted.image])
    height, width = image.shape[:2]
    with timed("decode"):
        return decode_detections(
            outputs,
            fitted,
            view=view,
            frame_size_px=(width, height),
            min_score=settings.score_min,
            max_overlap=settings.overlap_max,
        )
