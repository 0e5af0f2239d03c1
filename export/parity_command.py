"""`python -m export parity`: tell whether every form of a network says the same.

In: a bundle, folders of rendered and labelled people, the run that the network was exported from,
other forms of it.  Out, in one folder: `parity.md`, `parity.json`, `crops.json` (which crops) and
a sheet of the worst cases of each form.  Exit code 1 where a form is farther off than the manifest
allows for its precision.
"""

import argparse
import json
import sys
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from edge_pose import skeleton
from edge_pose.bundle import open_bundle
from edge_pose.engines import Engine
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import EXIT_OK, EXIT_RESTART, ConfigError
from edge_pose.inference import infer
from edge_pose.runtime import open_engines
from export.calibration import draw
from export.parity import (
    PERCENTILES,
    Differences,
    TorchEngine,
    differences,
    is_within,
    spread_of,
    tolerance_of,
)
from export.parity_sheet import sheet
from train import ensemble
from train.begin import student_from
from train.calibrate import identity
from train.confidence import markdown_table

FEWEST_CROPS = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--bundle", type=Path, help="bundle folder; the one that ships, if left out"
    )
    parser.add_argument(
        "--crops", type=Path, nargs="+", required=True, help="folders of train synth or label"
    )
    parser.add_argument("--most", type=int, default=600, help="crops to compare on")
    parser.add_argument("--student", type=Path, help="run of train student: PyTorch is compared")
    parser.add_argument("--calibration", type=Path, help="from train evaluate --fit-scores")
    ensemble.add_options(parser)
    parser.add_argument(
        "--form",
        nargs="*",
        default=[],
        metavar="PRECISION=FILE",
        help="other forms of the pose network, such as int8=pose.int8-cpu.onnx",
    )
    parser.add_argument(
        "--machine", action="store_true", help="also the engine that `edge-pose run` would use here"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")


def main(arguments: argparse.Namespace) -> int:
    """Compare, write and judge."""
    forms = [_form(word) for word in arguments.form]
    if not forms and arguments.student is None and not arguments.machine:
        raise ConfigError("there is nothing to compare with; give --student, --form or --machine")
    bundle = open_bundle(arguments.bundle)
    network = bundle.manifest.networks.pose
    drawn = draw("parity", arguments.crops, most=arguments.most, held_out=True)
    if len(drawn.crops) < min(FEWEST_CROPS, arguments.most):
        raise ConfigError(
            f"the folders give {len(drawn.crops)} crops, wanted {FEWEST_CROPS}; name more --crops"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    drawn.names.write(arguments.out / "crops.json")
    with ExitStack() as stack:
        engines: list[tuple[str, str, Engine]] = [
            ("ONNX", "fp32", stack.enter_context(closing(OnnxEngine(bundle.path_of("pose"))))),
            *(
                (path.name, precision, stack.enter_context(closing(OnnxEngine(path))))
                for precision, path in forms
            ),
        ]
        if arguments.student is not None:
            engines.insert(0, ("PyTorch", "fp32", _torch(arguments)))
        if arguments.machine:
            carried = open_engines(bundle, stack, folder=arguments.out / "engines")
            engines.append(("this machine", carried.precision, carried.engines.pose))
        said = [infer(engine, network, drawn.pictures) for _, _, engine in engines]
        described = [engine.description for _, _, engine in engines]
    rows, figures, passed = [], {}, True
    for number, (name, precision, _) in enumerate(engines[1:], start=1):
        found = differences(said[0], said[number])
        tolerance = tolerance_of(bundle, precision)
        within = is_within(found, tolerance)
        passed &= within
        rows += _rows(name, found, {"px": tolerance.px, "mm": tolerance.mm}, within=within)
        figures[name] = {
            "precision": precision,
            "runtime": described[number],
            "within": within,
            "px": asdict(spread_of(found.px, found.sure)),
            "mm": asdict(spread_of(found.mm, found.sure)),
            "px by joint": _by_joint(found.px),
            "mm by joint": _by_joint(found.mm),
            "probability": float(found.probability.max()),
        }
        picture = sheet(drawn.pictures, said[0], said[number], found)
        stem = Path(name).stem.replace(" ", "-")
        cv2.imwrite(str(arguments.out / f"worst-{number}-{stem}.png"), picture)
    text = (
        f"{len(drawn.crops)} crops (sha256 {drawn.names.sha256[:12]}), against {described[0]}\n\n"
        f"{markdown_table(_HEAD, rows)}\n"
    )
    (arguments.out / "parity.md").write_text(text, encoding="utf-8")
    (arguments.out / "parity.json").write_text(json.dumps(figures, indent=1) + "\n")
    sys.stdout.write(text)
    return EXIT_OK if passed else EXIT_RESTART


_HEAD = (
    "form",
    "unit",
    "mean",
    "worst joint's mean",
    *(f"p{percentile}" for percentile in PERCENTILES),
    "largest",
    "p99 of sure joints, worst joint",
    "allowed",
    "",
)


def _rows(
    name: str, found: Differences, allowed: dict[str, float], *, within: bool
) -> list[tuple[str, ...]]:
    spreads = {unit: spread_of(getattr(found, unit), found.sure) for unit in ("px", "mm")}
    return [
        (
            name,
            unit,
            f"{spread.mean:.3f}",
            f"{spread.joint_mean:.3f}",
            *(f"{value:.3f}" for value in spread.percentiles),
            f"{spread.largest:.3f}",
            f"{spread.judged:.3f}",
            f"{allowed[unit]:g}",
            "agrees" if within else "DISAGREES",
        )
        for unit, spread in spreads.items()
    ]


def _by_joint(values: np.ndarray) -> dict[str, float]:
    return dict(zip(skeleton.JOINTS, map(float, values.mean(axis=0)), strict=True))


def _form(word: str) -> tuple[str, Path]:
    precision, equals, path = word.partition("=")
    if not equals:
        raise ConfigError(f"--form {word} names no precision; write it like int8={word}")
    return precision, Path(path)


def _torch(arguments: argparse.Namespace) -> TorchEngine:
    table = identity(skeleton.NUM_JOINTS).table()
    if arguments.calibration is not None:
        table = json.loads(arguments.calibration.read_text())
    network = ensemble.from_options(student_from(arguments.student), arguments).cpu()
    return TorchEngine(network, table, arguments.student.name)
