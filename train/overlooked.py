"""People whose heads somebody drew and whom no teacher boxed, as a finished pose network sees them.

In: labelled pictures and a bundle, whose pose network looks below every such head.  Out: boxes of
those whom it is sure of and whose face is where the head was drawn.  In crowds teachers overlook
every third person; a head in the right place tells a body from a guess.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose import camera
from edge_pose.boxes import clipped, suppress
from edge_pose.bundle import Bundle
from edge_pose.crop import take_crop
from edge_pose.decode import decode_poses
from edge_pose.engines import Engine
from edge_pose.inference import infer
from edge_pose.likeness import best_seen, box_of
from edge_pose.region import FIRST_LOOKS, Region, region_of_box
from edge_pose.skeleton import INDEX
from edge_pose.types import RelativePose
from train.drawn_heads import bodies_below, known_people, overlooked_heads, united
from train.labelled_image import LabelledImage

_SURE: Final = 0.5
"""Least evidence (`edge_pose.likeness.best_seen`) of somebody: chairs have a quarter."""
_FACE_OFF: Final = 0.6
"""In sides of the head: how far from its middle the face may be seen."""
_JOINT_SCORE: Final = 0.3
_FACE: Final = [INDEX[name] for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]
_SAME_IOU: Final = 0.5
"""Heads whose bodies share more are one person's: a head and the helmet on it."""

_Box = Float32[np.ndarray, "4"]


def find_overlooked(
    bundle: Bundle, engine: Engine, image: LabelledImage
) -> Float32[np.ndarray, "overlooked 4"]:
    """Return boxes of what is in sight of whom the teachers overlooked, the surest first."""
    people_px = known_people(image)
    heads = list(overlooked_heads(image, people_px))
    if not heads:
        return np.zeros((0, 4), np.float32)
    pixels = image.image()
    found = [seen for head in heads if (seen := _body_of(head, pixels, bundle, engine))]
    found.sort(key=lambda seen: -seen[0])
    boxes = np.array([box for _, box in found], np.float32).reshape(-1, 4)
    boxes = clipped(
        boxes[suppress(boxes, max_overlap=_SAME_IOU)], (image.width_px, image.height_px)
    )
    return united(people_px, boxes)[len(people_px) :]


def _body_of(
    head_px: _Box, pixels: UInt8[np.ndarray, "height width 3"], bundle: Bundle, engine: Engine
) -> tuple[float, _Box] | None:
    """Look below a head; return the evidence and the box of whoever has a face there."""
    regions = [region_of_box(body) for body in bodies_below(head_px)]
    looks: list[RelativePose] = []
    for _ in range(FIRST_LOOKS):
        looks += _see(pixels, regions, bundle, engine)
        regions = [pose.region for pose in looks[-len(regions) :]]
    best = max((pose for pose in looks if _faces(pose, head_px)), key=best_seen, default=None)
    if best is None or best_seen(best) < _SURE:
        return None
    body_px = box_of(best, _JOINT_SCORE)
    low, high = np.minimum(body_px[:2], head_px[:2]), np.maximum(body_px[2:], head_px[2:])
    return best_seen(best), np.concatenate([low, high])


def _see(
    pixels: UInt8[np.ndarray, "height width 3"],
    regions: Sequence[Region],
    bundle: Bundle,
    engine: Engine,
) -> list[RelativePose]:
    network = bundle.manifest.networks.pose
    crops = [take_crop(pixels, region, side_px=network.width_px) for region in regions]
    outputs = infer(engine, network, [crop.image for crop in crops])
    height, width = pixels.shape[:2]
    reach = bundle.manifest.crop.reach
    return decode_poses(outputs, crops, camera.assume(width, height), reach=reach)


def _faces(pose: RelativePose, head_px: _Box) -> bool:
    """Tell whether a pose's face is where a head was drawn."""
    weights = pose.scores[_FACE] + 1e-6
    face_px = np.average(pose.joints_px[_FACE], axis=0, weights=weights)
    side_px = float((head_px[2:] - head_px[:2]).max())
    off_px = np.abs(face_px - (head_px[:2] + head_px[2:]) / 2).max()
    return bool(off_px <= _FACE_OFF * side_px)
