"""The real parts that things go wrong with: a broker, a network camera, the appliance, a wire.

Each can be started, ended without a goodbye, frozen and thawed.
"""

import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_pose.address import Broker as Address
from edge_pose.bench.scenes import scene
from edge_pose.broker import LOOPBACK, find_mosquitto, free_port, is_listening
from edge_pose.bundle import open_bundle
from edge_pose.errors import EdgePoseError

ROOT: Final = Path(__file__).resolve().parents[2]
RTSP_SERVER: Final = ROOT / "tests" / "rtsp_server.py"
DEBIAN_PYTHON: Final = "/usr/bin/python3"
"""For which the bindings of GStreamer are installed."""
PATIENCE_S: Final = 60.0
_BLOCK: Final = 65536
_GREY: Final = 128


class RigBroken(EdgePoseError):
    """A part of the rig does not run; nothing was measured."""


def wait_until(holds: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait, or say what did not come about."""
    deadline_s = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise RigBroken(f"{what} within {patience_s:.0f} s did not come about")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections."""
    return is_listening(Address(host=LOOPBACK, port=port))


class Part:
    """A process that can be treated badly."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        ready: Callable[[], bool] = lambda: True,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._log = log
        self._ready = ready
        self.environ = dict(environ or {})
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it; return when it is ready."""
        with self._log.open("ab") as log:
            self.child = subprocess.Popen(  # noqa: S603 - our own parts
                self._command, stdout=log, stderr=log, env={**os.environ, **self.environ}
            )
        wait_until(self._ready, f"`{' '.join(self._command[:4])}` being ready")

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.child is not None
        self.child.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it and wait; return its exit code."""
        if self.child is None:
            return 0
        self.child.send_signal(number)
        if number == signal.SIGKILL:
            self.child.send_signal(signal.SIGCONT)
        code = self.child.wait(PATIENCE_S)
        self.child = None
        return code

    @property
    def is_running(self) -> bool:
        """Tell whether it lives."""
        return self.child is not None and self.child.poll() is None


class Broker(Part):
    """mosquitto, whose settings are lines that may change between two starts."""

    def __init__(self, folder: Path) -> None:
        program = find_mosquitto()
        if program is None:
            raise RigBroken("mosquitto is not installed; `apt-get install mosquitto` does it")
        self.port = free_port()
        self.folder = folder
        self.settings = folder / "mosquitto.conf"
        super().__init__(
            [program, "-c", str(self.settings)],
            folder / "mosquitto.log",
            ready=lambda: listens(self.port),
        )
        self.configure()

    def configure(self, *lines: str) -> None:
        """Write the settings; they hold from the next start, or from a SIGHUP as far as it goes."""
        common = [
            f"listener {self.port} 127.0.0.1",
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_interval 1",
            f"user {'root' if os.geteuid() == 0 else os.environ.get('USER', 'nobody')}",
        ]
        self.settings.write_text("\n".join([*common, *(lines or ("allow_anonymous true",))]) + "\n")


class Camera(Part):
    """An RTSP server before which a person comes and goes every three seconds."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder / "frames"
        self.draw(640, 360)
        super().__init__(
            [DEBIAN_PYTHON, str(RTSP_SERVER), str(self.port), "0", "0", str(self.folder)],
            folder / "camera.log",
            ready=lambda: listens(self.port),
        )

    @property
    def url(self) -> str:
        """Where it is watched."""
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def draw(self, width_px: int, height_px: int, *, frames: int = 60) -> None:
        """Draw what it shows: half of the time somebody, half of the time nobody."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with np.load(open_bundle().golden_path) as stored:
            tiles = list(stored["pose.images"])
        for number in range(frames):
            somebody = scene(tiles, 1, number)
            shown = somebody if number < frames // 2 else np.full_like(somebody, _GREY)
            image = cv2.resize(shown, (width_px, height_px))
            cv2.imwrite(str(self.folder / f"{number:05d}.jpg"), image)


class Appliance(Part):
    """`edge-pose run` with a file of settings."""

    def __init__(self, folder: Path, settings: str, environ: Mapping[str, str]) -> None:
        self.settings = folder / "edge-pose.toml"
        self.settings.write_text(settings)
        self.log = folder / "edge-pose.log"
        super().__init__(
            [sys.executable, "-m", "edge_pose", "run", "--config", str(self.settings)],
            self.log,
            environ=environ,
        )


class Wire:
    """Carries bytes between the appliance and the broker until it is told to swallow them."""

    def __init__(self, to_port: int) -> None:
        """Listen on a port of its own."""
        self.port = free_port()
        self.swallows = False
        self._to_port = to_port
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cut it."""
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def _carry(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ, None)
            while not self._stop.is_set():
                if self.swallows:  # nobody hears of anything, not even that the other side left
                    time.sleep(0.05)
                    continue
                for key, _ in selector.select(0.05):
                    if key.data is None:
                        self._connect(selector)
                    else:
                        self._pass_on(selector, key.fileobj, key.data)  # type: ignore[arg-type]

    def _connect(self, selector: selectors.BaseSelector) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._to_port), 1.0)
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(one, selectors.EVENT_READ, other)

    @staticmethod
    def _pass_on(
        selector: selectors.BaseSelector, source: socket.socket, target: socket.socket
    ) -> None:
        if source.fileno() < 0:  # its other end has just been cut
            return
        try:
            if data := source.recv(_BLOCK):
                target.sendall(data)
                return
        except OSError:
            pass
        for end in (source, target):
            if end.fileno() >= 0:
                selector.unregister(end)
                end.close()
