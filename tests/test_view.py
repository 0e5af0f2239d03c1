"""The live page, looked at in a real browser, fed through a real broker."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from brokers import Mosquitto, prepared_mosquitto
from browser import Browser, chromium
from edge_pose.address import Broker, Topics
from edge_pose.errors import ConfigError
from edge_pose.message import Info, Model, as_mapping, meta
from edge_pose.mqtt import Link, MqttSink, Received
from edge_pose.view import serve_view
from edge_pose.view.hub import BACKLOG, Hub
from walkers import intrinsics, walkers

MODEL = Model(name="edge-body", version="1.2.3", sha256="ab12cd34" * 8)
ENGINE = "a fake, CPU, fp32"
INFO = Info(version="0.1.0", machine="x", model=MODEL, engine=ENGINE, started=1)
ROOT = "plant/line-3"
ONLINE = "return document.body.dataset.live === 'yes' && Number(document.body.dataset.frames)"
COLOURS = """
const canvas = document.getElementById('{canvas}');
const copy = new OffscreenCanvas(canvas.width, canvas.height);
const drawn = copy.getContext('2d', {{willReadFrequently: true}});
drawn.drawImage(canvas, 0, 0);
const pixels = drawn.getImageData(0, 0, canvas.width, canvas.height).data;
const hex = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
const wanted = {colours}.map(hex);
return wanted.map(([r, g, b]) => {{
  let count = 0;
  for (let at = 0; at < pixels.length; at += 4) {{
    if (pixels[at] === r && pixels[at + 1] === g && pixels[at + 2] === b) count += 1;
  }}
  return count;
}});
"""
FIRST_FOUR = ["#4cc9f0", "#ffb703", "#80ed99", "#f78bd3"]


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    child = prepared_mosquitto(tmp_path_factory.mktemp("broker"))
    child.start()
    yield child
    child.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        opened.resize(1280, 720)
        yield opened


@contextmanager
def publishing(
    broker: Broker, root: str, *, cam: str = "cam0", people: int = 3, assumed: bool = True
) -> Iterator[MqttSink]:
    """Let people walk before a camera for as long as the context lasts."""
    sink = MqttSink(broker, Topics(root=root, device="edge-7", cam=cam), INFO)
    stop = threading.Event()

    def walk() -> None:
        for frame, poses, stats in cycle(walkers(people=people)):
            sink.send(frame, poses, stats)
            if stop.wait(0.1):
                return

    thread = threading.Thread(target=walk)
    try:
        sink.wait_online(30.0)
        lens = intrinsics(assumed=assumed)
        sink.start(as_mapping(meta(cam=cam, intrinsics=lens, model=MODEL, engine=ENGINE)))
        sink.status("online")
        thread.start()
        yield sink
    finally:
        stop.set()
        thread.join()
        sink.close()


@pytest.fixture(scope="module")
def page(mosquitto: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Three people on the dark page; tests leave it as they found it."""
    with (
        publishing(mosquitto.broker, ROOT),
        serve_view(mosquitto.broker, root=ROOT, port=0) as url,
        chromium(tmp_path_factory.mktemp("page")) as opened,
    ):
        opened.resize(1280, 720)
        opened.open(url)
        opened.run("localStorage.setItem('theme', 'dark')")
        opened.open(url)
        opened.wait(f"{ONLINE} > 3")
        yield opened
        assert opened.complaints() == []


@contextmanager
def looking(browser: Browser, broker: Broker, root: str) -> Iterator[None]:
    """Open the page and close it again before its server goes."""
    with serve_view(broker, root=root, port=0) as url:
        browser.open(url)
        try:
            yield
        finally:
            browser.open("about:blank")


def painted(browser: Browser, canvas: str, colours: list[str]) -> list[int]:
    """Count the pixels of exactly these colours."""
    counts: list[int] = browser.run(COLOURS.format(canvas=canvas, colours=json.dumps(colours)))
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("canvas", ["picture", "space", "floor"])
def test_every_person_is_drawn_in_a_colour_of_their_own(page: Browser, canvas: str) -> None:
    # People walk behind each other; sooner or later all three are to be seen at once.
    within_s = time.monotonic() + 15
    *three, nobody = painted(page, canvas, FIRST_FOUR)
    while not all(count > 30 for count in three) and time.monotonic() < within_s:
        *three, nobody = painted(page, canvas, FIRST_FOUR)
    assert all(count > 30 for count in three)
    assert nobody == 0


@pytest.mark.slow
def test_the_figures_are_those_that_were_published(page: Browser) -> None:
    page.wait("return document.getElementById('dropped').textContent === '7'")
    assert page.text("#people") == "3"
    assert page.text("#fps") == "25.0"
    assert page.text("#latency") == "34"
    assert page.text("#engine") == ENGINE
    assert "1.2.3" in page.text("#model")
    assert "1280 × 720" in page.text("#size")


@pytest.mark.slow
def test_every_person_is_listed_with_number_and_distance(page: Browser) -> None:
    texts = "return [...document.querySelectorAll('#persons {}')].map((b) => b.textContent)"
    assert page.run(texts.format(".name b")) == ["#1", "#2", "#3"]
    metres = [float(text) for text in page.run(texts.format(".distance b"))]
    assert all(1.0 < metre < 9.0 for metre in metres)
    assert "2 guessed" in page.text("#persons li[data-id='2'] .name")


@pytest.mark.slow
def test_an_assumed_lens_is_called_so_and_a_calibrated_one_too(
    mosquitto: Mosquitto, browser: Browser
) -> None:
    for assumed, words in ((True, "assumed lens"), (False, "calibrated lens")):
        root = f"lens-{assumed}"
        with (
            publishing(mosquitto.broker, root, assumed=assumed),
            looking(browser, mosquitto.broker, root),
        ):
            browser.wait(ONLINE)
            assert browser.text("#lens") == words


@pytest.mark.slow
def test_a_camera_that_goes_is_said_to_be_gone_and_its_people_are_no_longer_counted(
    mosquitto: Mosquitto, browser: Browser
) -> None:
    with (
        publishing(mosquitto.broker, "gone") as sink,
        looking(browser, mosquitto.broker, "gone"),
    ):
        browser.wait(ONLINE)
        sink.status("stale")
        browser.wait("return document.body.dataset.live === 'no'")
        assert browser.text("#camera") == "camera stale"
        assert browser.text("#people") == "–"
        sink.status("offline")
        browser.wait("return document.getElementById('camera').textContent === 'camera offline'")
        assert "waiting for it to come back" in browser.text("#notice")
        sink.status("online")
        browser.wait(ONLINE)


@pytest.mark.slow
def test_a_device_that_was_cut_off_is_offline_whatever_its_camera_last_said(
    mosquitto: Mosquitto, browser: Browser
) -> None:
    with looking(browser, mosquitto.broker, "cut"):
        with publishing(mosquitto.broker, "cut"):
            browser.wait(ONLINE)
        browser.wait("return document.body.dataset.live === 'no'")
        assert browser.text("#camera") == "camera offline"


@pytest.mark.slow
def test_a_broker_that_goes_and_comes_is_shown(tmp_path: Path, browser: Browser) -> None:
    mosquitto = prepared_mosquitto(tmp_path)
    mosquitto.start()
    try:
        with publishing(mosquitto.broker, "away"), looking(browser, mosquitto.broker, "away"):
            browser.wait(ONLINE)
            mosquitto.stop()
            browser.wait("return document.getElementById('broker').dataset.state === 'bad'")
            assert mosquitto.broker.url in browser.text("#notice")
            mosquitto.start()
            browser.wait(ONLINE)
    finally:
        mosquitto.stop()


@pytest.mark.slow
def test_nobody_is_a_word_and_not_an_empty_page(mosquitto: Mosquitto, browser: Browser) -> None:
    with (
        publishing(mosquitto.broker, "empty", people=0),
        looking(browser, mosquitto.broker, "empty"),
    ):
        browser.wait(ONLINE)
        assert browser.text("#people") == "0"
        assert "nobody" in browser.text("#persons")


@pytest.mark.slow
def test_two_cameras_can_be_told_apart_and_chosen(mosquitto: Mosquitto, browser: Browser) -> None:
    with (
        publishing(mosquitto.broker, "two", cam="door", people=1),
        publishing(mosquitto.broker, "two", cam="press", people=4),
        looking(browser, mosquitto.broker, "two"),
    ):
        browser.wait("return document.querySelectorAll('#cameras button').length === 2")
        for name, people in (("press", "4"), ("door", "1")):
            browser.run(
                "[...document.querySelectorAll('#cameras button')]"
                f".find((button) => button.textContent.includes('{name}')).click()"
            )
            browser.wait(f"return document.getElementById('people').textContent === '{people}'")


@pytest.mark.slow
def test_keys_turn_the_room_and_change_the_light(page: Browser) -> None:
    page.run("window.before = document.getElementById('space').toDataURL()")
    for _ in range(5):
        page.press("ArrowLeft")
    page.wait("return document.getElementById('space').toDataURL() !== window.before")
    page.press("t")
    page.wait("return document.documentElement.dataset.theme === 'light'")
    page.wait("return getComputedStyle(document.body).backgroundColor === 'rgb(238, 241, 245)'")
    page.press("t")
    page.press("0")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_nothing_is_wider_than_the_window(page: Browser, width: int, height: int) -> None:
    page.resize(width, height, mobile=width < 500)
    try:
        page.wait(f"return innerWidth === {width}")
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        if width == 1280:
            assert page.run("return document.documentElement.scrollHeight <= innerHeight")
        for canvas in ("picture", "space", "floor"):
            assert page.run(f"return document.getElementById('{canvas}').clientHeight") > 150
    finally:
        page.resize(1280, 720)


def ask(url: str, path: str, host: str | None = None) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host or parts.netloc})
        answer = connection.getresponse()
        policy = answer.headers.get("Content-Security-Policy", "")
        answer.read()
        return answer.status, policy
    finally:
        connection.close()


def test_the_page_is_for_this_machine_and_asks_nothing_of_others(mosquitto: Mosquitto) -> None:
    """A foreign page whose name was pointed at loopback must not read who is where."""
    with serve_view(mosquitto.broker, port=0) as url:
        assert url.startswith("http://127.0.0.1:")
        status, policy = ask(url, "/")
        assert status == 200
        assert policy.startswith("default-src 'self'")
        assert ask(url, "/", host="evil.example")[0] == 403
        assert ask(url, "/events", host="evil.example:80")[0] == 403
        assert ask(url, "/", host="localhost:1")[0] == 200
        assert ask(url, "/../server.py")[0] == 404
        assert ask(url, "/page/page.js")[0] == 404


def test_the_page_is_served_on_the_loopback_of_ipv6_too(mosquitto: Mosquitto) -> None:
    with serve_view(mosquitto.broker, host="::1", port=0) as url:
        assert url.startswith("http://[::1]:")
        assert ask(url, "/")[0] == 200


def test_a_port_that_is_taken_is_named_with_what_to_do(mosquitto: Mosquitto) -> None:
    with serve_view(mosquitto.broker, port=0) as url:
        port = urlsplit(url).port
        assert port is not None
        with (
            pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*in use.*--port"),
            serve_view(mosquitto.broker, port=port),
        ):
            pass


def test_a_slow_page_misses_frames_but_no_state() -> None:
    hub = Hub("mqtt://x:1", "edge-pose")
    slow = hub.join()
    for number in range(500):
        hub.post(Received("edge-pose/d/c/pose", str(number).encode()))
    hub.post(Received("edge-pose/d/c/status", b"offline"))
    hub.close()
    heard = list(iter(slow.get, None))
    assert len([event for event in heard if event and "d/c/pose" in event]) <= BACKLOG
    assert heard[-1] is not None
    assert "offline" in heard[-1]


def test_a_new_page_is_told_the_state_and_no_old_frame() -> None:
    hub = Hub("mqtt://x:1", "edge-pose")
    hub.post(Link(up=True, reason="Success"))
    hub.post(Received("edge-pose/d/c/meta", b"{}"))
    hub.post(Received("edge-pose/d/c/pose", b"{}"))
    late = hub.join()
    hub.close()
    heard = "".join(event for event in iter(late.get, None) if event)
    assert '"up": true' in heard
    assert "d/c/meta" in heard
    assert "d/c/pose" not in heard
