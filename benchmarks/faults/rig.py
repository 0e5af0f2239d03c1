"""All parts together: camera → appliance → wire → broker → consumer, in a folder of their own.

Kinds of a rig: `plain`; `tls`, where the appliance speaks to the broker over TLS; `clock`, where
its wall clock can be set.
"""

import os
import shutil
import struct
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

from benchmarks.faults.consumer import Consumer
from benchmarks.faults.processes import (
    PATIENCE_S,
    ROOT,
    Appliance,
    Broker,
    Camera,
    RigBroken,
    Wire,
)
from certificates import Authority
from edge_pose.broker import free_port

Kind = Literal["plain", "tls", "clock"]

WALL_CLOCK: Final = ROOT / "tests" / "wall_clock.cpp"
"""Loaded before a program, it moves its wall clock and nothing else."""
DISK_BYTES: Final = 4_000_000
_SETTINGS: Final = """
[camera]
source = "{camera}"
wait = true
[mqtt]
broker = "{broker}"
root = "faults"
{ca}
[device]
name = "rig"
[output]
messages = "none"
[spool]
folder = "{state}"
"""


class Rig:
    """Everything, running."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        """Start all parts and wait for the first poses."""
        self.folder = folder
        self.state = folder / "state"
        self._kind = kind
        self._tls_port = free_port()
        with ExitStack() as opening:
            self._open(opening)
            self._parts = opening.pop_all()

    def _open(self, stack: ExitStack) -> None:
        self.state.mkdir(parents=True)
        if os.geteuid() == 0 and _mount(self.state):
            stack.callback(_unmount, self.state)
        self.broker = Broker(self.folder)
        stack.callback(self.broker.end)
        if self._kind == "tls":
            ours, others = Authority(self.folder, "ca"), Authority(self.folder, "others")
            self._shown = {
                "good": ours.sign("good"),
                "expired": ours.sign("expired", days_left=0),
                "stranger": others.sign("stranger"),
            }
            self.show_certificate("good")
        self.broker.start()
        self.wire = Wire(self._tls_port if self._kind == "tls" else self.broker.port)
        stack.callback(self.wire.close)
        self.camera = Camera(self.folder)
        stack.callback(self.camera.end)
        self.camera.start()
        self.consumer = Consumer(self.broker.port, "faults/rig")
        stack.callback(self.consumer.close)
        self.appliance = Appliance(self.folder, self._settings(), self._environment())
        stack.callback(self.appliance.end)
        self.appliance.start()
        if self.consumer.wait_for_poses(time.monotonic(), 0, PATIENCE_S) is None:
            tail = "\n".join(self.appliance.log.read_text().splitlines()[-5:])
            raise RigBroken(f"no pose came within {PATIENCE_S:.0f} s; the appliance says:\n{tail}")

    def _settings(self) -> str:
        scheme = "mqtts" if self._kind == "tls" else "mqtt"
        return _SETTINGS.format(
            camera=self.camera.url,
            broker=f"{scheme}://127.0.0.1:{self.wire.port}",
            ca=f'ca_file = "{self.folder / "ca.pem"}"' if self._kind == "tls" else "",
            state=self.state,
        )

    def show_certificate(self, which: str) -> None:
        """Have the broker show another certificate from its next start on."""
        self.broker.configure(
            "allow_anonymous true",
            f"listener {self._tls_port} 127.0.0.1",
            f"certfile {self._shown[which].cert}",
            f"keyfile {self._shown[which].key}",
        )

    def set_clock(self, shift_s: int) -> None:
        """Move the appliance's wall clock; its monotonic one goes on."""
        wall = self.folder / "clock"
        with wall.open("r+b" if wall.exists() else "wb") as file:
            file.write(struct.pack("l", shift_s))

    def close(self) -> None:
        """End all parts; those that are frozen too."""
        self._parts.close()

    def _environment(self) -> dict[str, str]:
        if self._kind != "clock":
            return {}
        self.set_clock(0)
        library = self.folder / "wall_clock.so"
        command = ["g++", "-shared", "-fPIC", "-o", str(library), str(WALL_CLOCK)]
        subprocess.run(command, check=True)  # noqa: S603
        return {"LD_PRELOAD": str(library), "WALL_CLOCK_FILE": str(self.folder / "clock")}


def _mount(folder: Path) -> bool:
    """Give a folder a small disk of its own, so that filling it harms nobody else."""
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    return mount is not None and subprocess.run(command, check=False).returncode == 0  # noqa: S603


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=False)  # noqa: S603, S607
