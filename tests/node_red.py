"""Node-RED with the flow of examples/, installed once by its lock file, started by `npm start`."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_pose.broker import free_port

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "node-red"
CACHE = ROOT / ".cache" / "node-red"
OLDEST_NODE = (18, 5)
PATIENCE_S = 60.0


def why_not() -> str | None:
    """Say what is missing for Node-RED to run here."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "Node.js or npm is not installed; scripts/install dev does that"
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(map(int, told.strip().removeprefix("v").split(".")[:2]))
    return f"Node-RED needs Node.js 18.5, here is {told.strip()}" if version < OLDEST_NODE else None


def installed() -> Path:
    """Give a folder with exactly the packages of the lock file."""
    lock = (EXAMPLE / "package-lock.json").read_bytes()
    home = CACHE / hashlib.sha256(lock).hexdigest()[:12]
    if not home.exists():
        shutil.rmtree(CACHE, ignore_errors=True)
        unfinished = CACHE / "unfinished"
        unfinished.mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(EXAMPLE / name, unfinished)
        subprocess.run(["npm", "ci", "--no-progress"], cwd=unfinished, check=True)
        unfinished.rename(home)
    return home


@contextmanager
def node_red(folder: Path, broker: str) -> Iterator[int]:
    """Run it on a free port, in a folder of its own, while the context lasts; give the port."""
    for name in ("package.json", "settings.js", "flows.json"):
        shutil.copy(EXAMPLE / name, folder)
    (folder / "node_modules").symlink_to(installed() / "node_modules")
    port = free_port()
    told = folder / "told.txt"
    with told.open("wb") as output:
        child = subprocess.Popen(
            ["npm", "start"],
            cwd=folder,
            env={**os.environ, "EDGE_POSE_MQTT_BROKER": broker, "PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # npm has children, which end with it
        )
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while "Connected to broker" not in told.read_text():
            assert child.poll() is None, told.read_text()
            assert time.monotonic() < deadline_s, told.read_text()
            time.sleep(0.1)
        yield port
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait()
