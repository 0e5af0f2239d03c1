"""Who is in a frame: views of it through the detector, boxes in frame pixels out.

In: a frame's pixels and the views in which to look (`edge_pose/sweep.py`).  Out: detections, best
first, everybody once.  Whoever wants to know what took how long hands in `timed`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from edge_pose.clock import Timed, untimed
from edge_pose.crop import Letterbox, letterbox
from edge_pose.decode import decode_detections, merged
from edge_pose.engines import Answer, Engine
from edge_pose.inference import begin_batch
from edge_pose.manifest import NetworkSpec
from edge_pose.sweep import View
from edge_pose.types import Detection


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSettings:
    """What counts as a person."""

    score_min: float = 0.4
    overlap_max: float = 0.6
    """Boxes that share more (intersection over union) show one person."""


Found = Callable[[], list[Detection]]
"""Waits for the detector, and gives whom it found; to be called once."""


def find_people(
    engine: Engine,
    network: NetworkSpec,
    image: UInt8[np.ndarray, "height width 3"],
    views: Sequence[View],
    settings: DetectSettings,
) -> list[Detection]:
    """Look for people in every view of a frame; who is seen in two is one."""
    return begin_to_find_people(engine, network, image, views, settings, alone=True)()


def begin_to_find_people(
    engine: Engine,
    network: NetworkSpec,
    image: UInt8[np.ndarray, "height width 3"],
    views: Sequence[View],
    settings: DetectSettings,
    *,
    alone: bool,
    timed: Timed = untimed,
) -> Found:
    """Have the detector work beside the caller where its engine can; `alone`: nothing else will."""
    alone = alone and len(views) == 1
    begun = [_begin_in(engine, network, image, view, alone=alone, timed=timed) for view in views]
    height, width = image.shape[:2]

    def found() -> list[Detection]:
        with timed("detect"):
            outputs = [answer() for _, answer in begun]
        with timed("decode"):
            detections = [
                detection
                for view, (fitted, _), output in zip(views, begun, outputs, strict=True)
                for detection in decode_detections(
                    output,
                    fitted,
                    view=view,
                    frame_size_px=(width, height),
                    min_score=settings.score_min,
                    max_overlap=settings.overlap_max,
                )
            ]
            return merged(detections, max_overlap=settings.overlap_max)

    return found


def _begin_in(
    engine: Engine,
    network: NetworkSpec,
    image: UInt8[np.ndarray, "height width 3"],
    view: View,
    *,
    alone: bool,
    timed: Timed,
) -> tuple[Letterbox, Answer]:
    x0, y0, x1, y1 = (int(value) for value in view)
    with timed("crop"):
        fitted = letterbox(
            image[y0:y1, x0:x1],
            width_px=network.width_px,
            height_px=network.height_px,
            pad_value=network.pad_value or 0.0,
        )
    with timed("detect"):
        return fitted, begin_batch(engine, network, [fitted.image], alone=alone)
