"""A broker for those who have none: a child process on a free port of loopback, gone with us.

In: nothing.  Out: a `Broker` that anybody on this machine can reach and nobody else.  It is
mosquitto where that is installed (MQTT 5), else the `iotcore` package, which wraps rumqttd and
speaks MQTT 3.1.1 to such clients only as use no properties of MQTT 5.
"""

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from edge_pose.address import Broker
from edge_pose.errors import BrokerError

log = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
START_S: Final = 10.0
STOP_S: Final = 5.0
POLL_S: Final = 0.02
PROBE_S: Final = 0.2
PAYLOAD_LIMIT: Final = 1 << 20
SYSTEM_FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin")
"""Where Debian puts mosquitto, and where an ordinary user's PATH does not look."""
IOTCORE: Final = (
    "from iotcore import Broker; "
    f"Broker(listen='{LOOPBACK}', port={{port}}, max_payload_size={PAYLOAD_LIMIT}).run_forever()"
)
UNTIL_INPUT_CLOSES: Final = (
    'exec 3<&0; "$@" & child=$!; { while read -r _ <&3; do :; done; kill $child; } & wait $child'
)
"""Runs a command until our end of its standard input closes, be it because we were killed."""


@contextmanager
def embedded_broker() -> Iterator[Broker]:
    """Run a broker on loopback for as long as the context lasts."""
    mosquitto = find_mosquitto()
    with TemporaryDirectory(prefix="edge-pose-broker-") as folder:
        port = free_port()
        if mosquitto is not None:
            name, command = "mosquitto", _mosquitto_command(mosquitto, Path(folder), port)
            broker = Broker(host=LOOPBACK, port=port)
        elif find_spec("iotcore") is not None:
            name, command = "iotcore", [sys.executable, "-I", "-c", IOTCORE.format(port=port)]
            broker = Broker(host=LOOPBACK, port=port, protocol="3.1.1")
        else:
            raise BrokerError(
                "there is no MQTT broker to start: neither the program mosquitto nor the Python "
                "package iotcore is installed; install one (apt-get install mosquitto, or pip "
                "install 'edge-pose[demo]') or name a broker of yours with --broker"
            )
        with _running(name, command, broker, Path(folder) / "log"):
            yield broker


def find_mosquitto() -> str | None:
    """Find the program, also where only root's PATH looks."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    return shutil.which("mosquitto", path=path)


def _mosquitto_command(program: str, folder: Path, port: int) -> list[str]:
    settings = folder / "mosquitto.conf"
    settings.write_text(
        f"listener {port} {LOOPBACK}\nallow_anonymous true\npersistence false\n"
        "set_tcp_nodelay true\nlog_dest stderr\n",
        encoding="utf-8",
    )
    return [program, "-c", str(settings)]


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(name: str, command: Sequence[str], broker: Broker, log_path: Path) -> Iterator[None]:
    with log_path.open("wb") as output:
        # A session of its own: Ctrl-C is for us; the broker stays until we have said goodbye.
        child = subprocess.Popen(  # noqa: S603 — our own words and the path of a program found
            ["/bin/sh", "-c", UNTIL_INPUT_CLOSES, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_it_listens(child, name, broker, log_path)
        log.info("Started the broker %s at %s", name, broker.url)
        yield
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(STOP_S)


def _wait_until_it_listens(
    child: "subprocess.Popen[bytes]", name: str, broker: Broker, log_path: Path
) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and child.poll() is None:
        if is_listening(broker):
            return
        time.sleep(POLL_S)
    said = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise BrokerError(
        f"the broker {name} did not listen at {broker.url} within {START_S:.0f} s (it said: "
        f"{said[-1] if said else 'nothing'}); start a broker yourself and name it with --broker"
    )


def is_listening(broker: Broker) -> bool:
    """Tell whether anything accepts connections at the broker's address."""
    try:
        with socket.create_connection((broker.host, broker.port), PROBE_S):
            return True
    except OSError:
        return False
