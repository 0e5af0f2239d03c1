"""Network arrays to things with names: detections after suppression of doubles, poses in frame pixels and camera axes."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.camera import camera_from_ray
from edge_pose.crop import Letterbox, apply_affine
from edge_pose.types import Crop, Detection, Intrinsics, RelativePose

_MOST_CANDIDATES = 200


def decode_detections(
    outputs: Mapping[str, np.ndarray],
    fitted: Letterbox,
    *,
    frame_size_px: tuple[int, int],
    min_score: float,
    max_overlap: float,
) -> list[Detection]:
    """Boxes of the detector as people in frame pixels, best first; `frame_size_px` is width, height."""
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
    """One pose a crop: pixels of the frame, metres turned from the crop's own ray to camera axes."""
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


def overlaps(
    boxes_a: Float32[np.ndarray, "a 4"], boxes_b: Float32[np.ndarray, "b 4"]
) -> Float64[np.ndarray, "a b"]:
    """Intersection over union of every pair of boxes."""
    first, second = boxes_a.astype(np.float64)[:, None], boxes_b.astype(np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    common = np.prod(np.clip(sides, 0.0, None), axis=-1)
    areas = np.prod(first[..., 2:] - first[..., :2], axis=-1) + np.prod(
        second[..., 2:] - second[..., :2], axis=-1
    )
    return common / np.maximum(areas - common, 1e-9)


def suppress(boxes_px: Float32[np.ndarray, "boxes 4"], *, max_overlap: float) -> list[int]:
    """Drop boxes that cover a better one; the boxes come best first."""
    overlap = overlaps(boxes_px, boxes_px)
    alive = np.ones(len(boxes_px), bool)
    kept = []
    for index in range(len(boxes_px)):
        if alive[index]:
            kept.append(index)
            alive &= overlap[index] <= max_overlap
    return kept
