"""`edge-pose build`: make the engines of a bundle on this device, and have its pictures judge them.

A line a thing, as `edge-pose check` has it.  With `--target` engines are built for a GPU that is
not here, which only TensorRT-RTX can: they show that the networks can be built, and judge nothing.
"""

import os
import sys
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TextIO

from edge_pose.bundle import Bundle
from edge_pose.config.read import Effective
from edge_pose.engines.engine_cache import EngineCache, default_folder
from edge_pose.engines.tensorrt import EngineError, load
from edge_pose.engines.workbench import Made, Watch, Workbench
from edge_pose.errors import EXIT_OK, EXIT_OPERATOR
from edge_pose.runtime import network_for, offered, open_engines
from edge_pose.store import chosen_bundle

_CLEAR_LINE: Final = "\r\x1b[K"


def main(settings: Effective, arguments: Namespace) -> int:
    """Print what was built and what was refused; succeed when TensorRT can carry the bundle."""
    folder: Path = arguments.engines or default_folder(os.environ)
    bundle = chosen_bundle(settings.config.model, os.environ)
    lines = Lines(sys.stdout, sys.stderr if sys.stderr.isatty() else None)
    if arguments.target is not None:
        return build_ahead(bundle, arguments.target, folder, lines)
    with ExitStack() as stack:
        carried = open_engines(bundle, stack, folder=folder, choice="tensorrt", watch=lines)
        lines.say(
            "ok",
            carried.precision,
            f"golden pictures agree to {carried.deviation.px:.2f} px and "
            f"{carried.deviation.mm:.1f} mm on {carried.engines.pose.description}",
        )
    lines.say("ok", "folder", str(folder))
    return EXIT_OK


def build_ahead(bundle: Bundle, target: str, folder: Path, watch: Watch) -> int:
    """Build every network in every precision that the bundle offers, for a GPU elsewhere."""
    bench = Workbench(
        tensorrt=load(),
        cache=EngineCache(folder),
        gpu=target,
        compute_capability=f"{target[2:-1]}.{target[-1:]}",
        target=target,
        watch=watch,
    )
    built = [
        _is_made(bench, label, network_for(bundle, label, precision), precision)
        for precision in offered(bundle)
        for label in bundle.manifest.networks.by_label()
    ]
    return EXIT_OK if all(built) else EXIT_OPERATOR


def _is_made(bench: Workbench, label: str, network: Path, precision: str) -> bool:
    try:
        bench.make(label, network, precision)
    except EngineError as error:
        bench.watch.refused(precision, str(error))
        return False
    return True


class Lines(Watch):
    """Tells a person: a line for what is done, and on a terminal how far the rest is."""

    def __init__(self, out: TextIO, terminal: TextIO | None) -> None:
        self._out = out
        self._terminal = terminal
        self._shown = ""

    def builds(self, label: str, precision: str, reason: str) -> None:
        """Tell the terminal only: the line comes when it is done."""
        self._show(f"{precision}  {label:8}  {reason}")

    def progress(self, label: str, share: float, what: str) -> None:
        """Show a whole percentage once."""
        self._show(f"{label:8}  {share:4.0%}  {what}")

    def made(self, made: Made) -> None:
        """Say what there is now."""
        self.say("ok", made.precision, f"{made.label:8}  {made}")

    def refused(self, precision: str, reason: str) -> None:
        """Say what there will not be."""
        self.say("FAIL", precision, reason)

    def crops(self, reason: str | None) -> None:
        """Say who cuts; the engines are as good either way."""
        self.say("ok" if reason is None else "note", "crops", reason or "cut on the GPU")

    def say(self, verdict: str, thing: str, detail: str) -> None:
        """Write one line that stays."""
        if self._terminal is not None:
            self._terminal.write(_CLEAR_LINE)
            self._terminal.flush()
        self._out.write(f"{verdict:4}  {thing:8}  {detail}\n")
        self._out.flush()

    def _show(self, text: str) -> None:
        if self._terminal is None or text == self._shown:
            return
        self._shown = text
        self._terminal.write(f"{_CLEAR_LINE}{text}")
        self._terminal.flush()
