"""`python -m export COMMAND`: the gate's command line, from trained networks to signed bundles."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np

from edge_pose.errors import EdgePoseError
from edge_pose.manifest import OUTPUTS
from export.pack import FORMS, NetworkSource, PackOrder, pack
from train import ssd

_LOADED_LATE: Final = {
    "graph": "write ONNX files and golden pictures from runs",
    "half": "write the pose network in half precision, and what that costs",
    "quantise": "write INT8 forms of the pose network, and what they cost",
    "parity": "compare every form of the pose network with the one it was made from",
    "lift": "put a lifter that was trained anew behind every form of the pose network",
    "keygen": "make a key pair to sign bundles with",
    "sign": "vouch for a packed bundle, so that appliances install it",
}
"""Commands whose modules need torch or `cryptography`, which packing does not."""
_INPUTS: Final = {
    "detector": {"mean": ssd.MEAN, "std": ssd.STD},
    "pose": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
}
"""What training takes from a pixel over 255, and divides it by."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = _parser(sys.argv[1:] if arguments is None else arguments).parse_args(arguments)
    try:
        if options.command in _LOADED_LATE:
            return int(import_module(f"export.{options.command}_command").main(options) or 0)
        bundle = pack(_order(options), options.out)
    except (EdgePoseError, OSError, json.JSONDecodeError) as error:
        sys.stderr.write(f"export: {error}\n")
        return error.exit_code if isinstance(error, EdgePoseError) else 1
    size_mb = sum(path.stat().st_size for path in bundle.folder.iterdir()) / 1e6
    sys.stdout.write(
        f"{bundle.folder}: {bundle.manifest.name} {bundle.manifest.version}, {size_mb:.1f} MB\n"
    )
    return 0


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in _LOADED_LATE.items():
        command = commands.add_parser(name, help=text)
        if name in words[:1]:
            import_module(f"export.{name}_command").add_arguments(command)
    command = commands.add_parser("pack", help="write a bundle folder from trained networks")
    for label in OUTPUTS:
        command.add_argument(f"--{label}", type=Path, required=True, help=f"{label} network, ONNX")
    command.add_argument("--card", type=Path, required=True, help="model card, Markdown")
    command.add_argument("--metrics", type=Path, required=True, help="measured figures, JSON")
    command.add_argument(
        "--provenance", type=Path, required=True, help="commit, stages, data, details; JSON"
    )
    command.add_argument(
        "--golden",
        type=Path,
        required=True,
        help=f"npz of BGR uint8 pictures [n, height, width, 3] for {', '.join(OUTPUTS)}",
    )
    command.add_argument("--name", required=True, help="name of the model")
    command.add_argument("--version", required=True, help="version of the model")
    command.add_argument("--created", help="UTC time in ISO form; now, if not given")
    for label in OUTPUTS:
        for kind, usual in _INPUTS[label].items():
            command.add_argument(
                f"--{label}-{kind}",
                type=float,
                nargs=3,
                default=usual,
                metavar=("R", "G", "B"),
                help=f"{kind} of the {label} network's input, of pixels over 255; usually that of "
                f"training, {usual[0]:g}",
            )
    command.add_argument(
        "--pad-value",
        type=float,
        default=float(ssd.PAD_VALUE),
        help=f"grey around a letterboxed frame, 0..255; usually that of training, {ssd.PAD_VALUE}",
    )
    command.add_argument("--tolerance-px", type=float, default=0.5, help="largest fp32 deviation")
    command.add_argument("--tolerance-mm", type=float, default=2.0, help="largest fp32 deviation")
    command.add_argument(
        "--form",
        type=_form,
        action="append",
        default=[],
        metavar="NETWORK.FORM=FILE",
        help="a network in another form too: pose.fp16=…, pose.int8=…, pose.int8-cpu=…",
    )
    command.add_argument(
        "--tolerance",
        type=_tolerance,
        action="append",
        default=[],
        metavar="PRECISION=PX,MM",
        help="largest deviation from the golden outputs in another precision: fp16=1,10",
    )
    command.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    return parser


def _form(word: str) -> tuple[tuple[str, str], Path]:
    """Read `pose.fp16=FILE`."""
    name, _, file = word.partition("=")
    label, _, form = name.partition(".")
    if label not in OUTPUTS or form not in FORMS or not file:
        raise argparse.ArgumentTypeError(
            f"{word!r} is no form; write NETWORK.FORM=FILE with a network of {', '.join(OUTPUTS)} "
            f"and a form of {', '.join(FORMS)}"
        )
    return (label, form), Path(file)


def _tolerance(word: str) -> tuple[str, float, float]:
    """Read `fp16=1,10`."""
    precision, _, limits = word.partition("=")
    try:
        px, mm = map(float, limits.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{word!r} is no tolerance; write PRECISION=PX,MM like fp16=1,10"
        ) from error
    return precision, px, mm


def _order(options: argparse.Namespace) -> PackOrder:
    with np.load(options.golden) as golden:
        pictures = dict(golden)
    others: list[tuple[str, float, float]] = options.tolerance
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return PackOrder(
        name=options.name,
        version=options.version,
        created=options.created or now,
        networks={
            label: NetworkSource(
                path=getattr(options, label),
                mean=tuple(getattr(options, f"{label}_mean")),
                std=tuple(getattr(options, f"{label}_std")),
                pad_value=options.pad_value if label == "detector" else None,
            )
            for label in OUTPUTS
        },
        tolerance_px={"fp32": options.tolerance_px} | {name: px for name, px, _ in others},
        tolerance_mm={"fp32": options.tolerance_mm} | {name: mm for name, _, mm in others},
        forms=dict(options.form),
        card=options.card.read_text(encoding="utf-8"),
        metrics=_table(options.metrics),
        provenance=_table(options.provenance),
        golden=pictures,
    )


def _table(path: Path) -> Mapping[str, object]:
    table: Mapping[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return table


if __name__ == "__main__":
    sys.exit(main())
