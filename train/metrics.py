"""Numbers that say how far poses are from the truth, single errors before means.

In: predicted and true joints [frames, joints, 2 or 3] with a mask of the joints that count.  Out:
one error a frame and joint (NaN where the mask is false), so that the same array gives the mean,
the table by joint, the visible apart from the occluded, and an interval.  Positions come in metres
and errors leave in millimetres; pictures in pixels.

Definitions.  MPJPE: mean distance after both roots were moved to the origin; the root is the mean
of the joints named, for the body the two hips.  PA-MPJPE: after the similarity (rotation with
determinant +1, one scale, one shift) that fits best in the least-squares sense.  N-MPJPE:
root-aligned, then one scale.  PCK3D: share of joints nearer than 150 mm.  AUC: mean of PCK3D over
linspace(0, 150, 31) mm.  MPJVE and acceleration error: distance between first and second
differences over consecutive frames, in mm/frame and mm/frame²; the frame rate belongs beside them.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from edge_pose.skeleton import INDEX

MM_PER_M: Final = 1000.0
MID_HIP: Final = (INDEX["left_hip"], INDEX["right_hip"])
MID_SHOULDER: Final = (INDEX["left_shoulder"], INDEX["right_shoulder"])
PCK3D_MM: Final = 150.0
LIKELY: Final = 0.3
"""A label with a weight counts as one from this weight on: a teacher's joint, for example."""
AUC_STEPS: Final = 31
FEWEST_FOR_SIMILARITY: Final = 4
"""Three points always lie in a plane and nearly always fit; four can disagree."""

Positions = Float[np.ndarray, "frames joints 3"]
Pixels = Float[np.ndarray, "frames joints 2"]
Counted = Bool[np.ndarray, "frames joints"]
Errors = Float[np.ndarray, "frames joints"]


def root_aligned(joints_m: Positions, root: tuple[int, ...] = MID_HIP) -> Positions:
    """Move the mean of the root joints to the origin."""
    return joints_m - joints_m[:, list(root)].mean(axis=1, keepdims=True)


def position_errors_mm(
    predicted_m: Positions, truth_m: Positions, counted: Counted, root: tuple[int, ...] = MID_HIP
) -> Errors:
    """Measure distances after root alignment; frames whose root does not count are left out."""
    errors_m = np.linalg.norm(root_aligned(predicted_m, root) - root_aligned(truth_m, root), axis=2)
    return _where(errors_m * MM_PER_M, counted & counted[:, list(root)].all(axis=1, keepdims=True))


def scaled_errors_mm(
    predicted_m: Positions, truth_m: Positions, counted: Counted, root: tuple[int, ...] = MID_HIP
) -> Errors:
    """Measure like `position_errors_mm`, each prediction at the scale that fits (N-MPJPE)."""
    rooted = counted & counted[:, list(root)].all(axis=1, keepdims=True)
    predicted, truth = root_aligned(predicted_m, root), root_aligned(truth_m, root)
    kept = rooted[:, :, None]
    overlap = np.where(kept, predicted * truth, 0).sum(axis=(1, 2))
    power = np.where(kept, predicted**2, 0).sum(axis=(1, 2))
    scale = np.divide(overlap, power, out=np.ones_like(overlap), where=power > 0)
    errors_m = np.linalg.norm(predicted * scale[:, None, None] - truth, axis=2)
    return _where(errors_m * MM_PER_M, rooted)


def fit_similarity(
    points: Float[np.ndarray, "n 3"], targets: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "3 3"], float, Float[np.ndarray, "3"]]:
    """Find rotation, scale and shift that bring points to targets; never a reflection.

    Closed form of Umeyama 1991, doi:10.1109/34.88573.
    """
    middle, aim = points.mean(axis=0), targets.mean(axis=0)
    centred, aimed = points - middle, targets - aim
    left, strengths, right = np.linalg.svd(aimed.T @ centred)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = (left * signs) @ right
    power = float((centred**2).sum())
    scale = float((strengths * signs).sum()) / power if power > 0 else 1.0
    return rotation, scale, aim - scale * rotation @ middle


def aligned_errors_mm(predicted_m: Positions, truth_m: Positions, counted: Counted) -> Errors:
    """Measure every joint's distance after the best similarity of its frame (PA-MPJPE).

    Frames with fewer than four joints that count are left out.
    """
    errors_m = np.full(counted.shape, np.nan)
    for frame in np.flatnonzero(counted.sum(axis=1) >= FEWEST_FOR_SIMILARITY):
        kept = counted[frame]
        points = predicted_m[frame, kept].astype(np.float64)
        targets = truth_m[frame, kept].astype(np.float64)
        rotation, scale, shift = fit_similarity(points, targets)
        errors_m[frame, kept] = np.linalg.norm(
            scale * points @ rotation.T + shift - targets, axis=1
        )
    return errors_m * MM_PER_M


def speed_errors_mm(
    predicted_m: Positions, truth_m: Positions, counted: Counted, root: tuple[int, ...] = MID_HIP
) -> Float[np.ndarray, "steps joints"]:
    """Measure the error of root-relative movement between consecutive frames, mm/frame (MPJVE)."""
    return _difference_errors_mm(predicted_m, truth_m, counted, root, order=1)


def acceleration_errors_mm(
    predicted_m: Positions, truth_m: Positions, counted: Counted, root: tuple[int, ...] = MID_HIP
) -> Float[np.ndarray, "steps joints"]:
    """Measure the error of root-relative acceleration over three consecutive frames, mm/frame²."""
    return _difference_errors_mm(predicted_m, truth_m, counted, root, order=2)


def pixel_errors_px(predicted_px: Pixels, truth_px: Pixels, counted: Counted) -> Errors:
    """Measure every joint's distance in the picture."""
    return _where(np.linalg.norm(predicted_px - truth_px, axis=2), counted)


def torso_px(joints_px: Pixels) -> Float[np.ndarray, "frames"]:
    """Measure from mid-shoulder to mid-hip, the ruler for whole bodies."""
    spine = joints_px[:, list(MID_SHOULDER)].mean(axis=1) - joints_px[:, list(MID_HIP)].mean(axis=1)
    return np.linalg.norm(spine, axis=1)


def box_px(joints_px: Pixels, counted: Counted) -> Float[np.ndarray, "frames"]:
    """Measure the longer side of the box round the counted joints, the ruler without hips."""
    highest = np.where(counted[:, :, None], joints_px, -np.inf).max(axis=1)
    lowest = np.where(counted[:, :, None], joints_px, np.inf).min(axis=1)
    side = (highest - lowest).max(axis=1)
    return np.where(counted.any(axis=1), side, np.nan)


def relative_errors(errors_px: Errors, ruler_px: Float[np.ndarray, "frames"]) -> Errors:
    """Express pixel errors in rulers; a frame whose ruler has no length has no error."""
    usable = np.where(ruler_px > 0, ruler_px, np.nan)
    return errors_px / usable[:, None]


def correct_share(errors: Float[np.ndarray, "*shape"], limit: float) -> float:
    """Share of the measured errors at or below the limit (PCK); an infinite one is a miss."""
    measured = errors[~np.isnan(errors)]
    return float((measured <= limit).mean()) if measured.size else float("nan")


def area_under_curve(errors_mm: Float[np.ndarray, "*shape"], limit_mm: float = PCK3D_MM) -> float:
    """Mean of the correct share over 31 evenly spaced limits from zero to `limit_mm`."""
    limits_mm = np.linspace(0.0, limit_mm, AUC_STEPS)
    return float(np.mean([correct_share(errors_mm, limit) for limit in limits_mm]))


def mean_error(errors: Float[np.ndarray, "*shape"]) -> float:
    """Mean over everything measured; NaN if nothing was."""
    measured = errors[np.isfinite(errors)]
    return float(measured.mean()) if measured.size else float("nan")


def visible_and_occluded(errors: Errors, visible: Counted) -> tuple[Errors, Errors]:
    """Split errors by whether the joint could be seen."""
    return _where(errors, visible), _where(errors, ~visible)


def _where(errors: Errors, counted: Counted) -> Errors:
    return np.where(counted, errors.astype(np.float64), np.nan)


def _difference_errors_mm(
    predicted_m: Positions,
    truth_m: Positions,
    counted: Counted,
    root: tuple[int, ...],
    *,
    order: int,
) -> Float[np.ndarray, "steps joints"]:
    rooted = counted & counted[:, list(root)].all(axis=1, keepdims=True)
    difference_m = root_aligned(predicted_m, root) - root_aligned(truth_m, root)
    errors_m = np.linalg.norm(np.diff(difference_m, n=order, axis=0), axis=2)
    spans = np.lib.stride_tricks.sliding_window_view(rooted, order + 1, axis=0).all(axis=-1)
    return np.where(spans, errors_m * MM_PER_M, np.nan)
