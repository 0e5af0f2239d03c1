"""Network arrays to things with names.

In: what the engines gave, and how their pictures were cut. Out: detections without doubles, in
frame pixels; poses in frame pixels and camera axes, with the region of the body.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.appearance import Appearance, appearance_of, torso_of
from edge_pose.boxes import clipped, suppress
from edge_pose.camera import camera_from_ray
from edge_pose.crop import Letterbox, apply_affine
from edge_pose.region import region_of_body
from edge_pose.sweep import View, is_cut
from edge_pose.types import Detection, Intrinsics, Look, RelativePose

_MOST_CANDIDATES: Final = 200
"""Boxes that enter the suppression of doubles; no picture shows more people than a tenth of it."""


def decode_detections(
    outputs: Mapping[str, np.ndarray],
    fitted: Letterbox,
    *,
    view: View,
    frame_size_px: tuple[int, int],
    min_score: float,
    max_overlap: float,
) -> list[Detection]:
    """Turn the detector's boxes into people, best first; `frame_size_px` is width, height.

    `fitted` shows the `view` of the frame.  A box that the view's edge cuts is left to other views.
    """
    scores = outputs["scores"][0]
    likely = np.flatnonzero(scores >= min_score)
    if likely.size == 0:
        return []
    order = likely[np.argsort(-scores[likely], kind="stable")][:_MOST_CANDIDATES]
    corners = outputs["boxes_px"][0][order].reshape(-1, 2, 2)
    corners = apply_affine(fitted.image_from_input, corners) + view[:2]
    boxes = clipped(corners.reshape(-1, 4), frame_size_px)
    cut = is_cut(boxes, view, frame_size_px)
    kept = suppress(boxes, max_overlap=max_overlap)
    return [
        Detection(box_px=boxes[index], score=float(scores[order[index]]))
        for index in kept
        if not cut[index]
        and boxes[index, 2] > boxes[index, 0]
        and boxes[index, 3] > boxes[index, 1]
    ]


def merged(detections: Sequence[Detection], *, max_overlap: float) -> list[Detection]:
    """Join what several views showed, best first, everybody once."""
    best_first = sorted(detections, key=lambda detection: -detection.score)
    boxes = np.array([detection.box_px for detection in best_first], np.float32).reshape(-1, 4)
    return [best_first[index] for index in suppress(boxes, max_overlap=max_overlap)]


def decode_poses(
    outputs: Mapping[str, np.ndarray],
    crops: Sequence[Look],
    intrinsics: Intrinsics,
    *,
    reach: float,
) -> list[RelativePose]:
    """Give one pose a crop: frame pixels, and metres turned from the crop to camera axes."""
    poses = []
    for index, crop in enumerate(crops):
        middle = (crop.side_px - 1) / 2.0
        centre_px = crop.image_from_crop @ np.array([middle, middle, 1.0])
        camera_from_crop = camera_from_ray(centre_px, intrinsics) @ _turn(crop.image_from_crop)
        turned = outputs["joints_m"][index] @ camera_from_crop.T
        joints_px, scores = outputs["joints_px"][index], outputs["scores"][index]
        points_px = apply_affine(crop.image_from_crop, outputs["reach_px"][index])
        poses.append(
            RelativePose(
                joints_px=apply_affine(crop.image_from_crop, joints_px),
                joints_m=turned.astype(np.float32),
                scores=scores,
                presence=float(outputs["presence"][index]),
                region=region_of_body(points_px, reach),
                appearance=_appearance(crop, joints_px, scores),
            )
        )
    return poses


def _appearance(
    look: Look, joints_px: Float32[np.ndarray, "joints 2"], scores: Float32[np.ndarray, "joints"]
) -> Appearance | None:
    """Describe the clothes, and ask for no more pixels than that takes."""
    torso_px = torso_of(joints_px, scores)
    if torso_px is None:
        return None
    pixels, begins_px = look.around(torso_px)
    return appearance_of(pixels, torso_px - np.array(begins_px, np.float32))


def _turn(image_from_crop: Float64[np.ndarray, "2 3"]) -> Float64[np.ndarray, "3 3"]:
    """Return the rotation about the line of sight by which a crop was turned."""
    turn = np.eye(3)
    turn[:2, :2] = image_from_crop[:, :2] / np.linalg.norm(image_from_crop[:, 0])
    return turn
