"""Events reach whoever listens, also when brokers and programs are killed in between."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brokers import Mosquitto, Reader, listening, prepared_mosquitto
from edge_pose.address import Broker, Topics
from edge_pose.event import CameraChange, Event, People
from edge_pose.message import Info, Model
from edge_pose.mqtt import MqttSink
from edge_pose.spool import SpoolSettings
from walkers import walkers

TOPICS = Topics(root="plant/line-3", device="edge-7", cam="cam0")
INFO = Info(
    version="0.1.0",
    machine="x",
    model=Model(name="m", version="1", sha256="ab"),
    engine="a fake",
    started=1,
)
EVENTS = TOPICS.camera("event/+")
CONNECT_S = 30.0


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    # Without a limit, what was acknowledged to us is on its way to the reader already.
    child = prepared_mosquitto(tmp_path, "allow_anonymous true", "max_inflight_messages 0")
    child.start()
    yield child
    child.stop()


@pytest.fixture
def spool(tmp_path: Path) -> SpoolSettings:
    return SpoolSettings(path=tmp_path / "cam0.spool")


@contextmanager
def sink_of(broker: Broker, spool: SpoolSettings) -> Iterator[MqttSink]:
    sink = MqttSink(broker, TOPICS, INFO, spool=spool)
    try:
        yield sink
    finally:
        sink.close()


@contextmanager
def reading(broker: Broker) -> Iterator[Reader]:
    reader = Reader(broker, EVENTS)
    try:
        yield reader
    finally:
        reader.close()


def people(number: int) -> People:
    return People(ts=1_790_000_000_000 + number, cam="cam0", persons=number)


def hear(reader: Reader, *, until: int) -> list[dict[str, Any]]:
    """Listen until the event with so many people, and all before it, were heard; give each once.

    One number never stands for two events.
    """
    found: dict[int, dict[str, Any]] = {}
    last: int | None = None
    while last is None or len(found) < last - min(found) + 1:
        event = json.loads(reader.next())
        assert found.setdefault(event["seq"], event) == event
        if event["persons"] == until:
            last = event["seq"]
    return [event for _, event in sorted(found.items())]


def test_an_event_is_heard_once_with_a_number_and_is_not_kept(
    mosquitto: Mosquitto, spool: SpoolSettings
) -> None:
    with listening(mosquitto.broker, EVENTS, "-q", "1") as listener:
        time.sleep(0.5)
        with sink_of(mosquitto.broker, spool) as sink:
            sink.event(people(3))
            sink.event(CameraChange(ts=1, cam="cam0", state="stale", was="online"))
            first, second = listener.next(), listener.next()
    assert first.topic == TOPICS.camera("event/people")
    assert second.topic == TOPICS.camera("event/camera")
    assert (first.qos, first.retained, first.content_type) == (1, False, "application/json")
    one, other = json.loads(first.payload), json.loads(second.payload)
    assert (one["persons"], other["state"], other["was"]) == (3, "stale", "online")
    assert other["seq"] == one["seq"] + 1


def test_what_happens_while_nobody_listens_is_heard_by_the_first_who_does(
    mosquitto: Mosquitto, spool: SpoolSettings
) -> None:
    with sink_of(mosquitto.broker, spool) as sink:
        for number in range(50):
            sink.event(people(number))
        time.sleep(1.0)
        with reading(mosquitto.broker) as reader:
            heard = hear(reader, until=49)
    assert [event["persons"] for event in heard] == list(range(50))


def test_a_topic_that_nobody_hears_is_not_offered_in_a_hot_loop_and_holds_up_no_other(
    mosquitto: Mosquitto, spool: SpoolSettings
) -> None:
    with (
        sink_of(mosquitto.broker, spool) as sink,
        listening(mosquitto.broker, TOPICS.camera("event/camera"), "-q", "1") as listener,
    ):
        sink.wait_online(CONNECT_S)
        for number in range(200):
            sink.event(people(number))
        time.sleep(0.5)
        sink.event(CameraChange(ts=1, cam="cam0", state="online"))
        assert json.loads(listener.next().payload)["state"] == "online"
        time.sleep(4.0)
        offered = sink._publisher.client._last_mid  # noqa: SLF001 - how many were ever sent
    assert offered < 150, "three or four handfuls of 20, and what is retained"


def test_what_happens_while_the_broker_is_away_is_heard_later(
    mosquitto: Mosquitto, spool: SpoolSettings
) -> None:
    with (
        sink_of(mosquitto.broker, spool) as sink,
        reading(mosquitto.broker) as reader,
    ):
        sink.wait_online(CONNECT_S)
        sink.event(people(0))
        mosquitto.stop()
        for number in range(1, 100):
            sink.event(people(number))
        mosquitto.start()
        heard = hear(reader, until=99)
    assert [event["persons"] for event in heard] == list(range(100))


def test_what_was_not_heard_before_the_end_is_heard_after_the_next_start(
    mosquitto: Mosquitto, spool: SpoolSettings
) -> None:
    mosquitto.stop()
    with sink_of(mosquitto.broker, spool) as sink:
        for number in range(30):
            sink.event(people(number))
    mosquitto.start()
    with (
        reading(mosquitto.broker) as reader,
        sink_of(mosquitto.broker, spool) as sink,
    ):
        sink.event(people(30))
        heard = hear(reader, until=30)
    assert [event["persons"] for event in heard] == list(range(31))


def test_with_an_old_protocol_an_acknowledgement_has_to_do(
    mosquitto: Mosquitto, spool: SpoolSettings
) -> None:
    broker = replace(mosquitto.broker, protocol="3.1.1")
    with (
        reading(broker) as reader,
        sink_of(broker, spool) as sink,
    ):
        time.sleep(0.5)
        for number in range(30):
            sink.event(people(number))
        assert [event["persons"] for event in hear(reader, until=29)] == list(range(30))


def test_summaries_of_a_time_without_a_broker_come_later_with_their_own_time(
    mosquitto: Mosquitto, spool: SpoolSettings
) -> None:
    mosquitto.stop()
    sink = MqttSink(mosquitto.broker, TOPICS, INFO, spool=spool, clock=Ticking(1.1))
    try:
        for frame, poses, stats in walkers(people=2, frames=7):
            sink.send(frame, poses, stats)
        mosquitto.start()
        with listening(mosquitto.broker, TOPICS.camera("summary"), "-q", "1") as listener:
            heard = [json.loads(listener.next().payload) for _ in range(7)]
    finally:
        sink.close()
    assert sorted({one["ts"] for one in heard}) == [1_790_000_000_000 + 40 * n for n in range(7)]
    assert {one["persons"] for one in heard} == {2}
    assert heard[-1]["spool_ok"] is True


class Ticking:
    """A clock that goes on whenever somebody looks: the sink looks once a frame."""

    def __init__(self, step_s: float) -> None:
        self._step_ns = round(step_s * 1e9)
        self._now_ns = 0

    def __call__(self) -> int:
        """Look."""
        self._now_ns += self._step_ns
        return self._now_ns


PROGRAM = """
import sys, time
from pathlib import Path
from edge_pose.address import Broker, Topics
from edge_pose.event import People
from edge_pose.message import Info, Model
from edge_pose.mqtt import MqttSink
from edge_pose.spool import SpoolSettings
sink = MqttSink(
    Broker(host="127.0.0.1", port=int(sys.argv[1])),
    Topics(root="plant/line-3", device="edge-7", cam="cam0"),
    Info(version="", machine="", model=Model(name="", version="", sha256=""), engine="", started=1),
    spool=SpoolSettings(path=Path(sys.argv[2])),
)
print("ready", flush=True)
number = 0
while True:
    sink.event(People(ts=time.time_ns() // 1000000, cam="cam0", persons=number))
    number += 1
    time.sleep(0.003)
"""


def kill_often(
    mosquitto: Mosquitto, spool: SpoolSettings, *, kills: int, seed: int
) -> list[dict[str, Any]]:
    """Kill the program at random moments, and the broker at some; give every event heard."""
    draw = np.random.default_rng(seed)
    words = [str(mosquitto.broker.port), str(spool.path)]
    with reading(mosquitto.broker) as reader:
        for kill in range(kills):
            child = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True
            )
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(draw.uniform(0.0, 0.6))
            if kill % 4 == 3:
                mosquitto.stop()
                time.sleep(draw.uniform(0.0, 0.4))
                mosquitto.start()
                time.sleep(draw.uniform(0.0, 1.5))
            child.kill()
            child.communicate()
        with sink_of(mosquitto.broker, spool) as sink:
            sink.event(People(ts=1, cam="cam0", persons=-1))
            return hear(reader, until=-1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_through_many_kills_every_event_is_heard_and_none_has_the_number_of_another(
    mosquitto: Mosquitto, spool: SpoolSettings
) -> None:
    events = kill_often(mosquitto, spool, kills=24, seed=1)
    numbers = [event["seq"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > 500
    # Within each life of the program the events are those that it had, in their order.
    lives: list[list[object]] = []
    for event in events[:-1]:
        if event["persons"] == 0:
            lives.append([])
        lives[-1].append(event["persons"])
    assert len(lives) > 12
    assert all(life == list(range(len(life))) for life in lives)


def test_the_sink_takes_every_kind_of_event(mosquitto: Mosquitto, spool: SpoolSettings) -> None:
    from edge_pose.event import Degraded, Drift, ZoneEnter, ZoneLeave

    every: list[Event] = [
        ZoneEnter(ts=1, cam="cam0", zone="press", id=4, inside=1),
        ZoneLeave(ts=1, cam="cam0", zone="press", id=4, inside=0, reason="out", dwell_s=2.0),
        people(1),
        CameraChange(ts=1, cam="cam0", state="online"),
        Degraded(ts=1, cam="cam0", why="no GPU"),
        Drift(ts=1, cam="cam0", measure="score", value=0.4, limit=0.5),
    ]
    with (
        listening(mosquitto.broker, EVENTS, "-q", "1") as listener,
        sink_of(mosquitto.broker, spool) as sink,
    ):
        for event in every:
            sink.event(event)
        heard = {listener.next().topic.rpartition("/")[2] for _ in every}
    assert heard == {event.type for event in every}
