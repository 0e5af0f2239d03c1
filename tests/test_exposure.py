"""What others can reach: no port beyond loopback, no file of ours, no page under a foreign name."""

import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from appliance import start, write_clip
from brokers import Mosquitto
from bundles import make_bundle
from edge_pose.config.read import Setting, load
from edge_pose.errors import ConfigError
from edge_pose.view import serve_view

LISTENING = "0A"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def family(pid: int) -> set[int]:
    """Give a process and all that it started."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening_at(pids: set[int]) -> list[str]:
    """Give the addresses at which processes wait for connections, in the kernel's own notation."""
    sockets = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # it was closed
                sockets.add(str(entry.readlink()))
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return [row[1] for row in rows if row[3] == LISTENING and f"socket:[{row[9]}]" in sockets]


def test_whoever_listens_listens_on_loopback(bundle: Path, tmp_path: Path) -> None:
    """With the live page and a broker of our own: the most that ever listens."""
    clip = write_clip(tmp_path / "walking.avi", frames=600, fps=10.0)
    words = ("run", clip, "--bundle", bundle, "--realtime", "--view", "--port", "0")
    with start(*words) as child:
        assert child.stderr is not None
        for line in iter(child.stderr.readline, ""):
            if "The live page is at" in line:
                break
        found = listening_at(family(child.pid))
        child.terminate()
        child.communicate(timeout=60)
    assert len(found) == 2, found
    assert all(address.startswith("0100007F:") for address in found), found


def test_with_a_broker_and_commands_nothing_listens(
    bundle: Path, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    clip = write_clip(tmp_path / "walking.avi", frames=600, fps=10.0)
    broker = f"127.0.0.1:{mosquitto.broker.port}"
    environ = {"EDGE_POSE_COMMANDS_ENABLED": "true"}
    words = ("run", clip, "--bundle", bundle, "--realtime", "--broker", broker)
    with start(*words, environ=environ) as child:
        assert child.stderr is not None
        for line in iter(child.stderr.readline, ""):
            if "Commands are heard at" in line:
                break
        assert listening_at(family(child.pid)) == []
        child.terminate()
        child.communicate(timeout=60)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.7", "edge.example", "127.1"])  # noqa: S104
def test_the_page_cannot_be_served_to_others(host: str) -> None:
    given = {"view.host": Setting(value=host, origin="line.toml [view] host")}
    with pytest.raises(ConfigError, match=r"view\.host is .*wanted loopback such as 127\.0\.0\.1"):
        load(given, environ={})


def test_odd_requests_to_the_page_leave_no_trace(
    mosquitto: Mosquitto, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve_view(mosquitto.broker, port=0) as url:
        port = urlsplit(url).port
        with socket.create_connection(("127.0.0.1", port or 0), 10) as line:
            line.sendall(b"GET / HTTP/1.0\r\nHost: [\r\n\r\n")
            assert line.recv(100).startswith(b"HTTP/1.0 403 ")
        for request in (
            b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
            b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /%2e%2e/server.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port or 0), 10) as line:
                line.sendall(request)
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", port or 0), 10) as line:
            line.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert line.recv(100).startswith(b"HTTP/1.0 200 OK")
    assert capfd.readouterr().err == ""


def test_what_is_written_is_for_our_own_user(tmp_path: Path) -> None:
    program = "import os, sys; os.umask(0); from edge_pose.__main__ import main; sys.exit(main())"
    path = tmp_path / "line.toml"
    words = [sys.executable, "-c", program, "config", "--write", str(path)]
    subprocess.run(words, check=True, capture_output=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
