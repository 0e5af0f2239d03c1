"""Network arrays to things with names.

In: what the engines gave, and how their pictures were cut. Out: detections without doubles, in
frame pixels; poses in frame pixels and camera axes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from edge_pose.boxes import suppress
from edge_pose.camera import camera_from_ray
from edge_pose.crop import Letterbox, apply_affine
from edge_pose.types import Crop, Detection, Intrinsics, RelativePose

_MOST_CANDIDATES: Final = 200
"""Boxes that enter the suppression of doubles; no picture shows more people than a tenth of it."""


def decode_detections(
    outputs: Mapping[str, np.ndarray],
    fitted: Letterbox,
    *,
    frame_size_px: tuple[int, int],
    min_score: float,
    max_overlap: float,
) -> list[Detection]:
    """Turn the detector's boxes into people, best first; `frame_size_px` is width, height."""
    scores = outputs["scores"][0]
    likely = np.flatnonzero(scores >= min_score)
    if likely.size == 0:
        return []
    order = likely[np.argsort(-scores[likely], kind="stable")][:_MOST_CANDIDATES]
    corners = outputs["boxes_px"][0][order].reshape(-1, 2, 2)
    corners = apply_affine(fitted.image_from_input, corners)
    limit = np.array(frame_size_px, np.float32) - 1.0
    boxes = np.clip(corners, 0.0, limit).reshape(-1, 4)
    kept = suppress(boxes, max_overlap=max_overlap)
    return [
        Detection(box_px=boxes[index], score=float(scores[order[index]]))
        for index in kept
        if boxes[index, 2] > boxes[index, 0] and boxes[index, 3] > boxes[index, 1]
    ]


def decode_poses(
    outputs: Mapping[str, np.ndarray], crops: Sequence[Crop], intrinsics: Intrinsics
) -> list[RelativePose]:
    """Give one pose a crop: frame pixels, and metres turned from its own ray to camera axes."""
    poses = []
    for index, crop in enumerate(crops):
        middle = (crop.image.shape[0] - 1) / 2.0
        centre_px = crop.image_from_crop @ np.array([middle, middle, 1.0])
        turned = outputs["joints_m"][index] @ camera_from_ray(centre_px, intrinsics).T
        poses.append(
            RelativePose(
                joints_px=apply_affine(crop.image_from_crop, outputs["joints_px"][index]),
                joints_m=turned.astype(np.float32),
                scores=outputs["scores"][index],
                presence=float(outputs["presence"][index]),
            )
        )
    return poses
