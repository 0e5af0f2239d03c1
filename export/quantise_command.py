"""`python -m export quantise`: the pose network of a bundle in INT8, and what that costs.

In: a bundle, folders that calibrate, folders of people held out that judge.  Out, in one folder:
`pose.int8.onnx` (TensorRT form), `pose.int8-cpu.onnx`, `calibration.json` and `judged.json` (which
crops), `report.json` and `report.md`: pixels and millimetres for every joint, form and layer,
megabytes, and milliseconds as a ratio to single precision, taken in turns in the same run.
"""

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Final

import onnx

from edge_pose.bundle import open_bundle
from edge_pose.errors import ConfigError
from edge_pose.inference import normalise
from export.calibration import draw
from export.learn import BATCH, Lesson, learn
from export.parity import Tolerance, differences
from export.qdq_forms import cpu_form
from export.quantise import calibrate, fold, quantise
from export.quantise_report import Form, Report, as_markdown, error_in, fastest_ms
from export.sensitivity import answers_in, choose, judge_by, layer_costs

FILES: Final = {"int8, TensorRT form": "pose.int8.onnx", "int8, CPU form": "pose.int8-cpu.onnx"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--bundle", type=Path, help="bundle folder; the one that ships, if left out"
    )
    parser.add_argument(
        "--calibrate", type=Path, nargs="+", required=True, help="folders of train synth or label"
    )
    parser.add_argument("--crops", type=int, default=256, help="crops that calibrate")
    parser.add_argument(
        "--judge", type=Path, nargs="+", required=True, help="folders of people held out"
    )
    parser.add_argument("--most", type=int, default=600, help="crops that judge")
    parser.add_argument(
        "--sensitivity-crops", type=int, default=48, help="crops a layer is tried on"
    )
    parser.add_argument("--limit-px", type=float, default=0.5, help="mean distance INT8 may cost")
    parser.add_argument("--limit-mm", type=float, default=2.0, help="mean distance INT8 may cost")
    parser.add_argument(
        "--learn",
        type=int,
        default=0,
        metavar="STEPS",
        help=f"let the rounded network learn, {BATCH} crops a step; limits are those before it",
    )
    parser.add_argument("--lessons", type=int, default=6000, help="crops to learn from")
    parser.add_argument("--seed", type=int, default=0, help="of the order of lessons")
    parser.add_argument(
        "--in-float", nargs="*", default=[], help="layers to leave as they are, whatever they cost"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")


def main(arguments: argparse.Namespace) -> None:
    """Calibrate, choose, write and report."""
    if min(arguments.limit_px, arguments.limit_mm) <= 0:
        raise ConfigError("--limit-px and --limit-mm must be above 0; give distances")
    if arguments.learn < 0 or arguments.lessons < BATCH:
        raise ConfigError(
            f"--learn is {arguments.learn} and --lessons {arguments.lessons}; steps are 0 or more, "
            f"crops {BATCH} or more"
        )
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime's quantiser warns of what we want
    bundle = open_bundle(arguments.bundle)
    network = bundle.manifest.networks.pose
    calibration = draw("calibration", arguments.calibrate, most=arguments.crops)
    judged = draw("judged", arguments.judge, most=arguments.most, held_out=True)
    single = fold(bundle.path_of("pose"))
    calibrated = calibrate(single, normalise(calibration.pictures, network.input))

    step = max(len(calibration.crops) // arguments.sensitivity_crops, 1)
    tried = calibration.pictures[::step]
    judge = judge_by(answers_in(single, network, tried), network, tried)
    costs = layer_costs(calibrated, judge)
    limit = Tolerance(px=arguments.limit_px, mm=arguments.limit_mm)
    chosen = choose(calibrated, costs, judge, limit, in_float=arguments.in_float)

    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.learn:
        lessons = draw("lessons", arguments.calibrate, most=arguments.lessons)
        lessons.names.write(arguments.out / "lessons.json")
        calibrated = learn(
            calibrated,
            chosen,
            Lesson(calibrated, lessons.pictures, network.input),
            arguments.out / "learned",
            steps=arguments.learn,
            seed=arguments.seed,
        )

    tensorrt = quantise(calibrated, chosen)
    paths = {form: arguments.out / file for form, file in FILES.items()}
    for model, path in zip((tensorrt, cpu_form(tensorrt)), paths.values(), strict=True):
        onnx.save(model, path)
    calibration.names.write(arguments.out / "calibration.json")
    judged.names.write(arguments.out / "judged.json")

    files = {"fp32": bundle.path_of("pose"), **paths}
    reference = answers_in(single, network, judged.pictures)
    image = normalise(judged.pictures[:1], network.input)
    times = {threads: fastest_ms(list(files.values()), image, threads) for threads in (1, 2)}
    forms = []
    for number, (name, path) in enumerate(files.items()):
        answers = answers_in(onnx.load(path), network, judged.pictures)
        found = differences(reference, answers)
        forms.append(
            Form(
                name=name,
                megabytes=path.stat().st_size / 1e6,
                one_thread_ms=times[1][number],
                two_threads_ms=times[2][number],
                px_by_joint=tuple(map(float, found.px.mean(axis=0))),
                mm_by_joint=tuple(map(float, found.mm.mean(axis=0))),
                error=error_in(answers, judged.crops),
            )
        )
    report = Report(
        calibration=calibration.names.sha256,
        judged=judged.names.sha256,
        crops=len(judged.crops),
        chosen=chosen,
        layers=costs,
        forms=tuple(forms),
    )
    text = as_markdown(report)
    (arguments.out / "report.json").write_text(json.dumps(asdict(report), indent=1) + "\n")
    (arguments.out / "report.md").write_text(text, encoding="utf-8")
    print(text)
