"""2D and 3D error on the four-camera desk session, ours against MediaPipe lite, full and heavy.

    python -m benchmarks.desk --data DIR

In: the unpacked sessions.  Out: Markdown tables.  The reference is MediaPipe heavy, detecting anew
in every picture of every camera, triangulated where at least three cameras agree (`train.desk`); so
`heavy` marks its own homework in 2D, and a single camera's mistake that the other three outvote
counts against whoever makes it.  One sample is one picture of one camera.  A joint counts if the
reference has it and it lies inside that picture, seen or hidden.

Joints: nose, shoulders, elbows, wrists.  Root: middle of the shoulders, since the desk hides the
hips.  Errors are compared on the pictures in which every estimator found somebody; shares within a
limit count a picture without a find as wrong.  Intervals: 95 % bootstrap over whole seconds, all
cameras of a second together.
"""

import argparse
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int

from benchmarks import ours, rivals
from benchmarks.clip_poses import ClipPoses
from edge_pose.errors import EdgePoseError
from edge_pose.skeleton import JOINTS
from train import desk
from train.confidence import (
    bootstrap_difference,
    bootstrap_mean,
    joint_table,
    markdown_table,
)
from train.metrics import (
    MID_SHOULDER,
    MM_PER_M,
    PCK3D_MM,
    aligned_errors_mm,
    area_under_curve,
    box_px,
    correct_share,
    pixel_errors_px,
    position_errors_mm,
    relative_errors,
    scaled_errors_mm,
)

CACHE: Final = rivals.CACHE.parent / "desk"
FRAMES_PER_S: Final = 6
PCK_2D: Final = 0.1
"""Of the longer side of the box round the reference's joints."""
YARDSTICK: Final = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The reference as every picture should show it; one row a picture."""

    joints_m: Float64[np.ndarray, "pictures joints 3"]
    joints_px: Float64[np.ndarray, "pictures joints 2"]
    counted: Bool[np.ndarray, "pictures joints"]
    seconds: Int[np.ndarray, "pictures"]
    """Which second of which session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Single errors of one estimator, NaN where it found nobody."""

    found: Bool[np.ndarray, "pictures"]
    rooted_mm: Float64[np.ndarray, "pictures joints"]
    scaled_mm: Float64[np.ndarray, "pictures joints"]
    aligned_mm: Float64[np.ndarray, "pictures joints"]
    picture_px: Float64[np.ndarray, "pictures joints"]
    picture_boxes: Float64[np.ndarray, "pictures joints"]


def reference_of(
    session: desk.Session, interpreter: Path, *, without: int | None = None
) -> desk.Reference:
    """Triangulate what the heavy model sees, every picture for itself; or without one camera."""
    seen = [
        rivals.watch_cached(interpreter, desk.upright_clip(view, CACHE), "heavy", anew=True)
        for view in session.views
    ]
    scores = np.stack([poses.scores for poses in seen])
    if without is not None:
        scores[without] = 0.0
    return desk.refer(session, np.stack([poses.joints_px for poses in seen]), scores)


def truth_of(sessions: list[desk.Session], references: list[desk.Reference]) -> Truth:
    """Show the references to every camera."""
    in_view_m, pixels_px, counted, seconds = [], [], [], []
    for number, (session, reference) in enumerate(zip(sessions, references, strict=True)):
        for view in session.views:
            joints_m, joints_px = desk.seen_by(view, reference.joints_m)
            in_view_m.append(joints_m)
            pixels_px.append(joints_px)
            counted.append(desk.inside(view, joints_px))
            seconds.append(number * 1000 + np.arange(session.frames) // FRAMES_PER_S)
    return Truth(
        joints_m=np.concatenate(in_view_m),
        joints_px=np.concatenate(pixels_px),
        counted=np.concatenate(counted),
        seconds=np.concatenate(seconds),
    )


def truth_by_others(sessions: list[desk.Session], interpreter: Path) -> Truth:
    """Show to every camera what all others agree on, so that `heavy` marks no picture of its own.

    What it sees in a picture is no part of the reference there; mistakes that it makes in all other
    cameras alike are.  All sessions have as many cameras.
    """
    views = range(len(sessions[0].views))
    truths = [
        truth_of(sessions, [reference_of(one, interpreter, without=view) for one in sessions])
        for view in views
    ]
    view_of = np.concatenate([np.repeat(views, session.frames) for session in sessions])
    pictures = np.arange(len(view_of))
    return Truth(
        **{
            field.name: np.stack([getattr(truth, field.name) for truth in truths])[
                view_of, pictures
            ]
            for field in fields(Truth)
        }
    )


def measure(poses: list[ClipPoses], truth: Truth) -> Measured:
    """Compare an estimator's clips, in the order of the truth, with the truth."""
    found = np.concatenate([clip.found for clip in poses])
    joints_m = np.concatenate([clip.joints_m for clip in poses])
    joints_px = np.concatenate([clip.joints_px for clip in poses])
    counted = truth.counted & found[:, None] & np.isfinite(joints_m).all(axis=2)
    picture_px = pixel_errors_px(joints_px, truth.joints_px, counted)
    return Measured(
        found=found,
        rooted_mm=position_errors_mm(joints_m, truth.joints_m, counted, MID_SHOULDER),
        scaled_mm=scaled_errors_mm(joints_m, truth.joints_m, counted, MID_SHOULDER),
        aligned_mm=aligned_errors_mm(joints_m, truth.joints_m, counted),
        picture_px=picture_px,
        picture_boxes=relative_errors(picture_px, box_px(truth.joints_px, truth.counted)),
    )


def our_poses(session: desk.Session, *options: str) -> list[ClipPoses]:
    """Run the appliance over every camera, with the camera's own focal length."""
    poses = []
    for view in session.views:
        focal_px = f"{desk.upright_matrix(view)[0, 0]:.2f}"
        clip = desk.upright_clip(view, CACHE)
        seen, _ = ours.watch(clip, "--fx", focal_px, *options, frames=session.frames)
        poses.append(seen)
    return poses


def rival_poses(
    session: desk.Session, interpreter: Path, model: str, *, anew: bool
) -> list[ClipPoses]:
    """Run a rival over every camera."""
    return [
        rivals.watch_cached(interpreter, desk.upright_clip(view, CACHE), model, anew=anew)
        for view in session.views
    ]


def reference_table(sessions: list[desk.Session], references: list[desk.Reference]) -> str:
    """Say how good the reference is, joint by joint."""
    rows = []
    for session, reference in zip(sessions, references, strict=True):
        for joint in desk.UPPER_BODY:
            kept = np.isfinite(reference.joints_m[:, joint, 0])
            misses_px = reference.reprojection_px[:, joint][reference.agreeing[:, joint]]
            views = reference.agreeing[:, joint].sum(axis=1)[kept]
            deviation_mm = reference.deviation_m[kept, joint] * MM_PER_M
            rows.append(
                (
                    session.name,
                    JOINTS[joint],
                    f"{kept.sum()} of {session.frames}",
                    *(
                        (
                            f"{(views == len(session.views)).sum()}",
                            f"{np.median(misses_px):.1f}",
                            f"{np.quantile(misses_px, 0.9):.1f}",
                            f"{np.median(deviation_mm):.1f}",
                        )
                        if kept.any()
                        else ("-", "-", "-", "-")
                    ),
                )
            )
    head = ("session", "joint", "moments", "by all views", "median px", "p90 px", "mm for 1 px")
    return markdown_table(head, rows)


def rooted(truth: Truth) -> Bool[np.ndarray, "pictures"]:
    """Tell which pictures have a reference root."""
    return np.asarray(truth.counted[:, list(MID_SHOULDER)].all(axis=1))


def share_within(
    errors: Float64[np.ndarray, "pictures joints"],
    measured: Measured,
    expected: Bool[np.ndarray, "pictures joints"],
    limit: float,
) -> float:
    """Share of the expected joints within a limit; where nobody was found they are wrong."""
    counted = np.where(measured.found[:, None], errors, np.inf)
    return 100 * correct_share(counted[expected], limit)


def error_tables(measured: dict[str, Measured], truth: Truth) -> str:
    """Write the 3D and the 2D table and one by joint."""
    everyone = np.all([estimator.found for estimator in measured.values()], axis=0)[:, None]
    with_root = truth.counted & rooted(truth)[:, None]
    yardstick = measured.get(YARDSTICK)
    spatial, flat = [], []
    for name, estimator in measured.items():
        in_space = np.where(everyone, estimator.rooted_mm, np.nan)
        aligned = np.where(everyone, estimator.aligned_mm, np.nan)
        in_picture = np.where(everyone, estimator.picture_px, np.nan)
        boxes = np.where(everyone, estimator.picture_boxes, np.nan)
        gap_mm = gap_aligned_mm = gap_px = "-"
        if yardstick is not None and name != YARDSTICK:
            gap_mm = bootstrap_difference(in_space, yardstick.rooted_mm, truth.seconds).text()
            gap_aligned_mm = bootstrap_difference(
                aligned, yardstick.aligned_mm, truth.seconds
            ).text()
            gap_px = bootstrap_difference(in_picture, yardstick.picture_px, truth.seconds).text()
        missed_mm = np.where(estimator.found[:, None], estimator.rooted_mm, np.inf)
        spatial.append(
            (
                name,
                bootstrap_mean(in_space, truth.seconds).text(),
                gap_mm,
                bootstrap_mean(aligned, truth.seconds).text(),
                gap_aligned_mm,
                bootstrap_mean(
                    np.where(everyone, estimator.scaled_mm, np.nan), truth.seconds
                ).text(),
                f"{share_within(estimator.rooted_mm, estimator, with_root, PCK3D_MM):.1f}",
                f"{100 * area_under_curve(missed_mm[with_root]):.1f}",
            )
        )
        flat.append(
            (
                name,
                f"{100 * estimator.found[truth.counted.any(axis=1)].mean():.1f}",
                bootstrap_mean(in_picture, truth.seconds).text(),
                gap_px,
                f"{np.nanmedian(in_picture):.1f}",
                bootstrap_mean(boxes * 100, truth.seconds).text(),
                f"{share_within(estimator.picture_boxes, estimator, truth.counted, PCK_2D):.1f}",
            )
        )
    joints = [JOINTS[joint] for joint in desk.UPPER_BODY]
    columns = {
        f"{name} {unit}": np.where(everyone, errors, np.nan)[:, list(desk.UPPER_BODY)]
        for name, estimator in measured.items()
        for unit, errors in (("mm", estimator.rooted_mm), ("px", estimator.picture_px))
    }
    return "\n\n".join(
        (
            markdown_table(
                (
                    "3D",
                    "MPJPE mm",
                    f"minus {YARDSTICK}",
                    "PA-MPJPE mm",
                    f"minus {YARDSTICK}",
                    "N-MPJPE mm",
                    "PCK3D@150 %",
                    "AUC %",
                ),
                spatial,
            ),
            markdown_table(
                (
                    "2D",
                    "found %",
                    "mean px",
                    f"minus {YARDSTICK}",
                    "median px",
                    "% of box",
                    "PCK@0.1 box %",
                ),
                flat,
            ),
            joint_table(joints, columns, truth.seconds),
        )
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.desk", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the unpacked sessions")
    parser.add_argument("--models", nargs="+", choices=rivals.MODELS, default=list(rivals.MODELS))
    parser.add_argument("--rivals-only", action="store_true", help="do not run edge-pose")
    parser.add_argument("--anew", action="store_true", help="rivals detect anew in every frame")
    parser.add_argument(
        "--bundle",
        nargs="+",
        type=Path,
        help="model bundles for edge-pose, if not the one that ships; several are compared on the "
        "pictures on which all of them find somebody",
    )
    arguments = parser.parse_args()
    bundles: list[Path] = arguments.bundle or []
    wanted: dict[str, tuple[str, ...]] = {
        f"ours, {bundle.name}" if bundles[1:] else "ours": ("--bundle", str(bundle))
        for bundle in bundles
    } or {"ours": ()}
    try:
        sessions = desk.read_sessions(arguments.data)
        interpreter = rivals.prepare()
        references = [reference_of(session, interpreter) for session in sessions]
        truth = truth_of(sessions, references)
        clips: dict[str, list[ClipPoses]] = {}
        if not arguments.rivals_only:
            for name, options in wanted.items():
                clips[name] = [
                    poses for session in sessions for poses in our_poses(session, *options)
                ]
        for model in arguments.models:
            clips[model] = [
                poses
                for session in sessions
                for poses in rival_poses(session, interpreter, model, anew=arguments.anew)
            ]
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    measured = {name: measure(poses, truth) for name, poses in clips.items()}
    everyone = np.all([estimator.found for estimator in measured.values()], axis=0)
    print(reference_table(sessions, references))
    print(
        f"\n{sum(session.frames for session in sessions)} moments, {len(truth.seconds)} pictures, "
        f"{rooted(truth).sum()} with a root, of which everyone found "
        f"{(rooted(truth) & everyone).sum()}; "
        f"{truth.counted.sum()} joints in pictures\n"
    )
    print(error_tables(measured, truth))
    return 0


if __name__ == "__main__":
    sys.exit(main())
