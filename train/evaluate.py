"""`python -m train evaluate`: measure a pose network on people it was not trained on.

In: `pose.onnx`, rendered people of another site, and real groups held out from training.  Out:
tables in Markdown on standard output, the same figures as JSON, and reliability diagrams as SVG for
light and for dark pages.  `--fit-scores` turns the outcomes into a calibration instead.
"""

import argparse
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from edge_pose import skeleton
from edge_pose.errors import SourceError
from train.calibrate import fit_calibration
from train.confidence import (
    Reliability,
    bootstrap_mean,
    joint_table,
    reliability,
    reliability_table,
)
from train.holdout import Predictions, predict
from train.metrics import (
    LIKELY,
    aligned_errors_mm,
    pixel_errors_px,
    position_errors_mm,
    visible_and_occluded,
)
from train.pose_data import People, RealPeople, RenderedPeople
from train.pose_loss import SCORE_RADIUS_PX
from train.report_figures import reliability_chart
from train.report_rows import honesty
from train.spread import spread
from train.student import INPUT_SIZE_PX


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--network", type=Path, required=True, help="pose.onnx")
    parser.add_argument("--rendered", type=Path, nargs="*", default=[], help="rendered folders")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="teacher-labelled folders")
    parser.add_argument(
        "--unseen", type=Path, nargs="*", default=[], help="labelled folders never trained on"
    )
    parser.add_argument("--most", type=int, default=2000, help="people taken from each kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figures", type=Path, help="write the figures as JSON")
    parser.add_argument("--charts", type=Path, help="folder for reliability diagrams")
    parser.add_argument("--fit-scores", type=Path, help="write a calibration, do not report")


def main(arguments: argparse.Namespace) -> None:
    """Measure, or calibrate.

    Raises:
        SourceError: there is nobody to measure.

    """
    kinds: list[tuple[str, People]] = [
        (f"rendered {folder.name}", RenderedPeople(folder)) for folder in arguments.rendered
    ]
    if arguments.real:
        held_out = RealPeople(arguments.real, held_out=True)
        if not len(held_out):
            raise SourceError(
                f"nobody in {', '.join(map(str, arguments.real))} is of a group held out from "
                "training, so there is nobody to measure; label more pictures into it, or name it "
                "with --unseen if the network never learned from it"
            )
        kinds.append(("real, held out", held_out))
    if arguments.unseen:
        kinds.append(("real, never trained on", RealPeople(arguments.unseen, held_out=None)))
    found = {}
    for name, people in kinds:
        if not len(people):
            raise SourceError(f"there is nobody to measure as {name!r}; name folders of people")
        indices = spread(len(people), arguments.most)
        found[name] = predict(arguments.network, people, indices, threads=arguments.threads)
    if arguments.fit_scores is not None:
        arguments.fit_scores.write_text(json.dumps(_calibrate(list(found.values())), indent=1))
        return
    figures = {name: report(name, predictions) for name, predictions in found.items()}
    if arguments.figures is not None:
        arguments.figures.write_text(json.dumps(figures, indent=1))
    if arguments.charts is not None:
        arguments.charts.mkdir(parents=True, exist_ok=True)
        for name, predictions in found.items():
            chart = reliability_chart(honesty(name, _reliability(predictions)))
            kept = arguments.charts / re.sub(r"[^a-z0-9]+", "-", f"reliability {name}".lower())
            kept.with_suffix(".svg").write_bytes(chart.light)
            kept.with_name(f"{kept.name}-dark.svg").write_bytes(chart.dark)


def report(name: str, found: Predictions) -> dict[str, object]:
    """Print the tables of one kind of people; return the figures."""
    judged = found.weight_2d >= LIKELY
    errors_px = pixel_errors_px(found.joints_px, found.true_px, judged) / INPUT_SIZE_PX * 100
    columns = {"2D error, % of crop": errors_px}
    figures: dict[str, object] = {"people": len(found.presence)}
    if np.any(found.true_m):
        counted = np.ones_like(judged)
        position_mm = position_errors_mm(found.joints_m, found.true_m, counted)
        seen_mm, hidden_mm = visible_and_occluded(position_mm, found.visible)
        limbs = list(skeleton.LIMBS_12)
        aligned_mm = aligned_errors_mm(found.joints_m, found.true_m, counted)
        limbs_mm = aligned_errors_mm(
            found.joints_m[:, limbs], found.true_m[:, limbs], counted[:, limbs]
        )
        columns |= {
            "MPJPE mm": position_mm,
            "visible": seen_mm,
            "occluded": hidden_mm,
            "PA-MPJPE mm": aligned_mm,
            "12 limb joints MPJPE mm": position_mm[:, limbs],
            "12 limb joints PA-MPJPE mm": limbs_mm,
        }
    _write(f"\n### {name}: {len(found.presence)} people, root mid-hip\n")
    for label, errors in columns.items():
        interval = bootstrap_mean(errors)
        figures[label] = asdict(interval)
        _write(f"* {label}: {interval.text(2 if '%' in label else 1)}")
    scores = _reliability(found)
    figures["expected calibration error"] = scores.expected_error
    _write(f"* expected calibration error of the scores: {scores.expected_error:.3f}\n")
    by_joint = {
        label: errors for label, errors in columns.items() if errors.shape[1] == skeleton.NUM_JOINTS
    }
    _write(joint_table(skeleton.JOINTS, by_joint))
    _write("\n" + reliability_table(scores))
    return figures


def _calibrate(found: list[Predictions]) -> dict[str, object]:
    scores = np.concatenate([predictions.scores for predictions in found])
    logits = np.log(np.clip(scores, 1e-6, 1 - 1e-6) / np.clip(1 - scores, 1e-6, 1))
    judged = np.concatenate([predictions.weight_2d >= LIKELY for predictions in found])
    right = np.concatenate([_right(predictions) for predictions in found])
    calibration = fit_calibration(logits.astype(np.float32), right, judged)
    return asdict(calibration)


def _reliability(found: Predictions) -> Reliability:
    judged = found.weight_2d >= LIKELY
    return reliability(found.scores[judged], _right(found)[judged])


def _right(found: Predictions) -> Bool[np.ndarray, "people joints"]:
    distance: Float32[np.ndarray, "people joints"] = np.linalg.norm(
        found.joints_px - found.true_px, axis=2
    )
    return distance < SCORE_RADIUS_PX


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
