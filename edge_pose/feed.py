"""Live pictures: a camera's name comes in, its frames come out, each stamped at the grab.

With clip.py the only file that opens cv2.VideoCapture.
"""

import os
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit, urlunsplit

import cv2
import numpy as np
from jaxtyping import UInt8

from edge_pose.clock import Clock, utc_ms
from edge_pose.config import CameraConfig
from edge_pose.config.rules import secret
from edge_pose.errors import CameraLost, ConfigError, SourceError
from edge_pose.log import redact

OPEN_TIMEOUT_MS: Final = 4000
READ_TIMEOUT_MS: Final = 2000
"""FFmpeg gives up a silent stream after about three times this."""
STREAM_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_RTSP_OPTIONS: Final = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"
_OPTIONS_VARIABLE: Final = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grab:
    """One picture of a live camera."""

    image: UInt8[np.ndarray, "height width 3"]
    captured_ns: int
    captured_at_ms: int


Grabs = Generator[Grab, None, None]


def is_device(source: str) -> bool:
    """Tell whether this names a camera at this machine: a number or a path in /dev."""
    return source.isdigit() or source.startswith("/dev/")


def is_stream(source: str) -> bool:
    """Tell whether this is a network address."""
    return "://" in source


@contextmanager
def quiet() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from printing their own account of what we report ourselves."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    former = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(former)


def opener(camera: CameraConfig, clock: Clock) -> Callable[[], Grabs]:
    """Give what opens the camera, as often as it is called, and gives its frames.

    What waiting does not mend, such as a secret that cannot be read, is a ConfigError at once; a
    camera that does not open now is a SourceError of each call.
    """
    if is_stream(camera.source):
        _check_scheme(camera.source)
        connect = partial(_open_stream, with_credentials(camera))
    else:
        connect = partial(_open_device, camera)

    def grabs() -> Grabs:
        with quiet():
            capture = connect()
        if not capture.isOpened():
            capture.release()
            raise SourceError(why_not(camera.source))
        return _grabs(capture, clock, name=redact(camera.source))

    return grabs


def _grabs(capture: cv2.VideoCapture, clock: Clock, *, name: str) -> Grabs:
    try:
        while capture.grab():
            captured_ns, captured_at_ms = clock(), utc_ms()
            found, image = capture.retrieve()
            if found:
                yield Grab(
                    image=np.asarray(image, np.uint8),
                    captured_ns=captured_ns,
                    captured_at_ms=captured_at_ms,
                )
    finally:
        capture.release()
    raise CameraLost(f"The camera {name} sends no more frames")


def _open_device(camera: CameraConfig) -> cv2.VideoCapture:
    source = int(camera.source) if camera.source.isdigit() else camera.source
    capture = cv2.VideoCapture(source, cv2.CAP_V4L2)
    if not capture.isOpened():
        return capture
    # Over USB 2, pictures of 720p and more reach full rate only as MJPEG.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    for what, value in (
        (cv2.CAP_PROP_FRAME_WIDTH, camera.width_px),
        (cv2.CAP_PROP_FRAME_HEIGHT, camera.height_px),
        (cv2.CAP_PROP_FPS, camera.fps),
    ):
        if value is not None:
            capture.set(what, value)
    return capture


def _check_scheme(address: str) -> None:
    scheme = urlsplit(address).scheme
    if scheme not in STREAM_PORTS:
        raise ConfigError(
            f"The camera address {redact(address)} begins with {scheme}://; "
            f"wanted one of {', '.join(f'{known}://' for known in STREAM_PORTS)}"
        )


def _open_stream(address: str) -> cv2.VideoCapture:
    former = os.environ.get(_OPTIONS_VARIABLE)
    if urlsplit(address).scheme.startswith("rtsp"):
        os.environ.setdefault(_OPTIONS_VARIABLE, _RTSP_OPTIONS)
    try:
        return cv2.VideoCapture(
            address,
            cv2.CAP_FFMPEG,
            [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                OPEN_TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                READ_TIMEOUT_MS,
            ],
        )
    finally:
        if former is None:
            os.environ.pop(_OPTIONS_VARIABLE, None)


def with_credentials(camera: CameraConfig) -> str:
    """Put user name and the password from its file into the address, as the camera wants it.

    A user named by no setting is the one in the address; ConfigError without a password to read.
    """
    password = secret(camera.password_file, name="camera.password_file")
    if camera.username is None and password is None:
        return camera.source
    parts = urlsplit(camera.source)
    user = quote(camera.username or unquote_to_bytes(parts.username or ""), safe="")
    user = user if password is None else f"{user}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))


def why_not(source: str) -> str:
    """Say what keeps a camera from opening, as far as can be seen from here."""
    if is_stream(source):
        parts = urlsplit(source)
        port = parts.port or STREAM_PORTS[parts.scheme]
        reason = unreachable(parts.hostname or "", port)
        where = f"{parts.hostname}:{port}"
        if reason is not None:
            return f"The camera {redact(source)} cannot be reached: {where} {reason}"
        return (
            f"{where} answers, but {redact(source)} gives no picture; "
            "check the path, the user name and the password"
        )
    device = Path(f"/dev/video{source}" if source.isdigit() else source)
    try:
        found = device.exists()
    except OSError:  # such as a name that is too long
        found = False
    if not found:
        return f"There is no camera {source} ({device} does not exist); {_cameras_here()}"
    if not os.access(device, os.R_OK | os.W_OK):
        return (
            f"The camera {device} may not be opened by this user; add the user to the group video"
        )
    return f"The camera {device} gives no picture; is another program using it, or is it no camera?"


def unreachable(host: str, port: int, timeout_s: float = 2.0) -> str | None:
    """Try a TCP connection; None when it works, otherwise what happened."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except socket.gaierror:
        return "is a name that nobody knows"
    except TimeoutError:
        return f"did not answer within {timeout_s:g} s"
    except ConnectionRefusedError:
        return "refuses the connection"
    except OSError as error:
        return f"is out of reach ({error.strerror})"
    return None


def _cameras_here() -> str:
    stable = sorted(Path("/dev/v4l/by-id").glob("*-video-index0"))
    found = stable or sorted(Path("/dev").glob("video[0-9]*"))
    if not found:
        return "no camera is connected to this machine"
    return f"connected are {', '.join(str(path) for path in found)}"
