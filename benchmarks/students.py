"""Which pose network ships: candidates after the same training, in one table.

    python -m benchmarks.students --runs RUN RUN … --rendered OTHER --real LABELS …

In: run folders of `python -m train student` that differ in `--start` alone.  Out: a Markdown table:
error on rendered people of the other site and on real groups held out, size, multiplications, and
milliseconds a crop on ONNX Runtime in single precision and after post-training quantisation to
INT8, with what the quantisation moves; and the engine in halves that TensorRT-RTX builds for a GPU
that need not be here.  Times are minima of interleaved runs, and stand also as a
ratio to the first run's single precision on one thread, since machines differ.

Quantisation here is the plain recipe (static, symmetric weights per channel, min-max over 64 crops
that were trained on): it says whether a candidate takes it without care, not what care could do.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quant_pre_process,
    quantize_static,
)
from torch import nn

from edge_pose.engines.tensorrt import load
from edge_pose.skeleton import NUM_JOINTS
from export.graph import export_pose
from export.half import halved
from export.quantise import fold
from train.begin import student_from
from train.calibrate import identity
from train.confidence import bootstrap_mean, markdown_table
from train.domain_errors import crops_of
from train.holdout import open_network, predict
from train.metrics import LIKELY, aligned_errors_mm, pixel_errors_px, position_errors_mm
from train.pose_data import People, RealPeople, RenderedPeople
from train.run_recipe import read
from train.spread import spread
from train.student import INPUT_SIZE_PX, PoseNet

ROUNDS: Final = 40
TARGET: Final = "SM86"
"""GeForce of the 30 series, the nearest to an Orin (SM87) that TensorRT-RTX knows."""
CALIBRATION_CROPS: Final = 64
Images = Float32[np.ndarray, "n 3 side side"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One trained network in its forms."""

    name: str
    steps: int
    network: PoseNet
    single: Path
    int8: Path


class Crops(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    """Feeds calibration crops one at a time."""

    def __init__(self, images: Images) -> None:
        """Keep the crops."""
        self._left = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next crop, None after the last."""
        image = next(self._left, None)
        return None if image is None else {"image": image[None]}


def build(run: Path, images: Images, folder: Path) -> Candidate:
    """Export a run and quantise it."""
    network = student_from(run)
    recipe = read(run)
    single, int8 = folder / f"{run.name}.onnx", folder / f"{run.name}-int8.onnx"
    export_pose(network, identity(NUM_JOINTS).table(), single)
    # Weights are stored as halves and widened by the graph; quantising needs them as constants.
    folded = folder / f"{run.name}-folded.onnx"
    quant_pre_process(single, folded, skip_symbolic_shape=True)
    quantize_static(
        folded,
        int8,
        Crops(images),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"WeightSymmetric": True},
    )
    steps = int(recipe["steps"])
    return Candidate(name=recipe["start"], steps=steps, network=network, single=single, int8=int8)


def engine_in_halves(candidate: Candidate) -> tuple[float, float]:
    """Build for `TARGET`; return the seconds that took and the engine's megabytes."""
    network = halved(fold(candidate.single)).SerializeToString()
    start_ns = time.perf_counter_ns()
    built = load().build(network, where=candidate.name, target=TARGET)
    return (time.perf_counter_ns() - start_ns) / 1e9, len(built.engine) / 1e6


def multiplications(network: nn.Module) -> float:
    """Count the millions of multiplications of all convolutions for one crop."""
    counts: list[int] = []

    def count(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        counts.append(output.numel() * module.weight[0].numel())

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        network(torch.rand(1, 3, INPUT_SIZE_PX, INPUT_SIZE_PX))
    for hook in hooks:
        hook.remove()
    return sum(counts) / 1e6


def fastest_ms(paths: Sequence[Path], threads: int, image: Images) -> list[float]:
    """Time one crop on every network, taking turns; return the minima."""
    sessions = [open_network(path, threads=threads) for path in paths]
    best = [float("inf")] * len(paths)
    for _ in range(ROUNDS):
        for number, open_session in enumerate(sessions):
            start_ns = time.perf_counter_ns()
            open_session.run(None, {"image": image})
            best[number] = min(best[number], (time.perf_counter_ns() - start_ns) / 1e6)
    return best


def moved_px(candidate: Candidate, images: Images) -> float:
    """Mean distance by which INT8 moves a joint, in crop pixels."""
    single, int8 = (open_network(path, threads=1) for path in (candidate.single, candidate.int8))
    moves = [
        np.linalg.norm(
            single.run(["joints_px"], {"image": image[None]})[0]
            - int8.run(["joints_px"], {"image": image[None]})[0],
            axis=-1,
        )
        for image in images
    ]
    return float(np.mean(moves))


def errors(candidate: Candidate, people: People, most: int) -> tuple[str, str, str]:
    """Return MPJPE, PA-MPJPE and 2D error in % of the crop; `-` where there is no truth."""
    indices = spread(len(people), most)
    found = predict(candidate.single, people, indices, threads=2)
    judged = found.weight_2d >= LIKELY
    flat = pixel_errors_px(found.joints_px, found.true_px, judged) / INPUT_SIZE_PX * 100
    if not np.any(found.true_m):
        return "-", "-", bootstrap_mean(flat).text(2)
    counted = np.ones_like(judged)
    return (
        bootstrap_mean(position_errors_mm(found.joints_m, found.true_m, counted)).text(0),
        bootstrap_mean(aligned_errors_mm(found.joints_m, found.true_m, counted)).text(0),
        bootstrap_mean(flat).text(2),
    )


def images_of(people: People, count: int) -> Images:
    """Cut crops as the network expects them, spread over the people."""
    return np.stack([crop.image for crop in crops_of(people, most=count)]).astype(np.float32) / 255


def rows(
    candidates: Sequence[Candidate],
    sets: tuple[People, People],
    held: Images,
    most: int,
) -> Iterator[tuple[str, ...]]:
    """Measure every candidate."""
    paths = [path for candidate in candidates for path in (candidate.single, candidate.int8)]
    one, two = (fastest_ms(paths, threads, held[:1]) for threads in (1, 2))
    for number, candidate in enumerate(candidates):
        rendered, real = (errors(candidate, people, most) for people in sets)
        took_s, engine_mb = engine_in_halves(candidate)
        single_ms, int8_ms = one[2 * number], one[2 * number + 1]
        yield (
            candidate.name,
            str(candidate.steps),
            rendered[0],
            rendered[1],
            real[2],
            f"{sum(p.numel() for p in candidate.network.parameters()) / 1e6:.1f}",
            f"{multiplications(candidate.network):.0f}",
            f"{candidate.single.stat().st_size / 1e6:.1f}",
            f"{single_ms:.1f} / {two[2 * number]:.1f}",
            f"{single_ms / one[0]:.2f}",
            f"{int8_ms:.1f} / {two[2 * number + 1]:.1f}",
            f"{moved_px(candidate, held):.1f}",
            f"{engine_mb:.1f} / {took_s:.0f}",
        )


HEAD: Final = (
    "start",
    "steps",
    "other site MPJPE mm",
    "PA mm",
    "real held out, % of crop",
    "M parameters",
    "M multiplications",
    "MB",
    "ms, 1 / 2 threads",
    "times the first",
    "INT8 ms, 1 / 2 threads",
    "INT8 moves px",
    "engine in halves MB / built in s",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.students", description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--rendered", type=Path, required=True, help="rendered other site")
    parser.add_argument("--real", type=Path, nargs="+", required=True, help="labelled folders")
    parser.add_argument("--most", type=int, default=300, help="people of each kind")
    arguments = parser.parse_args()
    real = RealPeople(arguments.real, held_out=True)
    known = images_of(RealPeople(arguments.real, held_out=False), CALIBRATION_CROPS)
    held = images_of(real, CALIBRATION_CROPS)
    with tempfile.TemporaryDirectory() as folder:
        candidates = [build(run, known, Path(folder)) for run in arguments.runs]
        sets = (RenderedPeople(arguments.rendered), real)
        print(markdown_table(HEAD, list(rows(candidates, sets, held, arguments.most))))


if __name__ == "__main__":
    main()
