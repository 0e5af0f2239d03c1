"""What a Sparkplug host could not hear it is told later: all of it, in order, as what it is."""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from brokers import PATIENCE_S, Mosquitto
from edge_pose.address import Broker
from edge_pose.mqtt import HistorySettings, SparkplugSink
from edge_pose.mqtt.history import HANDFUL
from edge_pose.skeleton import INDEX
from edge_pose.sparkplug.history import REMEMBERED_S, Recorder, read_moment, write_moment
from edge_pose.sparkplug.payload import Value
from edge_pose.spool import SpoolSettings
from edge_pose.spool_file import SpoolFile
from edge_pose.types import Frame, Pose3D, Stats
from mqtt_wire import PUBLISH, UNSUBSCRIBE, Relay
from sparkplug import (
    DEADBAND_M,
    HOSTED,
    METRICS,
    STATE,
    connected,
    edge_node,
    host_state,
    tell_state,
)
from sparkplug_wire import HISTORICAL, TIMESTAMP, Said
from walkers import walkers

NOSE = "Pose/P0/nose/x"
S = 10**9
DEFINED = {metric.name: metric for metric in METRICS}


@pytest.fixture
def kept(tmp_path: Path) -> HistorySettings:
    return HistorySettings(rate_hz=1.0, spool=SpoolSettings(path=tmp_path / "cam0.history"))


Seen = tuple[Frame, list[Pose3D], Stats]


class Walk:
    """Two people who walk on and on; a frame a second, so that each is worth a moment."""

    def __init__(self, sink: SparkplugSink) -> None:
        self._sink = sink
        self._frames = walkers(people=2, fps=1.0, frames=10_000)
        self.shown: list[Seen] = []

    def on(self, frames: int) -> list[int]:
        """Show so many more frames; give their times."""
        some = [next(self._frames) for _ in range(frames)]
        for seen in some:
            self._sink.send(*seen)
        self.shown += some
        return [frame.captured_at_ms for frame, _, _ in some]


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def said_in(relay: Relay, session: int) -> list[Said]:
    """Give what was published in a session so far."""
    if len(relay.sessions) <= session:
        return []
    return [
        Said(session, packet.topic, packet.qos, packet.retain, packet.payload)
        for packet in list(relay.sessions[session].packets)
        if packet.kind == PUBLISH
    ]


def historical(said: Said) -> bool:
    """Tell whether a message is of the past; either all of it is or nothing."""
    (flag,) = {metric.number(HISTORICAL) for metric in said.metrics}
    assert flag in (None, 1)
    return flag == 1


def measured(said: Said) -> int:
    (measured_ms,) = {metric.number(TIMESTAMP) for metric in said.metrics}
    assert measured_ms is not None
    return measured_ms


def past_of(messages: Sequence[Said]) -> list[Said]:
    return [one for one in messages if one.verb == "DDATA" and historical(one)]


def told(messages: Sequence[Said]) -> list[int]:
    """Give the times of what was told of the past."""
    return [measured(one) for one in past_of(messages)]


def wait_told(relay: Relay, session: int, last_ms: int) -> list[Said]:
    relay.until(lambda: last_ms in told(said_in(relay, session)))
    return said_in(relay, session)


def check_session(messages: Sequence[Said]) -> None:
    """Nothing precedes the births, and everything is numbered as it should be."""
    assert [one.verb for one in messages[:2]] == ["NBIRTH", "DBIRTH"]
    data = messages[2:]
    assert {one.verb for one in data} == {"DDATA"}
    assert [one.seq for one in messages] == [n % 256 for n in range(len(messages))]
    assert {(one.qos, one.retain) for one in data} == {(0, False)}


def check_values(past: Sequence[Said], shown: Sequence[Seen]) -> None:
    """Whoever adds up what is told has every nose where it was, or within the deadband."""
    noses = {frame.captured_at_ms: poses[0].joints_m[INDEX["nose"], 0] for frame, poses, _ in shown}
    known: dict[str | None, Value] = {}
    assert {metric.name for metric in past[0].metrics} == set(DEFINED)
    for one in past:
        known |= {metric.name: metric.value for metric in one.metrics}
        assert known[NOSE] == pytest.approx(noses[measured(one)], abs=1.001 * DEADBAND_M)
        assert known["Pose/Persons"] == 2
        assert known["Pose/P3/nose/x"] is None


def test_what_happens_while_the_broker_is_away_is_told_after_the_births(
    mosquitto: Mosquitto, relay: Relay, kept: HistorySettings
) -> None:
    with connected(relay.broker, history=kept) as sink:
        sink.status("online")
        walk = Walk(sink)
        (first_ms,) = walk.on(1)
        fences = 0
        while fences < 2:  # a second one is sent when the first was answered
            walk.on(1)
            time.sleep(0.01)
            fences = sum(packet.kind == UNSUBSCRIBE for packet in relay.packets)
        mosquitto.stop()
        until(lambda: not sink.online)
        away_ms = walk.on(60)
        until(lambda: sink.history.rows >= 60)
        mosquitto.start()
        relay.until(lambda: len(said_in(relay, 1)) > 2)
        now_ms = walk.on(3)
        messages = wait_told(relay, 1, away_ms[-1])
        until(lambda: sink.history.rows == 0)
    check_session(messages)
    past_ms = told(messages)
    assert past_ms == sorted(set(past_ms))
    assert past_ms[-60:] == away_ms
    assert past_ms[0] > first_ms, "what has arrived is not told again"
    check_values(past_of(messages), walk.shown)
    data = messages[2:]
    live = [number for number, one in enumerate(data) if not historical(one)]
    assert [measured(data[number]) for number in live][-3:] == now_ms
    assert live[-1] < len(data) - 1, "who tells of the past goes on telling of the present"
    assert 60 <= sink.unsent <= 75


def test_what_was_sent_to_a_broker_that_was_dead_already_is_told_again(
    mosquitto: Mosquitto, relay: Relay, kept: HistorySettings
) -> None:
    with connected(relay.broker, history=kept) as sink:
        sink.status("online")
        walk = Walk(sink)
        walk.on(8)
        relay.until(lambda: len(relay.published("DDATA")) == 8)
        assert mosquitto.child is not None
        mosquitto.child.send_signal(signal.SIGSTOP)
        into_the_void_ms = walk.on(20)
        relay.until(lambda: len(relay.published("DDATA")) == 28)
        mosquitto.stop()
        mosquitto.start()
        messages = wait_told(relay, 1, into_the_void_ms[-1])
    check_session(messages)
    assert told(messages)[-20:] == into_the_void_ms
    check_values(past_of(messages), walk.shown)


def test_a_handful_that_a_dead_broker_did_not_answer_is_told_again(
    mosquitto: Mosquitto, relay: Relay, kept: HistorySettings
) -> None:
    mosquitto.stop()
    with connected(relay.broker, history=kept, wait_s=0.0) as sink:
        sink.status("online")
        away_ms = Walk(sink).on(55)
        until(lambda: sink.history.rows == 55)
        mosquitto.start()
        relay.until(lambda: len(told(said_in(relay, 0))) >= HANDFUL)
        assert mosquitto.child is not None
        mosquitto.child.send_signal(signal.SIGSTOP)
        time.sleep(1.0)  # the next handful has gone by now, and no other can have
        mosquitto.stop()
        mosquitto.start()
        messages = wait_told(relay, 1, away_ms[-1])
        before_ms = told(said_in(relay, 0))
    check_session(messages)
    assert before_ms == away_ms[: len(before_ms)]
    assert told(messages) == away_ms[len(before_ms) - HANDFUL :]


def test_what_happens_while_the_primary_host_is_away_is_told_when_it_is_back(
    mosquitto: Mosquitto, relay: Relay, kept: HistorySettings
) -> None:
    with connected(relay.broker, edge_node(HOSTED), history=kept) as sink:
        sink.status("online")
        walk = Walk(sink)
        before_ms = walk.on(12)
        tell_state(mosquitto.broker, online=True, timestamp_ms=100)
        messages = wait_told(relay, 0, before_ms[-1])
        check_session(messages)
        assert told(messages) == before_ms
        until(lambda: sink.history.rows == 0)
        tell_state(mosquitto.broker, online=False, timestamp_ms=200)
        relay.until(lambda: len(relay.sessions) == 2 and len(relay.sessions[1].packets) > 1)
        away_ms = walk.on(12)
        sink.status("stale")
        until(lambda: sink.history.rows == 13)
        tell_state(mosquitto.broker, online=True, timestamp_ms=300)
        relay.until(lambda: len(said_in(relay, 1)) == 1)
        sink.status("online")
        relay.until(lambda: len(told(said_in(relay, 1))) == 13)
        until(lambda: sink.history.rows == 0)
        messages = said_in(relay, 1)
    check_session(messages)
    *past, gone = past_of(messages)
    assert [measured(one) for one in past] == away_ms
    assert {metric.value for metric in gone.metrics} == {None}, "then the camera was lost"
    assert "Pose/P0/nose/x" in {metric.name for metric in gone.metrics}


def test_of_too_long_a_history_the_oldest_is_dropped_and_counted(
    mosquitto: Mosquitto, relay: Relay, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = SpoolSettings(path=tmp_path / "small.history", max_rows=20)
    mosquitto.stop()
    with (
        caplog.at_level(logging.INFO),
        connected(
            relay.broker, history=HistorySettings(rate_hz=1.0, spool=place), wait_s=0.0
        ) as sink,
    ):
        sink.status("online")
        away_ms = Walk(sink).on(50)
        until(lambda: sink.history.dropped == 30)
        assert sink.history.rows == 20
        mosquitto.start()
        relay.until(lambda: bool(relay.sessions))
        messages = wait_told(relay, 0, away_ms[-1])
    assert told(messages) == away_ms[30:]
    assert caplog.text.count("longer than [spool] has room for") == 1
    assert "30 were dropped" in caplog.text


def test_an_ordinary_end_leaves_nothing_and_an_end_without_a_broker_leaves_all(
    mosquitto: Mosquitto, relay: Relay, kept: HistorySettings
) -> None:
    with connected(relay.broker, history=kept) as sink:
        sink.status("online")
        Walk(sink).on(3)
        relay.until(lambda: len(relay.published("DDATA")) == 3)
    assert rows(kept) == 0
    mosquitto.stop()
    with connected(relay.broker, history=kept, wait_s=0.0) as sink:
        sink.status("online")
        Walk(sink).on(5)
    assert rows(kept) == 5


def rows(kept: HistorySettings) -> int:
    """Count what waits on the disk, whatever happened to whoever put it there."""
    assert kept.spool.path is not None
    with closing(SpoolFile(kept.spool.path)) as file:
        return file.rows


class PrimaryHost:
    """A host that comes back after every death of the broker, and says that it is there."""

    def __init__(self, broker: Broker) -> None:
        self._heard: SimpleQueue[Said] = SimpleQueue()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("spBv1.0/line-3/#")
        self._client.on_subscribe = lambda client, *_: client.publish(
            STATE, state(), 1, retain=True
        )
        self._client.on_message = lambda _c, _u, heard: self._heard.put(
            Said(0, heard.topic, heard.qos, heard.retain, bytes(heard.payload))
        )
        self._client.connect_async(broker.host, broker.port, keepalive=5)
        self._client.loop_start()

    def next(self) -> Said:
        """Wait for the next message."""
        return self._heard.get(timeout=PATIENCE_S)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


def state() -> bytes:
    return host_state(online=True, timestamp_ms=time.time_ns() // 1_000_000)


PROGRAM = """
import sys, time
from dataclasses import replace
from pathlib import Path
from edge_pose.address import Broker
from edge_pose.mqtt import HistorySettings
from edge_pose.spool import SpoolSettings
from sparkplug import HOSTED, connected, edge_node
from walkers import walkers
waiting, away = int(sys.argv[3]), sys.argv[4] == "1"
history = HistorySettings(rate_hz=1.0, spool=SpoolSettings(path=Path(sys.argv[2])))
broker = Broker(host="127.0.0.1", port=int(sys.argv[1]))
with connected(broker, edge_node(HOSTED), history=history, wait_s=0.0) as sink:
    sink.status("online")
    print("ready", flush=True)
    at_ms = 0
    for frame, poses, stats in walkers(people=1, fps=1.0, frames=100000):
        at_ms = max(at_ms + 1, time.time_ns() // 1_000_000)
        sink.send(replace(frame, captured_at_ms=at_ms), poses, stats)
        waiting += 1
        while away and sink.history.rows < waiting:
            time.sleep(0.001)
        if away:
            print(at_ms, flush=True)
        time.sleep(0.005)
"""


@contextmanager
def life(mosquitto: Mosquitto, kept: HistorySettings, *, away: bool) -> Iterator[list[int]]:
    """Run an edge node that is killed at the end; gives the times of what it has kept."""
    words = [str(mosquitto.broker.port), str(kept.spool.path), str(rows(kept)), str(int(away))]
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    found: list[int] = []
    try:
        yield found
    finally:
        child.kill()
        said, _ = child.communicate()
    found += [int(line) for line in said.splitlines()]


def test_through_kills_of_the_program_and_of_the_broker_no_moment_is_lost(
    mosquitto: Mosquitto, kept: HistorySettings
) -> None:
    draw = np.random.default_rng(1)
    mosquitto.stop()
    promised: list[int] = []
    for _ in range(4):
        with life(mosquitto, kept, away=True) as found:
            time.sleep(draw.uniform(0.1, 0.5))
        promised += found
    assert len(promised) > 20
    mosquitto.start()
    with closing(PrimaryHost(mosquitto.broker)) as host:
        for number in range(7):
            with life(mosquitto, kept, away=False):
                time.sleep(draw.uniform(0.1, 0.7))
                if number == 3:
                    mosquitto.stop()
                    time.sleep(0.1)
                    mosquitto.start()
                    time.sleep(draw.uniform(1.2, 1.6))
        with connected(mosquitto.broker, edge_node(HOSTED), history=kept) as sink:
            sink.status("online")
            heard: list[Said] = []
            missing = set(promised)
            while missing:
                heard.append(host.next())
                missing -= set(told(heard[-1:]))
            until(lambda: sink.history.rows == 0)
    first_heard = list(dict.fromkeys(told(heard)))
    assert first_heard == sorted(first_heard)
    verbs = [one.verb for one in heard]
    births = [number for number, verb in enumerate(verbs) if verb == "NBIRTH"]
    assert {verbs[number + 1] for number in births} == {"DBIRTH"}
    assert verbs.index("DDATA") > births[0]


def values(nose_m: float, **others: Value) -> dict[str, Value]:
    return {NOSE: nose_m, **others}


def test_while_nobody_hears_what_changed_is_kept_and_not_too_often() -> None:
    recorder = Recorder(DEFINED, rate_hz=2.0)
    kept = [
        recorder.see(values(nose_m), measured_ms=number, now_ns=round(number * 0.25 * S))
        for number, nose_m in enumerate([1.0, 2.0, 1.0, 3.0, 1.5, 1.5, 1.0 + 0.5])
    ]
    assert [[(one.measured_ms, one.values, one.whole) for one in some] for some in kept] == [
        [(0, {NOSE: 1.0}, True)], [], [], [], [(4, {NOSE: 1.5}, False)], [], [],
    ]  # fmt: skip


def test_once_a_minute_everything_that_is_known_is_kept() -> None:
    recorder = Recorder(DEFINED, rate_hz=1.0)
    kept = [
        recorder.see(values(1.0), measured_ms=second, now_ns=second * S) for second in range(130)
    ]
    assert [one.measured_ms for some in kept for one in some] == [0, 60, 120]
    assert {one.whole for some in kept for one in some} == {True}


def test_what_was_heard_is_not_kept_and_what_may_not_have_been_is() -> None:
    recorder = Recorder(DEFINED, rate_hz=1.0)
    recorder.hear()
    for second in range(5):
        assert recorder.see(values(float(second)), measured_ms=second, now_ns=second * S) == []
        if second == 2:
            arrived = recorder.last_sample
    recorder.confirm(arrived)
    assert [(one.measured_ms, one.whole) for one in recorder.lose()] == [(3, True), (4, False)]
    assert not recorder.unconfirmed


def test_what_was_not_confirmed_for_long_does_not_fill_the_memory() -> None:
    recorder = Recorder(DEFINED, rate_hz=1.0)
    recorder.hear()
    for second in range(1000):
        recorder.see(values(float(second)), measured_ms=second, now_ns=second * S)
    assert [one.measured_ms for one in recorder.lose()] == [*range(1000 - REMEMBERED_S, 1000)]


def test_a_camera_that_was_never_seen_is_not_told_to_be_gone() -> None:
    recorder = Recorder(DEFINED, rate_hz=1.0)
    assert recorder.lose_camera(now_ms=1, now_ns=1) == []
    recorder.see(values(1.0), measured_ms=2, now_ns=2)
    (gone,) = recorder.lose_camera(now_ms=3, now_ns=3)
    assert gone.values == {NOSE: None}
    assert recorder.lose_camera(now_ms=4, now_ns=4) == []


def test_a_moment_is_read_as_it_was_written_to_the_micrometre() -> None:
    recorder = Recorder(DEFINED, rate_hz=1.0)
    others: dict[str, Value] = {"Pose/Persons": 1, "Pose/P0/stale": False, "Stats/fps": 25.0}
    (moment,) = recorder.see(values(1.23456789, **others), measured_ms=7, now_ns=0)
    read = read_moment(write_moment(moment))
    assert (read.measured_ms, read.whole) == (7, True)
    assert read.values == {NOSE: 1.234568, **others}
    assert {type(value) for value in read.values.values()} == {float, int, bool}
