"""The Node-RED dashboard of examples/, fed through a real broker, looked at in a browser."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from socket import create_connection

import pytest

from brokers import prepared_mosquitto
from browser import Browser, chromium
from edge_pose.address import Broker, Topics
from edge_pose.message import Info, Model, as_mapping, encode, frame_message, meta
from edge_pose.mqtt import MqttSink
from edge_pose.skeleton import EDGES
from mqtt_wire import relayed
from node_red import node_red, why_not
from walkers import HEIGHT_PX, WIDTH_PX, intrinsics, walkers

MISSING = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MISSING is not None, reason=MISSING or ""),
    pytest.mark.timeout(240),  # the first one may install Node-RED
]
MODEL = Model(name="edge-body", version="1.2.3", sha256="ab12cd34" * 8)
INFO = Info(version="0.1.0", machine="x", model=MODEL, engine="a fake", started=1)
META = meta(cam="cam0", intrinsics=intrinsics(), model=MODEL, engine="a fake")
DEVICE, CAMERA = "edge-pose/edge-7", "edge-pose/edge-7/cam0"
UNKNOWN = "–"
FIGURE = "document.querySelector('.edge-pose-{name} .nrdb-ui-text-value')?.textContent"
BONES = (
    "(document.querySelector('#edge-pose-{name} g > path[stroke-width]')?.getAttribute('d') ?? '')"
)
PEOPLE_DRAWN = "document.querySelectorAll('#edge-pose-{name} g > path[stroke-width]').length"
EVENTS = "document.querySelector('.edge-pose-events').innerText"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    child = prepared_mosquitto(tmp_path_factory.mktemp("broker"))
    child.start()
    yield child.broker
    child.stop()


@pytest.fixture(scope="module")
def port(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("node-red")
    with node_red(folder, f"{broker.host}:{broker.port}") as opened:
        yield opened


@contextmanager
def watching(broker: Broker, device: str) -> Iterator[None]:
    """See two people with the camera of a device."""
    sink = MqttSink(broker, Topics(root="edge-pose", device=device, cam="cam0"), INFO)
    stop = threading.Event()

    def walk() -> None:
        for frame, poses, stats in cycle(walkers(people=2)):
            sink.send(frame, poses, stats)
            if stop.wait(0.04):
                return

    thread = threading.Thread(target=walk)
    try:
        sink.wait_online(30.0)
        sink.start(as_mapping(META))
        sink.status("online")
        thread.start()
        yield
    finally:
        stop.set()
        thread.join()
        sink.close()


@pytest.fixture(scope="module")
def page(port: int, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Two people before a camera, on the dashboard."""
    with watching(broker, "edge-7"), chromium(tmp_path_factory.mktemp("browser")) as opened:
        opened.resize(1280, 740)
        opened.open(f"http://127.0.0.1:{port}/dashboard")
        yield opened
        assert opened.complaints() == []


def publish(broker: Broker, topic: str, payload: str, *words: str) -> None:
    """Send with mosquitto's own client."""
    subprocess.run(
        ["mosquitto_pub", *address(broker), "-t", topic, "-m", payload, *words], check=True
    )


def address(broker: Broker) -> list[str]:
    """Say in mosquitto's words where the broker is."""
    return ["-h", broker.host, "-p", str(broker.port)]


def wait_for(page: Browser, **figures: str) -> None:
    """Wait until the page says all of these at once."""
    said = [f"{FIGURE.format(name=name)} === {json.dumps(text)}" for name, text in figures.items()]
    page.wait("return " + " && ".join(said))


def test_the_figures_of_the_broker_are_on_the_page(page: Browser) -> None:
    wait_for(page, state="online", people="2")
    nearest = page.wait(f"const m = {FIGURE.format(name='nearest')}; return m !== '{UNKNOWN}' && m")
    assert re.fullmatch(r"[1-9]\d*\.\d m", nearest)
    page.wait("return document.querySelector('.edge-pose-fps').textContent.includes('25')")


@pytest.mark.parametrize("view", ["picture", "floor"])
def test_everybody_is_drawn_with_all_the_lines_that_meta_names(page: Browser, view: str) -> None:
    page.wait(f"return {PEOPLE_DRAWN.format(name=view)} === 2")
    drawn = page.wait(f"return {BONES.format(name=view)}")
    assert drawn.count("M") == len(EDGES)


def test_the_skeletons_lie_within_the_picture(page: Browser) -> None:
    size, box = page.wait("""
        const svg = document.querySelector('#edge-pose-picture');
        const path = svg?.querySelector('g > path');
        const box = path?.getBBox();
        return box && [svg.getAttribute('viewBox'), [box.x, box.x + box.width]];
    """)
    assert size == f"0 0 {WIDTH_PX} {HEIGHT_PX}"
    assert box[0] < WIDTH_PX
    assert box[1] > 0


def test_of_a_burst_the_newest_frame_is_drawn_and_most_others_are_not(
    page: Browser, broker: Broker
) -> None:
    burst = f"{DEVICE}/burst"
    publish(broker, f"{burst}/status", "online", "-r")
    publish(broker, f"{burst}/meta", encode(META), "-r")
    frames = [
        frame_message(frame, poses, stats, cam="burst")
        for frame, poses, stats in walkers(people=1, frames=200)
    ]
    first, _ = EDGES[0]
    u, v = frames[-1].persons[0].kp_px[first]
    with looking_at(page, "edge-7/burst"):
        wait_for(page, state="online")
        page.run("""
            window.drawings = 0;
            const svg = document.querySelector('#edge-pose-picture');
            const watch = new MutationObserver(() => { window.drawings += 1; });
            watch.observe(svg, {subtree: true, childList: true, attributes: true});
        """)
        subprocess.run(
            ["mosquitto_pub", *address(broker), "-t", f"{burst}/pose", "-l"],
            input="\n".join(map(encode, frames)).encode(),
            check=True,
        )
        page.wait(f"return {BONES.format(name='picture')}.startsWith('M {u:g},{v:g} ')")
        assert page.run("return window.drawings") < 100


def test_an_event_is_a_row_once_and_its_text_is_no_markup(page: Browser, broker: Broker) -> None:
    happened = {"ts": 1_790_000_000_000, "seq": 7, "cam": "cam0", "type": "zone_leave"}
    happened |= {"zone": "<b>press</b>", "id": 3, "inside": 0, "reason": "out", "dwell_s": 2.5}
    for _ in range(2):
        publish(broker, f"{CAMERA}/event/zone_leave", json.dumps(happened), "-q", "1")
    last = {"ts": 1_790_000_001_000, "seq": 8, "cam": "cam0", "type": "people", "persons": 4}
    publish(broker, f"{CAMERA}/event/people", json.dumps(last), "-q", "1")
    page.wait(f"return {EVENTS}.includes('people')")
    rows = page.run(f"return {EVENTS}")
    assert rows.count("person 3 went after 2.5 s, 0 inside") == 1
    assert "<b>press</b>" in rows


def test_a_device_that_crashed_shows_nobody_and_no_figures(page: Browser, broker: Broker) -> None:
    """Its last will is all that the broker can say; the camera's own status still says online."""
    with (
        relayed(broker) as relay,
        watching(relay.broker, "edge-8"),
        looking_at(page, "edge-8/cam0"),
    ):
        wait_for(page, state="online", people="2")
        relay.close()
        wait_for(page, state="offline", people=UNKNOWN, nearest=UNKNOWN)
        page.wait(f"return {PEOPLE_DRAWN.format(name='picture')} === 0")
        with watching(broker, "edge-8"):
            wait_for(page, state="online", people="2")


def test_a_camera_that_says_nothing_is_not_an_empty_one(page: Browser, broker: Broker) -> None:
    publish(broker, f"{DEVICE}/quiet/status", "online", "-r")
    with looking_at(page, "edge-7/quiet"):
        wait_for(page, state="silent", people=UNKNOWN, nearest=UNKNOWN)


@contextmanager
def looking_at(page: Browser, camera: str) -> Iterator[None]:
    """Choose another camera, and the one with two people again."""
    choose(page, camera)
    try:
        yield
    finally:
        choose(page, "edge-7/cam0")
        wait_for(page, state="online", people="2")


def choose(page: Browser, camera: str) -> None:
    """Pick a camera from the list above the figures."""
    page.wait("return document.querySelector('#nrdb-ui-widget-ep_choose .v-field')")
    page.run("""
        const field = document.querySelector('#nrdb-ui-widget-ep_choose .v-field');
        field.dispatchEvent(new MouseEvent('mousedown', {bubbles: true}));
    """)
    page.wait(f"""
        const items = [...document.querySelectorAll('.v-overlay .v-list-item')];
        const item = items.find((one) => one.innerText.trim() === {json.dumps(camera)});
        item?.click();
        return item !== undefined;
    """)


def test_nothing_but_loopback_reaches_node_red(port: int) -> None:
    """All of 127/8 is this machine: a server bound to every address would answer there too."""
    with create_connection(("127.0.0.1", port), timeout=5):
        pass
    with (
        pytest.raises(ConnectionRefusedError),
        create_connection(("127.0.0.2", port), timeout=5),
    ):
        pass
