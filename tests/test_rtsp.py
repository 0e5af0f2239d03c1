"""A real RTSP camera that is switched off and on again, at another frame size."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_pose.broker import free_port
from edge_pose.capture import open_source
from edge_pose.config import CameraConfig
from edge_pose.errors import SourceError
from edge_pose.pipeline import Source

PYTHON = "/usr/bin/python3"
"""Debian's own, for which python3-gi and gir1.2-gst-rtsp-server-1.0 are installed."""
SERVER = Path(__file__).with_name("rtsp_server.py")
PATIENCE_S = 60.0


def can_serve() -> bool:
    program = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if not Path(PYTHON).exists():
        return False
    return subprocess.run([PYTHON, "-c", program], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_serve(), reason="needs gir1.2-gst-rtsp-server-1.0 and python3-gi"),
]


def serve(port: int, *, width: int, height: int) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [PYTHON, str(SERVER), str(port), str(width), str(height)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "listening\n"
    return child


def end(child: "subprocess.Popen[str]") -> None:
    child.kill()
    child.communicate()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "in vain"


def gives(camera: Source, *, width: int, height: int) -> bool:
    frame = camera.read(0.5)
    return frame is not None and frame.image.shape == (height, width, 3)


def test_a_camera_that_is_switched_off_is_offline_and_comes_back_in_its_new_size() -> None:
    port = free_port()
    server = serve(port, width=320, height=240)
    camera = open_source(CameraConfig(source=f"rtsp://127.0.0.1:{port}/cam"))
    try:
        wait_until(lambda: gives(camera, width=320, height=240))
        assert camera.state == "online"
        end(server)
        wait_until(lambda: camera.read(0.5) is None and camera.state == "offline")
        server = serve(port, width=640, height=360)
        wait_until(lambda: gives(camera, width=640, height=360))
        assert camera.reconnects == 1
    finally:
        camera.close()
        end(server)


def test_a_wrong_path_is_told_apart_from_a_camera_that_is_off() -> None:
    port = free_port()
    server = serve(port, width=320, height=240)
    try:
        with pytest.raises(SourceError, match="gives no picture; check the path"):
            open_source(CameraConfig(source=f"rtsp://127.0.0.1:{port}/wrong"))
    finally:
        end(server)
    with pytest.raises(SourceError, match="refuses the connection"):
        open_source(CameraConfig(source=f"rtsp://127.0.0.1:{port}/cam"))
