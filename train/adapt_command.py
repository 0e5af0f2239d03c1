"""`python -m train adapt`: adapt to a line's own pictures; a table says what each step gave.

In: a rendered source, and pictures, a video, or a folder of `train label` or `train synth` as the
target.  Out: a folder with every run, `results.json` and `report.html`; started again, it goes on.
"""

import argparse
import sys
from pathlib import Path

import torch

from edge_pose.bundle import open_bundle
from edge_pose.errors import ConfigError
from train import run_recipe
from train.ablation import GROUPS, USUAL, VARIANTS, Variant, read_variants
from train.adaptation_methods import read_method, require_selectable
from train.data_words import data_words, needs_teachers
from train.domains import held_out_domain, source_domain, target_domain
from train.label_cache import groups_in, is_labelled
from train.mim_run import NETWORKS
from train.own_footage import own_footage
from train.picture_runs import RUN_PICTURES
from train.pose_data import is_held_out
from train.presets import PRESETS, share
from train.report_results import SOURCE_ONLY
from train.report_table import what_each_step_gave
from train.synth.dataset import is_rendered
from train.workflow import REPORT, Comparison, run_workflow
from train.workflow_stages import Assignment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--source", type=Path, nargs="+", required=True, help="folders made by train synth"
    )
    parser.add_argument(
        "--target",
        type=Path,
        required=True,
        help="pictures, a video, or a folder made by train label or train synth",
    )
    parser.add_argument(
        "--test",
        type=Path,
        nargs="*",
        default=[],
        help="folders to measure in; without any, the groups held out of a labelled target",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder; continued if it exists")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="what machine")
    parser.add_argument(
        "--share-of-steps", type=share, default=1.0, help="of the preset's, for a first look"
    )
    parser.add_argument("--network", choices=sorted(NETWORKS), help="usually the preset's")
    parser.add_argument(
        "--published",
        action="store_true",
        help="let the student begin with published weights instead of those that ship",
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        default=list(USUAL),
        metavar="NAME",
        help=f"what to compare: groups ({', '.join(GROUPS)}) or any of {', '.join(VARIANTS)}",
    )
    parser.add_argument(
        "--first-stage-only",
        action="store_true",
        help="compare masks by what a linear probe reads from the encoders; adapt nothing",
    )
    parser.add_argument(
        "--errors-only",
        action="store_true",
        help="do not look inside networks: no probes, no latents, no pictures of units",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument(
        "--teacher", metavar="NAME", help="variant that the student learns from; usually the last"
    )
    parser.add_argument(
        "--no-student", action="store_true", help="stop before what ships: student and detector"
    )
    parser.add_argument(
        "--labels", type=Path, nargs=2, metavar=("COCO.json", "PICTURES"), help="a few labels"
    )
    parser.add_argument("--most", type=int, default=500, help="people measured in each folder")
    parser.add_argument(
        "--forget-at-most", type=float, metavar="MM", help="stop when a domain lost more than this"
    )
    parser.add_argument("--threads", type=int, default=1, help="torch threads beside the workers")


def main(arguments: argparse.Namespace) -> None:
    """Run, or go on, and print the table."""
    torch.set_num_threads(arguments.threads)
    variants = read_variants(arguments.variants)
    _check(arguments, variants)
    tests = [held_out_domain(folder) for folder in arguments.test]
    _check_groups(arguments.target, measured=not tests)
    source = source_domain(arguments.source)
    data = _data(arguments)
    labels = arguments.out / "labels"
    target = target_domain(arguments.target, labels)
    target_folder = labels if labels.is_dir() else arguments.target
    task = Assignment(
        source_folders=tuple(arguments.source),
        target_folder=target_folder,
        source=source,
        target=target,
        preset_name=arguments.preset,
        network=arguments.network or PRESETS[arguments.preset].network,
        begin=None if arguments.published else open_bundle().folder,
        learning_rate=arguments.learning_rate,
        out=arguments.out,
        share_of_steps=arguments.share_of_steps,
        coco=tuple(arguments.labels) if arguments.labels else None,
    )
    no_student = arguments.no_student or arguments.first_stage_only
    plan = Comparison(
        variants=variants,
        seeds=arguments.seeds,
        tests=tests or [held_out_domain(target_folder)],
        most=arguments.most,
        teacher=None if no_student else _teacher(arguments.teacher, variants),
        student=open_bundle().folder,
        bound_mm=arguments.forget_at_most,
        first_stage_only=arguments.first_stage_only,
        errors_only=arguments.errors_only,
    )
    run_recipe.remember(arguments.out, data)
    results = run_workflow(task, plan, commands=[" ".join(["python -m train", *sys.argv[1:]])])
    sys.stdout.write(what_each_step_gave(results) + f"\n\nWritten: {arguments.out / REPORT}\n")


def _check(arguments: argparse.Namespace, variants: dict[str, Variant]) -> None:
    """Refuse what would fail hours later."""
    if arguments.first_stage_only and arguments.errors_only:
        raise ConfigError(
            "--first-stage-only compares encoders by probes, and --errors-only leaves probes out; "
            "choose one of them"
        )
    for name, variant in variants.items():
        if variant.labelled_frames and not arguments.labels:
            raise ConfigError(
                f"the variant {name!r} wants labelled frames and there are none; give --labels "
                "with a COCO file and its pictures"
            )
        if (
            read_method(variant.method).pseudo_labels
            and is_rendered(arguments.target)
            and next(iter(variants)) != SOURCE_ONLY
        ):
            raise ConfigError(
                f"the variant {name!r} takes the opinion of the network for the source alone, "
                f"which must be trained before it; name {SOURCE_ONLY} first"
            )


def _data(arguments: argparse.Namespace) -> dict[str, str]:
    """Say what is learned from; refuse to go on with other data than the folder began with."""
    out = arguments.out
    data = {
        **data_words("source", arguments.source, out=out),
        **data_words("target", [arguments.target], out=out),
        **(data_words("labels", arguments.labels, out=out) if arguments.labels else {}),
    }
    run_recipe.refuse_another(out, run_recipe.read(out), data, free=frozenset())
    if needs_teachers(arguments.target):
        # What the teachers say of one place must not be taken for another's; pictures may be
        # added until the stages begin.
        run_recipe.remember(out, {"target": data["target"]})
    return data


def _check_groups(target: Path, *, measured: bool) -> None:
    """Refuse a target of which, by its groups, nothing could be learned from or `measured`."""
    if is_rendered(target):
        if measured:
            raise ConfigError(
                f"{target} is rendered, and of such a folder nothing is held out; name another one "
                "with --test, made with another --seed"
            )
        return
    if is_labelled(target):
        groups, more = groups_in(target), "label more pictures into it, or all anew into another"
    else:
        footage = own_footage(target, name="target", licence="the user's own")
        groups = footage.groups()
        more = f"give one folder or clip of more than {RUN_PICTURES} pictures, or more of them"
    held_out = {is_held_out(group) for group in groups}
    if held_out == {True}:
        raise ConfigError(
            f"every group of pictures (clip, subfolder or run) in {target} is held out, so there "
            f"would be nobody to learn from; {more}"
        )
    if measured and held_out == {False}:
        raise ConfigError(
            f"no group of pictures (clip, subfolder or run) in {target} is held out, so there "
            f"would be nothing to measure in; name a folder with --test, or {more}"
        )


def _teacher(name: str | None, variants: dict[str, Variant]) -> str:
    if name is None:
        able = [n for n, v in variants.items() if not read_method(v.method).target_truth]
        if not able:
            raise ConfigError("no variant may teach the student; name one besides the oracle")
        return able[-1]
    if name not in variants:
        raise ConfigError(
            f"--teacher is {name!r}, which is not among the variants {', '.join(variants)}; add it"
        )
    require_selectable(variants[name].method)
    return name
