"""What quantisation costs, as figures and as Markdown tables.

In: answers and truth, files to time.  Out: errors against the truth, milliseconds, tables.  Two
kinds of distance stand side by side: how far INT8 moves the answers of single precision, and how
much farther from the truth it is then.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_pose import skeleton
from edge_pose.engines.onnx import OnnxEngine
from export.activations import Images
from export.parity import Answers
from export.sensitivity import LayerCost
from train.confidence import markdown_table
from train.metrics import LIKELY, mean_error, pixel_errors_px, position_errors_mm
from train.pose_augment import TrainingCrop

ROUNDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueError:
    """Mean distance from the truth; NaN where nobody knows it."""

    px: float
    mpjpe_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One file that holds the network."""

    name: str
    megabytes: float
    one_thread_ms: float
    two_threads_ms: float
    px_by_joint: tuple[float, ...]
    """Mean distance from the answers of single precision."""
    mm_by_joint: tuple[float, ...]
    error: TrueError


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that one run of `export quantise` found."""

    calibration: str
    """Hash of the crops that calibrated."""
    judged: str
    """Hash of the crops that judged."""
    crops: int
    chosen: tuple[str, ...]
    """Layers in INT8."""
    layers: tuple[LayerCost, ...]
    forms: tuple[Form, ...]
    """Single precision first."""


def error_in(answers: Answers, crops: Sequence[TrainingCrop]) -> TrueError:
    """Measure answers against the labels of the crops."""
    judged = np.stack([crop.weight_2d for crop in crops]) >= LIKELY
    known = np.array([crop.has_3d for crop in crops])[:, None] & np.ones_like(judged)
    true_px = np.stack([crop.joints_px for crop in crops])
    true_m = np.stack([crop.joints_m for crop in crops])
    return TrueError(
        px=mean_error(pixel_errors_px(answers["joints_px"], true_px, judged)),
        mpjpe_mm=mean_error(position_errors_mm(answers["joints_m"], true_m, known)),
    )


def fastest_ms(paths: Sequence[Path], image: Images, threads: int) -> list[float]:
    """Time one crop on every network, taking turns; return the minima."""
    best = [float("inf")] * len(paths)
    with ExitStack() as stack:
        engines = [stack.enter_context(closing(OnnxEngine(p, threads=threads))) for p in paths]
        for _ in range(ROUNDS):
            for number, engine in enumerate(engines):
                start_ns = time.perf_counter_ns()
                engine.run({"image": image})
                best[number] = min(best[number], (time.perf_counter_ns() - start_ns) / 1e6)
    return best


def as_markdown(report: Report) -> str:
    """Write the tables: forms, joints, layers."""
    single = report.forms[0]
    forms = [
        (
            form.name,
            f"{form.megabytes:.1f}",
            f"{np.mean(form.px_by_joint):.2f} / {max(form.px_by_joint):.2f}",
            f"{np.mean(form.mm_by_joint):.1f} / {max(form.mm_by_joint):.1f}",
            f"{form.error.px:.2f} ({form.error.px - single.error.px:+.2f})",
            f"{form.error.mpjpe_mm:.1f} ({form.error.mpjpe_mm - single.error.mpjpe_mm:+.1f})",
            f"{form.one_thread_ms / single.one_thread_ms:.2f}",
            f"{form.two_threads_ms / single.two_threads_ms:.2f}",
        )
        for form in report.forms
    ]
    joints = [
        (
            joint,
            *(f"{form.px_by_joint[number]:.2f}" for form in report.forms[1:]),
            *(f"{form.mm_by_joint[number]:.1f}" for form in report.forms[1:]),
        )
        for number, joint in enumerate(skeleton.JOINTS)
    ]
    layers = [
        (
            f"{number}",
            cost.layer,
            f"{cost.multiplications / 1e6:.2f}",
            f"{cost.cost.px:.3f}",
            f"{cost.cost.mm:.2f}",
            "INT8" if cost.layer in report.chosen else "float",
        )
        for number, cost in enumerate(report.layers)
    ]
    names = [form.name for form in report.forms[1:]]
    head = (
        f"{len(report.chosen)} of {len(report.layers)} layers in INT8; {report.crops} crops judge "
        f"(sha256 {report.judged[:12]}), others calibrated ({report.calibration[:12]}).\n"
    )
    return "\n".join(
        (
            head,
            markdown_table(_FORM_HEAD, forms),
            "",
            markdown_table(
                ("joint", *(f"{n} px" for n in names), *(f"{n} mm" for n in names)), joints
            ),
            "",
            markdown_table(_LAYER_HEAD, layers),
        )
    )


_FORM_HEAD: Final = (
    "form",
    "MB",
    "moves px, mean / worst joint",
    "moves mm, mean / worst joint",
    "error px",
    "MPJPE mm",
    "times fp32, 1 thread",
    "2 threads",
)
_LAYER_HEAD: Final = ("", "layer", "M multiplications", "alone px", "alone mm", "kept in")
