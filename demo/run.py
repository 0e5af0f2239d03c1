#!/usr/bin/env python3
"""The demo: the appliance on a camera or, in a loop, on the clips beside this file.

Serves the live page, prints a line a second, and ends cleanly with Ctrl-C.  The broker is the one
that is configured, else one of its own on loopback.
"""

import argparse
import os
import sys
import threading
import webbrowser
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Final

from edge_pose import log
from edge_pose.broker import embedded_broker
from edge_pose.capture import Camera, Source, open_source, paced
from edge_pose.clip import pictures
from edge_pose.clock import NS_PER_S, Clock, monotonic_ns
from edge_pose.config import Config
from edge_pose.config.read import Setting, load
from edge_pose.config.rules import broker as broker_of
from edge_pose.config.rules import topics
from edge_pose.daemon import guarded, stop_asked
from edge_pose.errors import EXIT_OK
from edge_pose.feed import Grabs
from edge_pose.model import open_model
from edge_pose.mqtt import MqttSink
from edge_pose.pipeline import Work, run
from edge_pose.skeleton import ROOT
from edge_pose.types import Frame, Pose3D, Stats
from edge_pose.view import serve_view

CLIPS: Final = tuple(Path(__file__).with_name(name) for name in ("park.mp4", "worker.mp4"))
FIRST_CAMERA: Final = Path("/dev/video0")
BROKER_S: Final = 5.0


class TerminalSink:
    """A line a second for whoever has no browser."""

    def __init__(self, clock: Clock = monotonic_ns) -> None:
        self._clock = clock
        self._told_ns = clock()

    def start(self, meta: Mapping[str, object]) -> None:
        """Say which engine works on which frames."""
        _say(f"{meta['engine']}, frames of {meta['size']} pixels")

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Sum up, once a second."""
        now_ns = self._clock()
        if now_ns - self._told_ns < NS_PER_S:
            return
        self._told_ns = now_ns
        away = ", ".join(f"#{pose.track} {pose.joints_m[ROOT, 2]:.1f} m" for pose in poses)
        _say(
            f"frame {frame.sequence:5}  {len(poses)} people  {stats.fps:4.1f} frames/s  "
            f"{stats.infer_ms:3.0f} ms  {away}"
        )

    def status(self, camera: str) -> None:
        """Say that the camera came or went."""
        _say(f"the camera is {camera}")

    def close(self) -> None:
        """Hold nothing."""


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def clips(paths: Iterable[Path], clock: Clock) -> Grabs:
    """Play one clip after the other at their own rates."""
    for path in paths:
        yield from paced(pictures(path), clock)


def source_of(config: Config, *, named: bool, once: bool) -> Source:
    """Open the camera that was named, or the first of this machine, or the clips."""
    if named or FIRST_CAMERA.exists():
        return open_source(config.camera)
    _say("no camera was named and none is at /dev/video0: playing the clips in demo/")
    paths = CLIPS if once else cycle(CLIPS)
    return Camera(lambda: clips(paths, monotonic_ns), comes_back=False)


def main(words: Sequence[str]) -> int:
    """Run until Ctrl-C, or for as long as told."""
    told = _parser().parse_args(words)
    given = {
        name: Setting(value=value, origin=flag, is_text=False)
        for name, flag, value in (
            ("camera.source", "--camera", told.camera),
            ("mqtt.broker", "--broker", told.broker),
            ("view.port", "--port", told.port),
        )
        if value is not None
    }
    settings = load(given, environ=os.environ)
    config, named = settings.config, settings.origins["camera.source"] != "default"
    with stop_asked() as stop, ExitStack() as stack:
        source = source_of(config, named=named, once=told.once)
        stack.callback(source.close)
        model = stack.enter_context(open_model(config))
        broker = broker_of(config) or stack.enter_context(embedded_broker())
        sink = MqttSink(broker, topics(config), model.info())
        stack.callback(sink.close)
        sink.wait_online(BROKER_S)
        view = serve_view(
            broker, root=config.mqtt.root, host=config.view.host, port=config.view.port
        )
        url = stack.enter_context(view)
        _say(f"\n  The live page is at {url}  (Ctrl-C ends the demo)\n")
        if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            webbrowser.open(url)
        if told.seconds is not None:
            timer = threading.Timer(told.seconds, stop.set)
            timer.start()
            stack.callback(timer.cancel)
        done = run(
            source,
            model.estimator,
            [TerminalSink(), sink],
            Work(
                describe=lambda width, height: model.meta(width, height, cam=config.camera.name),
                beat=lambda: None,
                stop=stop,
            ),
        )
    _say(f"{done} frames done; all is closed")
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__, allow_abbrev=False)
    parser.add_argument("--camera", metavar="SOURCE", help="camera number, path or rtsp:// address")
    parser.add_argument("--broker", metavar="HOST[:PORT]", help="publish there")
    parser.add_argument("--port", type=int, metavar="N", help="port of the live page")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after so long")
    parser.add_argument("--once", action="store_true", help="play the clips once, not for ever")
    return parser


if __name__ == "__main__":
    log.configure("warning")
    sys.exit(guarded(lambda: main(sys.argv[1:])))
