"""Whoever watches the appliance reads true figures, and cannot disturb it by asking."""

import json
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance import start, write_clip
from brokers import prepared_mosquitto
from bundles import make_bundle
from edge_pose.clock import NS_PER_S
from edge_pose.config import MetricsConfig
from edge_pose.errors import ConfigError
from edge_pose.message import Info, Model
from edge_pose.metrics import Watched, serve_metrics
from edge_pose.metrics.exposition import Family, Histogram, by_label, counter, gauge, text
from edge_pose.metrics.health import LOOP_LIMIT_S
from edge_pose.metrics.server import AT_ONCE
from edge_pose.metrics.tally import Tally
from edge_pose.notify import Heartbeat, Supervisor
from edge_pose.types import Frame, Stats
from machines import JETSON, write_machine

NOBODY = Supervisor(address=None, watchdog_s=None)
INFO = Info(
    version="1",
    machine="",
    model=Model(name="m", version="2", sha256="0"),
    engine='a "quick" one\\',
    started=0,
)
FRAME = Frame(image=np.zeros((2, 2, 3), np.uint8), sequence=0, captured_ns=0, captured_at_ms=0)
STATS = Stats(fps=12.5, infer_ms=40.0, total_ms=60.0, skipped=3, reconnects=2)
PATIENCE_S = 30.0


def parsed(said: str) -> dict[str, float]:
    """Read figures as Prometheus' own library does: `name{label="value"}` to the value."""
    return {
        sample.name + (json.dumps(sample.labels, sort_keys=True) if sample.labels else ""): (
            sample.value
        )
        for family in text_string_to_metric_families(said)
        for sample in family.samples
    }


def asked(address: str, path: str, host: str | None = None) -> tuple[int, str]:
    """Ask over HTTP: status and body."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        address + path, headers={} if host is None else {"Host": host}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


@contextmanager
def served(watched: Watched) -> Iterator[str]:
    with serve_metrics(MetricsConfig(port=0), watched) as address:
        yield address


def test_another_parser_reads_what_was_written() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.note(value)
    families = (
        counter("a_total", "Back\\slash and\nline.", 5),
        gauge("b", "Nothing is known.", None),
        gauge("c", "One.", 0.25, engine=INFO.engine, model="x\ny"),
        by_label("d", "gauge", "Zones.", "zone", {"cpu": 41.5, "gpu": 1e15}),
        Family("e_seconds", "histogram", "Time.", tuple(histogram.samples())),
    )
    assert parsed(text(families)) == {
        "a_total": 5,
        'c{"engine": "a \\"quick\\" one\\\\", "model": "x\\ny"}': 0.25,
        'd{"zone": "cpu"}': 41.5,
        'd{"zone": "gpu"}': 1e15,
        'e_seconds_bucket{"le": "0.1"}': 2,
        'e_seconds_bucket{"le": "1"}': 3,
        'e_seconds_bucket{"le": "+Inf"}': 4,
        "e_seconds_count": 4,
        "e_seconds_sum": pytest.approx(7.65),
    }
    meanings = [family.documentation for family in text_string_to_metric_families(text(families))]
    assert meanings[0] == "Back\\slash and\nline."


def test_a_stage_that_was_not_needed_is_not_counted() -> None:
    times_ms: Mapping[str, float] = {"detect": 8.0, "pose": 20.0, "total": 28.0}
    tally = Tally(lambda: times_ms)
    tally.send(FRAME, [], STATS)
    times_ms = {"detect": 0.0, "pose": 30.0, "total": 30.0}
    tally.send(FRAME, [], STATS)
    counted = {
        dict(labels)["stage"]: value
        for suffix, labels, value in tally.stages.samples()
        if suffix == "_count"
    }
    assert counted == {"detect": 1, "pose": 2}


class Link:
    """What a sink tells of its broker."""

    online = True
    unsent = 0


def test_figures_of_the_work_are_those_of_the_last_frame(tmp_path: Path) -> None:
    now_ns = 0
    watched = Watched(Heartbeat(NOBODY), tmp_path)
    link = Link()
    tally = watched.begin(lambda: {"pose": 20.0}, INFO, [object(), link])
    tally._clock = lambda: now_ns  # noqa: SLF001 - the one thing about it that moves
    tally.status("online")
    tally.send(FRAME, [], STATS)
    now_ns, link.unsent = NS_PER_S, 9
    found = parsed(text(watched.families()))
    assert found["edge_pose_frames_total"] == 1
    assert found["edge_pose_frames_per_second"] == 12.5
    assert found["edge_pose_frame_age_seconds"] == 1.0
    assert found["edge_pose_frames_skipped_total"] == 3
    assert found["edge_pose_camera_reconnects_total"] == 2
    assert found["edge_pose_camera_up"] == found["edge_pose_broker_up"] == 1
    assert found["edge_pose_messages_unsent_total"] == 9
    assert found["edge_pose_degraded"] == 0
    assert found['edge_pose_latency_seconds_bucket{"le": "0.1"}'] == 1
    assert found["edge_pose_latency_seconds_sum"] == pytest.approx(0.06)
    assert found['edge_pose_stage_seconds_sum{"stage": "pose"}'] == pytest.approx(0.02)
    assert found["edge_pose_memory_available_bytes"] > 1e6
    assert found["process_resident_memory_bytes"] > 1e6
    assert abs(found["process_start_time_seconds"] - time.time()) < 3600
    now_ns, link.online = 60 * NS_PER_S, False
    found = parsed(text(watched.families()))
    assert found["edge_pose_frames_per_second"] == found["edge_pose_broker_up"] == 0


def test_a_process_is_ready_while_frames_come_and_alive_while_the_loop_turns(
    tmp_path: Path,
) -> None:
    now_ns = 0
    heartbeat = Heartbeat(NOBODY, clock=lambda: now_ns)
    watched = Watched(heartbeat, tmp_path)
    assert (watched.alive().well, watched.ready().well) == (True, False)
    assert watched.ready().reasons == {"model": "opening"}
    tally = watched.begin(dict, INFO, [])
    tally._clock = lambda: now_ns  # noqa: SLF001 - the one thing about it that moves
    heartbeat.beat()
    assert not watched.ready().well, "no frame yet"
    tally.send(FRAME, [], STATS)
    assert watched.ready().well
    now_ns += 6 * NS_PER_S
    assert (watched.alive().well, watched.ready().well) == (True, False)
    now_ns += int(LOOP_LIMIT_S) * NS_PER_S
    assert not watched.alive().well


def test_only_this_machine_may_ask_and_only_by_a_local_name(tmp_path: Path) -> None:
    with served(Watched(Heartbeat(NOBODY), tmp_path)) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        assert asked(address, "healthz")[0] == 200
        assert asked(address, "metrics", host="localhost:1")[0] == 200
        assert asked(address, "metrics", host="edge.example")[0] == 403
        assert asked(address, "metrics", host="[")[0] == 403
        assert asked(address, "else")[0] == 404
        hexadecimal = f":{port:04X}"
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = [row[1] for row in rows if row[1].endswith(hexadecimal) and row[3] == "0A"]
        assert listening == [f"0100007F{hexadecimal}"]


def test_a_port_that_is_taken_is_said_with_the_way_out(tmp_path: Path) -> None:
    watched = Watched(Heartbeat(NOBODY), tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken, ExitStack() as stack:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"at 127\.0\.0\.1:{port}: .*metrics\.port"):
            stack.enter_context(serve_metrics(MetricsConfig(port=port), watched))


def test_those_who_ask_and_fall_silent_are_few_and_are_not_waited_for(tmp_path: Path) -> None:
    with ExitStack() as stack:
        address = stack.enter_context(served(Watched(Heartbeat(NOBODY), tmp_path)))
        port = int(address.rstrip("/").rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(AT_ONCE + 1)]
        for one in silent:
            stack.enter_context(one)
        silent[-1].settimeout(PATIENCE_S)
        assert silent[-1].recv(1) == b"", "the ninth is hung up on"
        busy = [t for t in threading.enumerate() if "process_request_thread" in t.name]
        assert len(busy) <= AT_ONCE
        silent[0].close()
        while True:
            try:
                assert asked(address, "healthz")[0] == 200
                break
            except OSError:  # the place is not free yet
                time.sleep(0.05)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@contextmanager
def running(*words: str | Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run the appliance with figures on a free port; gives it and the address."""
    environ = {"EDGE_POSE_METRICS_ENABLED": "true", "EDGE_POSE_METRICS_PORT": "0"}
    with start("run", *words, environ=environ) as child:
        try:
            assert child.stderr is not None
            yield child, address_of(iter(child.stderr))
        finally:
            child.kill()


def address_of(lines: Iterator[str]) -> str:
    line = next(line for line in lines if "Figures are at" in line)
    return line.split("Figures are at ")[1].strip().removesuffix("metrics")


def until(address: str, name: str, wanted: float) -> dict[str, float]:
    """Ask until a figure is at least as large as wanted."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        found = parsed(asked(address, "metrics")[1])
        if found.get(name, -1.0) >= wanted:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{name} did not become {wanted}: {found}")


@pytest.mark.slow
def test_a_running_appliance_tells_its_frames_and_the_loss_of_its_broker(
    bundle: Path, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "walk.avi", frames=1500)
    mosquitto = prepared_mosquitto(tmp_path)
    mosquitto.start()
    words = ("--bundle", bundle, "--realtime", "--broker", f"127.0.0.1:{mosquitto.broker.port}")
    with running(clip, *words) as (child, address):
        found = until(address, "edge_pose_frames_total", 5)
        found = until(address, "edge_pose_broker_up", 1)
        status, said = asked(address, "readyz")
        assert status == 200, said
        assert json.loads(said)["broker"] == "up"
        assert found["edge_pose_people"] == 1
        assert found['edge_pose_stage_seconds_count{"stage": "pose"}'] > 0
        mosquitto.stop()
        found = until(address, "edge_pose_messages_unsent_total", 1)
        status, said = asked(address, "readyz")
        assert (status, json.loads(said)["broker"]) == (200, "down"), "people are still seen"
        child.terminate()
        child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0


@pytest.mark.slow
def test_without_a_camera_the_appliance_is_alive_but_not_ready(bundle: Path) -> None:
    words = ("/dev/video99", "--wait", "--bundle", bundle, "--output", "none")
    with running(*words) as (child, address):
        until(address, "edge_pose_loop_silence_seconds", 0.0)
        assert asked(address, "healthz")[0] == 200
        status, said = asked(address, "readyz")
        child.terminate()
        child.communicate(timeout=PATIENCE_S)
    assert (status, json.loads(said)["camera"]) == (503, "offline")


def test_the_page_explains_every_figure(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "operations.md").read_text()
    machine = write_machine(tmp_path, JETSON)
    watched = Watched(Heartbeat(NOBODY), tmp_path, machine)
    watched.begin(lambda: {"pose": 1.0}, INFO, [Link()]).send(FRAME, [], STATS)
    found = parsed(text(watched.families()))
    assert found['edge_pose_temperature_celsius{"zone": "gpu-thermal"}'] == 51.25
    assert found['edge_pose_throttle_events_total{"reason": "oc3"}'] == 37
    names = {family.name for family in watched.families()}
    assert {name for name in names if f"`{name}" not in page} == set()
