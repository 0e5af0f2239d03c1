"""The command line: `edge-pose run|check|build|bench|model|view|config|replay|purge`."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

from edge_pose import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A flag of the command line and the setting it sets."""

    flag: str
    setting: str
    meaning: str
    metavar: str | None = None
    kind: type[Any] = str
    choices: tuple[str, ...] | None = None


CAMERA: Final = (
    Option(
        flag="--camera",
        setting="camera.source",
        metavar="SOURCE",
        meaning="camera number, /dev/v4l/by-id/... path, rtsp:// or http:// address, video, "
        "picture or folder of pictures (default: 0)",
    ),
    Option(
        flag="--wait",
        setting="camera.wait",
        kind=bool,
        meaning="wait for a camera that is not there yet",
    ),
    Option(
        flag="--fx",
        setting="camera.fx_px",
        kind=float,
        metavar="PIXELS",
        meaning="focal length in pixels",
    ),
    Option(
        flag="--hfov",
        setting="camera.hfov_deg",
        kind=float,
        metavar="DEGREES",
        meaning="horizontal field of view",
    ),
    Option(
        flag="--intrinsics",
        setting="camera.intrinsics",
        kind=Path,
        metavar="FILE",
        meaning="calibrated camera matrix",
    ),
)
CAMERA_FILE: Final = (
    Option(
        flag="--camera",
        setting="camera.source",
        metavar="FILE",
        meaning="a recording to measure with (default: the bundle's golden pictures)",
    ),
)
BUNDLE: Final = (
    Option(
        flag="--tier",
        setting="model.tier",
        choices=("fast", "accurate"),
        meaning="model in the package (default: fast)",
    ),
    Option(
        flag="--bundle", setting="model.bundle", kind=Path, metavar="DIR", meaning="model bundle"
    ),
)
MODEL: Final = (
    *BUNDLE,
    Option(
        flag="--runtime",
        setting="model.runtime",
        choices=("auto", "tensorrt", "onnx"),
        meaning="what runs the networks (default: auto)",
    ),
    Option(
        flag="--precision",
        setting="model.precision",
        choices=("auto", "int8", "fp16", "fp32"),
        meaning="of the pose network (default: auto; int8 is faster on a CPU)",
    ),
    Option(
        flag="--threads",
        setting="model.threads",
        kind=int,
        metavar="N",
        meaning="processor threads per network",
    ),
)
STORE: Final = (
    Option(
        flag="--trusted-keys",
        setting="model.trusted_keys",
        kind=Path,
        metavar="DIR",
        meaning="public keys whose models may be installed",
    ),
    Option(
        flag="--store",
        setting="model.store",
        kind=Path,
        metavar="DIR",
        meaning="where installed models lie",
    ),
)
FRAMES: Final = (
    Option(
        flag="--frames",
        setting="output.frames",
        kind=int,
        metavar="N",
        meaning="stop after so many frames",
    ),
)
RUN: Final = (
    Option(
        flag="--realtime",
        setting="camera.realtime",
        kind=bool,
        meaning="play a file at its own rate and drop frames like a camera",
    ),
    Option(
        flag="--max-people",
        setting="model.max_people",
        kind=int,
        metavar="N",
        meaning="most people followed at a time (default: 16)",
    ),
    Option(
        flag="--output",
        setting="output.messages",
        choices=("jsonl", "none"),
        meaning="write the messages to standard output",
    ),
    *FRAMES,
    Option(flag="--view", setting="view.enabled", kind=bool, meaning="serve the live page"),
)
DEVICE: Final = (
    Option(
        flag="--device",
        setting="device.name",
        metavar="NAME",
        meaning="name of this device in topics (default: the host name)",
    ),
)
BROKER: Final = (
    Option(
        flag="--broker",
        setting="mqtt.broker",
        metavar="HOST[:PORT]",
        meaning="MQTT broker to publish to",
    ),
    *DEVICE,
)
PAGE: Final = (
    Option(
        flag="--port",
        setting="view.port",
        kind=int,
        metavar="N",
        meaning="port of the live page (default: 8765; 0 takes a free one)",
    ),
)
ALL: Final = (*CAMERA, *MODEL, *RUN, *BROKER, *PAGE)
COMMANDS: Final[Mapping[str, tuple[str, tuple[Option, ...]]]] = {
    "run": ("watch a camera or recording and send what is seen", ALL),
    "check": ("tell whether this machine, camera and broker can do it", (*CAMERA, *MODEL, *BROKER)),
    "build": ("make the TensorRT engines of a model on this device", BUNDLE),
    "bench": (
        "measure what a frame costs here, stage by stage",
        (*CAMERA_FILE, *MODEL, *FRAMES, *BROKER),
    ),
    "model": ("install a signed model, go back to the one before, or list them", STORE),
    "view": ("serve the live page of what a broker carries", (*BROKER, *PAGE)),
    "config": ("show the settings that hold, or write a file to start from", ALL),
    "replay": ("publish recorded messages again at their own pace", (*BROKER, *PAGE)),
    "purge": ("remove everything that waits for the broker", DEVICE),
}


class _Parser(argparse.ArgumentParser):
    """An unknown option is answered with the one that was probably meant."""

    def unknown(self, words: Sequence[str]) -> NoReturn:
        """End with the usage and one sentence."""
        flag = words[0].partition("=")[0]
        hint = get_close_matches(flag, self._option_string_actions, n=1)
        advice = f"; did you mean {hint[0]}?" if hint else ""
        self.error(f"nobody knows {' '.join(words)}{advice}")


def parsers() -> tuple[_Parser, Mapping[str, _Parser]]:
    """Build the parser of the program and those of its commands."""
    main_parser = _Parser(
        prog="edge-pose",
        description="From a camera to 3D human keypoints on an MQTT broker.",
        allow_abbrev=False,
    )
    main_parser.add_argument("--version", action="version", version=f"edge-pose {__version__}")
    subparsers = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    found: dict[str, _Parser] = {}
    for name, (meaning, options) in COMMANDS.items():
        parser = subparsers.add_parser(
            name,
            help=meaning,
            description=f"{meaning[0].upper()}{meaning[1:]}.",
            allow_abbrev=False,
        )
        found[name] = parser
        if name in ("run", "check"):
            parser.add_argument("source", nargs="?", metavar="SOURCE", help="same as --camera")
        if name == "replay":
            parser.add_argument(
                "recording", type=Path, metavar="FILE", help="made by --output jsonl"
            )
        if name == "build":
            parser.add_argument(
                "--engines", type=Path, metavar="DIR", help="where to keep them (default: a cache)"
            )
            parser.add_argument(
                "--target",
                metavar="SM",
                help="build for a GPU that is not here, such as SM86 (TensorRT-RTX only)",
            )
        if name == "check":
            parser.add_argument(
                "--json", action="store_true", help="write a line of JSON for each finding"
            )
        if name == "bench":
            _add_bench(parser)
        if name == "model":
            _add_model(parser)
        if name == "config":
            parser.add_argument(
                "--write",
                type=Path,
                metavar="FILE",
                help="write all settings, commented, to a new file",
            )
        parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
        for option in options:
            _add(parser, option)
    return main_parser, found


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--people", type=int, nargs="+", metavar="N", help="how many at a time (default: 1 4 10)"
    )
    parser.add_argument(
        "--cameras", type=int, nargs="+", metavar="N", help="how many at once (default: 1 4)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results")
    parser.add_argument(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("OLD", "NEW"),
        help="measure nothing; tell the ratios of two kept results",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("install", "rollback", "list"))
    parser.add_argument(
        "delivery",
        nargs="?",
        type=Path,
        metavar="BUNDLE",
        help="folder, .tar or .tar.gz to install",
    )
    parser.add_argument(
        "--allow-downgrade", action="store_true", help="install a model older than the current one"
    )


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    common: dict[str, Any] = {"dest": option.setting, "default": None, "help": option.meaning}
    if option.kind is bool:
        parser.add_argument(option.flag, action="store_true", **common)
    else:
        parser.add_argument(
            option.flag,
            type=option.kind,
            metavar=option.metavar,
            choices=option.choices,
            **common,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code is ours."""
    main_parser, by_name = parsers()
    told, unknown = main_parser.parse_known_args(arguments)
    parser = by_name[told.command]
    if unknown:
        parser.unknown(unknown)
    values = vars(told)
    if values.get("source") is not None and values["camera.source"] is not None:
        parser.error("SOURCE and --camera are the same thing; give one of them")

    from edge_pose import log
    from edge_pose.daemon import guarded

    log.configure()
    os.umask(0o077)  # whatever we write, keypoints above all, is for our own user
    return guarded(lambda: _command(told))


def _command(told: argparse.Namespace) -> int:
    from edge_pose import log
    from edge_pose.config.read import Setting, load

    values = vars(told)
    given = {
        option.setting: Setting(value=values[option.setting], origin=option.flag, is_text=False)
        for option in COMMANDS[told.command][1]
        if values[option.setting] is not None
    }
    if values.get("source") is not None:
        given["camera.source"] = Setting(value=told.source, origin="SOURCE", is_text=False)
    settings = load(given, environ=os.environ, path=told.config)
    log.configure(settings.config.device.log)
    command = import_module(f"edge_pose.commands.{told.command}")
    code: int = command.main(settings, told)
    return code


if __name__ == "__main__":
    sys.exit(main())
