"""Files give every frame with its time; cameras give the newest, say how they are, come back."""

import base64
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from jaxtyping import UInt8

from edge_pose.capture import Backoff, Camera, Recording, open_source
from edge_pose.clip import Picture, Pictures, pictures
from edge_pose.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from edge_pose.config import CameraConfig
from edge_pose.errors import CameraLost, ConfigError, SourceError
from edge_pose.feed import Grab, Grabs, with_credentials
from edge_pose.pipeline import Source

Image = UInt8[np.ndarray, "height width 3"]
LONG_S = 20.0


def picture(number: int, *, width: int = 64, height: int = 48) -> Image:
    """Grey that tells the number."""
    return np.full((height, width, 3), 10 * number, np.uint8)


def number_of(image: Image) -> int:
    """Read the number back, through any codec."""
    return round(float(image.mean()) / 10)


def write_video(path: Path, codec: str, *, count: int = 12, fps: float = 12.5) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
    for number in range(count):
        writer.write(picture(number))
    writer.release()
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v")]
)
def test_a_video_gives_every_frame_in_order_with_its_own_time(
    name: str, codec: str, tmp_path: Path
) -> None:
    found = list(pictures(write_video(tmp_path / name, codec)))
    assert [number_of(each.image) for each in found] == list(range(12))
    assert [each.own_ns // NS_PER_MS for each in found] == [80 * number for number in range(12)]


def test_a_gif_gives_every_frame(tmp_path: Path) -> None:
    animation = cv2.Animation()
    animation.frames = [picture(number) for number in range(5)]
    animation.durations = [200] * 5
    path = tmp_path / "a.gif"
    assert cv2.imwriteanimation(str(path), animation)
    found = list(pictures(path))
    assert [number_of(each.image) for each in found] == list(range(5))
    times = [each.own_ns for each in found]
    assert times == sorted(set(times))


def test_a_video_whose_time_jumps_back_still_goes_forward(tmp_path: Path) -> None:
    """Two recordings joined by `cat`, as some cameras store them, begin at zero twice."""
    part = write_video(tmp_path / "a.ts", "mp4v", count=6, fps=25.0).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part + part)
    found = list(pictures(joined))
    assert [number_of(each.image) for each in found] == [*range(6), *range(6)]
    steps = np.diff([each.own_ns for each in found])
    assert steps.min() == steps.max() == 40 * NS_PER_MS


def test_a_video_whose_size_changes_in_the_middle_gives_every_frame(tmp_path: Path) -> None:
    sizes = [(64, 48)] * 4 + [(128, 96)] * 4
    path = tmp_path / "grows.mjpeg"
    path.write_bytes(
        b"".join(
            cv2.imencode(".jpg", picture(number, width=width, height=height))[1].tobytes()
            for number, (width, height) in enumerate(sizes)
        )
    )
    assert [number_of(each.image) for each in pictures(path)] == list(range(8))


def test_a_folder_gives_its_pictures_in_the_order_a_person_counts(tmp_path: Path) -> None:
    for number in (10, 9, 2, 1):
        size = 32 * number
        cv2.imwrite(str(tmp_path / f"img_{number}.png"), picture(number, width=size, height=size))
    (tmp_path / "notes.txt").write_text("not a picture", encoding="utf-8")
    found = list(pictures(tmp_path, fps=10.0))
    assert [number_of(each.image) for each in found] == [1, 2, 9, 10]
    assert [each.image.shape[0] for each in found] == [32, 64, 288, 320]
    assert [each.own_ns for each in found] == [0, NS_PER_S // 10, NS_PER_S // 5, 3 * NS_PER_S // 10]


def test_a_grey_picture_comes_in_three_channels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((48, 64), 70, np.uint8))
    (found,) = pictures(tmp_path / "a.png")
    assert found.image.shape == (48, 64, 3)


def test_a_wrong_path_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "walking.mp4").touch()
    with pytest.raises(SourceError, match=r"no file or folder .*walkin\.mp4.*near.*walking\.mp4"):
        open_source(CameraConfig(source=str(tmp_path / "walkin.mp4")))


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.gif", "a.xyz"])
def test_a_damaged_file_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"this is neither a video nor a picture" * 20)
    with pytest.raises(SourceError, match=name):
        open_source(CameraConfig(source=str(path)))


def test_an_empty_file_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(SourceError, match="empty file"):
        open_source(CameraConfig(source=str(tmp_path / "a.mp4")))
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(SourceError, match="holds no pictures"):
        open_source(CameraConfig(source=str(tmp_path)))


def test_a_truncated_video_gives_what_it_holds_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0)
    writer = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48)
    )
    for _ in range(12):
        writer.write(noise.integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    whole = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(whole[: len(whole) * 3 // 4])
    found = list(pictures(tmp_path / "a.avi"))
    assert 0 < len(found) < 12
    assert f"after {len(found)} of the 12 frames" in caplog.text


def test_the_next_picture_of_a_recording_is_decoded_while_one_is_worked_on() -> None:
    decoded = threading.Semaphore(0)

    def pictures_of() -> Pictures:
        for index in range(3):
            decoded.release()
            yield Picture(image=np.zeros((2, 2, 3), np.uint8), own_ns=index)

    with closing(Recording(pictures_of())) as source:
        for index in range(3):
            assert decoded.acquire(timeout=10.0), "nobody decodes until the frame is asked for"
            frame = source.read(0.0)
            assert frame is not None
            assert frame.captured_ns == index
        assert source.read(0.0) is None
        assert source.ended


def test_a_recording_that_breaks_off_says_so_after_its_last_whole_picture() -> None:
    def pictures_of() -> Pictures:
        yield Picture(image=np.zeros((2, 2, 3), np.uint8), own_ns=0)
        raise SourceError("the disk was pulled out")

    with closing(Recording(pictures_of())) as source:
        assert source.read(0.0) is not None
        for _ in range(2):
            with pytest.raises(SourceError, match="pulled out"):
                source.read(0.0)


def test_a_recording_is_read_whole_however_slow_the_reader(tmp_path: Path) -> None:
    source = open_source(CameraConfig(source=str(write_video(tmp_path / "a.mp4", "mp4v"))))
    assert isinstance(source, Recording)
    assert isinstance(source, Source)
    frames = []
    while not source.ended:
        if (frame := source.read(0.0)) is not None:
            frames.append(frame)
    assert [frame.sequence for frame in frames] == list(range(12))
    assert [number_of(frame.image) for frame in frames] == list(range(12))
    stamps = [frame.captured_at_ms - frames[0].captured_at_ms for frame in frames]
    assert stamps == [80 * number for number in range(12)]
    assert (source.skipped, source.state) == (0, "online")


def test_in_real_time_a_slow_reader_gets_the_newest_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "mp4v", count=25, fps=50.0)
    opened_ns = monotonic_ns()
    source = open_source(CameraConfig(source=str(path), realtime=True))
    frames = []
    while not source.ended:
        if (frame := source.read(LONG_S)) is not None:
            frames.append(frame)
            time.sleep(0.1)
    assert frames[-1].sequence == 24
    assert len(frames) + source.skipped == 25
    assert source.skipped > 0
    for frame in frames:
        assert number_of(frame.image) == frame.sequence
    assert frames[-1].captured_ns - opened_ns >= 24 * 20 * NS_PER_MS


def grab(number: int, *, width: int = 64, at_ns: int = 0) -> Grab:
    return Grab(image=picture(number, width=width), captured_ns=at_ns, captured_at_ms=1)


class Script:
    """A camera that plays its connections one after the other, then stays away."""

    def __init__(self, *connections: list[Grab]) -> None:
        self._connections = list(connections)
        self.away = threading.Event()

    def __call__(self) -> Grabs:
        """Open the next connection."""
        if not self._connections:
            self.away.set()
            raise SourceError("the camera is away")
        return self._play(self._connections.pop(0))

    @staticmethod
    def _play(connection: list[Grab]) -> Grabs:
        yield from connection
        raise CameraLost("the camera went away")


def test_a_lost_camera_comes_back_with_another_frame_size_and_the_count_goes_on() -> None:
    script = Script([grab(0), grab(1)], [grab(2, width=32)])
    camera = Camera(script, clock=lambda: 0)
    taken = 0 if camera.read(0.0) is None else 1
    assert script.away.wait(LONG_S)
    frame = camera.read(0.0)
    assert frame is not None
    assert (frame.sequence, frame.image.shape) == (2, (48, 32, 3))
    assert (camera.reconnects, camera.skipped, camera.state) == (1, 2 - taken, "offline")
    assert not camera.ended
    camera.close()


def test_nothing_is_grabbed_before_somebody_looks() -> None:
    """While the networks load, a clip in real time would play to nobody."""
    script = Script([])
    camera = Camera(script, clock=lambda: 0)
    assert not script.away.wait(0.05)
    camera.read(0.0)
    assert script.away.wait(LONG_S)
    camera.close()


def test_a_recording_that_breaks_off_in_real_time_has_not_ended_well() -> None:
    def breaking() -> Grabs:
        yield grab(0)
        raise SourceError("the disk was pulled out")

    camera = Camera(breaking, clock=lambda: 0, comes_back=False)
    assert camera.read(LONG_S) is not None
    with pytest.raises(SourceError, match="pulled out"):
        camera.read(LONG_S)
    assert not camera.ended, "or the loop would end as after a whole recording"
    camera.close()


def told(camera: Source) -> str:
    return camera.state


class OneThenSilence:
    """A camera that connects, gives one frame and then never returns from its driver."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def __call__(self) -> Grabs:
        """Connect."""
        yield grab(0, at_ns=100 * NS_PER_S)
        self.release.wait(LONG_S)


def test_a_silent_camera_is_stale_and_at_last_beyond_help() -> None:
    now_ns = 100 * NS_PER_S
    driver = OneThenSilence()
    camera = Camera(driver, clock=lambda: now_ns, stale_s=5.0)
    assert camera.read(LONG_S) is not None
    assert told(camera) == "online"
    now_ns += 6 * NS_PER_S
    assert camera.read(0.0) is None
    assert told(camera) == "stale"
    now_ns += 60 * NS_PER_S
    with pytest.raises(CameraLost, match="silent for 60 s"):
        camera.read(0.0)
    driver.release.set()
    camera.close()


def test_the_wait_before_the_next_try_doubles_is_jittered_and_capped() -> None:
    longest = Backoff(draw=lambda: 1.0)
    assert [longest.next_s() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 6.0, 6.0]
    shortest = Backoff(draw=lambda: 0.0)
    assert [shortest.next_s() for _ in range(3)] == [0.25, 0.5, 1.0]
    shortest.reset()
    assert shortest.next_s() == 0.25


def test_a_camera_that_is_not_there_is_an_error_unless_told_to_wait() -> None:
    with pytest.raises(SourceError, match=r"There is no camera 87 .*/dev/video87 does not exist"):
        open_source(CameraConfig(source="87"))
    with pytest.raises(SourceError, match=r"There is no camera /dev/v4l/by-id/none"):
        open_source(CameraConfig(source="/dev/v4l/by-id/none"))
    camera = open_source(CameraConfig(source="87", wait=True))
    assert camera.read(0.0) is None
    assert (camera.state, camera.ended) == ("offline", False)
    camera.close()


def test_an_unreachable_stream_says_so_without_its_password() -> None:
    with pytest.raises(SourceError, match="refuses the connection") as refused:
        open_source(CameraConfig(source="rtsp://eve:s3cret@127.0.0.1:9/cam"))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("wait", [False, True])
def test_what_only_the_operator_can_mend_is_said_at_once_also_when_told_to_wait(
    wait: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="begins with gopher://; wanted one of rtsp://"):
        open_source(CameraConfig(source="gopher://cam/1", wait=wait))
    path = tmp_path / "password"
    path.touch()
    camera = CameraConfig(source="rtsp://eve@127.0.0.1:9/1", password_file=path, wait=wait)
    with pytest.raises(ConfigError, match=r"camera\.password_file names .* first line is empty"):
        open_source(camera)


def test_the_password_of_a_camera_comes_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("s3:c/r@t\n", encoding="utf-8")
    camera = CameraConfig(source="rtsp://cam:554/1", username="eve", password_file=path)
    assert with_credentials(camera) == "rtsp://eve:s3%3Ac%2Fr%40t@cam:554/1"


@pytest.mark.parametrize(
    ("source", "username", "wanted"),
    [
        ("rtsp://eve@cam:554/1", None, "rtsp://eve:s3cret@cam:554/1"),
        ("rtsp://eve%40plant@cam/1", None, "rtsp://eve%40plant:s3cret@cam/1"),
        ("rtsp://J%F6rg:old@cam/1", None, "rtsp://J%F6rg:s3cret@cam/1"),
        ("rtsp://adam@cam/1", "eve", "rtsp://eve:s3cret@cam/1"),
    ],
)
def test_the_user_of_a_camera_may_stand_in_its_address(
    source: str, username: str | None, wanted: str, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_text("s3cret\n", encoding="utf-8")
    camera = CameraConfig(source=source, username=username, password_file=path)
    assert with_credentials(camera) == wanted


def test_an_address_without_a_password_file_stays_as_it_is() -> None:
    camera = CameraConfig(source="rtsp://eve:s3%3Acret@cam:554/1")
    assert with_credentials(camera) == camera.source


class MjpegHandler(BaseHTTPRequestHandler):
    """A network camera: picture after picture in one answer, each connection in its own size."""

    sizes: ClassVar[list[tuple[int, int]]] = []
    credentials: ClassVar[str | None] = None
    """User and password joined by a colon, where it asks for them."""

    def do_GET(self) -> None:
        """Stream, or say that there is no such path, or that it is not for everybody."""
        if self.credentials is not None:
            basic = base64.b64encode(self.credentials.encode()).decode()
            if self.headers["Authorization"] != f"Basic {basic}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.end_headers()
                return
        if not self.sizes:
            self.send_error(404)
            return
        width, height = self.sizes.pop(0)
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=edge")
        self.end_headers()
        for number in range(20):
            body = cv2.imencode(".jpg", picture(number, width=width, height=height))[1].tobytes()
            head = f"--edge\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body + b"\r\n")

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def mjpeg_camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), MjpegHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/video"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_network_camera_that_hung_up_comes_back_in_a_new_size(mjpeg_camera: str) -> None:
    MjpegHandler.sizes = [(64, 48), (128, 96)]
    camera = open_source(CameraConfig(source=mjpeg_camera))
    shapes: set[tuple[int, ...]] = set()
    deadline_s = time.monotonic() + LONG_S
    while len(shapes) < 2 and time.monotonic() < deadline_s:
        frame = camera.read(0.5)
        if frame is not None:
            shapes.add(frame.image.shape[:2])
    camera.close()
    assert shapes == {(48, 64), (96, 128)}
    assert camera.reconnects == 1


def test_a_network_camera_lets_in_the_user_of_its_address_with_the_password_from_its_file(
    mjpeg_camera: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MjpegHandler, "credentials", "eve@plant:s3:c/r@t")
    MjpegHandler.sizes = [(64, 48)]
    path = tmp_path / "password"
    path.write_text("s3:c/r@t\n", encoding="utf-8")
    address = mjpeg_camera.replace("://", "://eve%40plant@")
    camera = open_source(CameraConfig(source=address, password_file=path))
    assert camera.read(LONG_S) is not None
    camera.close()


def test_a_wrong_path_on_a_network_camera_that_answers_is_told_apart(mjpeg_camera: str) -> None:
    MjpegHandler.sizes = []
    with pytest.raises(SourceError, match=r"answers, but .* gives no picture; check the path"):
        open_source(CameraConfig(source=mjpeg_camera))


def test_a_recording_in_a_folder_that_we_may_not_enter_is_an_error_for_the_operator(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    program = (
        "import os, sys; from pathlib import Path; from edge_pose.clip import pictures\n"
        "from edge_pose.errors import SourceError\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: pictures(Path(sys.argv[1]))\n"
        "except SourceError as error: print(error)\n"
    )
    tmp_path.chmod(0o755)
    told = subprocess.run(
        [sys.executable, "-c", program, closed / "walk.avi"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stderr == ""
    assert "walk.avi cannot be read: Permission denied; check the name" in told.stdout
