"""An edge node at a real broker: births, deaths, commands, and what happens when things break."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from brokers import PATIENCE_S, Heard, Listener, Mosquitto, listening, prepared_mosquitto
from edge_pose.address import Broker, Protocol
from edge_pose.control import Reborn
from edge_pose.errors import BrokerError
from edge_pose.metrics.tally import Linked
from edge_pose.mqtt import SparkplugSink
from edge_pose.pipeline import Sink
from edge_pose.sparkplug.payload import Payload, decode
from mqtt_wire import DISCONNECT, PUBLISH, UNSUBSCRIBE, Relay
from sparkplug import (
    CONNECT_S,
    HOSTED,
    JOINTS,
    NCMD,
    STATE,
    TOPICS,
    command,
    connected,
    edge_node,
    host_state,
    tell,
    tell_state,
    walk,
)


class Host:
    """A host application that hears the edge node and decodes what it says."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def next(self, verb: str) -> Payload:
        """Wait for the next message of a kind."""
        while True:
            heard = self._listener.next()
            if heard.topic.split("/")[2] == verb:
                return decode(bytes.fromhex(heard.payload))

    def verbs(self, number: int) -> list[str]:
        """Tell the kinds of the next messages."""
        return [self._listener.next().topic.split("/")[2] for _ in range(number)]


@contextmanager
def hearing(broker: Broker) -> Iterator[Listener]:
    """Hear everything from now on: what the broker keeps is heard, so the subscription stands."""
    tell(broker, "spBv1.0/line-3/HELLO/edge-7", b"x", "-r", "-q", "1")
    with listening(broker, "spBv1.0/line-3/#", "-F", "%r|%q|%E|%C|%t|%x") as listener:
        listener.next("/HELLO/edge-7")
        yield listener


@pytest.fixture
def host(mosquitto: Mosquitto) -> Iterator[Host]:
    with hearing(mosquitto.broker) as listener:
        yield Host(listener)


def bd_seq(payload: Payload) -> object:
    (metric,) = [metric for metric in payload.metrics if metric.name == "bdSeq"]
    return metric.value


def test_the_sink_is_one_that_the_pipeline_takes(mosquitto: Mosquitto) -> None:
    with connected(mosquitto.broker) as sink:
        assert isinstance(sink, Sink)


def test_the_figures_know_whether_the_node_is_connected_and_what_it_could_not_tell(
    mosquitto: Mosquitto,
) -> None:
    with connected(mosquitto.broker) as sink:
        assert isinstance(sink, Linked)
        sink.status("online")
        walk(sink, frames=2)
        assert (sink.online, sink.unsent) == (True, 0)
        mosquitto.stop()
        until(lambda: not sink.online)
        walk(sink, frames=3)
        until(lambda: sink.unsent >= 3)


def test_without_a_history_nothing_of_the_past_is_told(relay: Relay) -> None:
    with connected(relay.broker) as sink:
        sink.status("online")
        relay.cut()
        relay.until(lambda: len(relay.sessions) == 2 and "DBIRTH" in verbs(relay, session=1))
        walk(sink, frames=2)
        relay.until(lambda: len(relay.published("DDATA")) == 2)
    data = [decode(packet.payload) for packet in relay.published("DDATA")]
    assert {metric.is_historical for one in data for metric in one.metrics} == {False}
    assert (sink.history.rows, UNSUBSCRIBE in {packet.kind for packet in relay.packets}) == (
        0,
        False,
    )


def test_a_host_hears_the_birth_the_camera_and_the_people(mosquitto: Mosquitto, host: Host) -> None:
    with connected(mosquitto.broker) as sink:
        sink.status("online")
        walk(sink, frames=2)
        assert host.next("NBIRTH").seq == 0
        assert {metric.value for metric in host.next("DBIRTH").metrics} == {None}
        data = host.next("DDATA")
        told = {metric.name: metric.value for metric in data.metrics}
        assert told["Pose/Persons"] == 2
        assert told["Pose/P1/stale"] is False
        assert isinstance(told["Pose/P1/right_wrist/z"], float)
        assert "Pose/P2/nose/x" not in told
        assert data.metrics[0].timestamp_ms == 1_790_000_000_000
    assert bd_seq(host.next("NDEATH")) == 0


@pytest.mark.parametrize("lost", ["offline", "stale"])
def test_a_camera_that_gives_no_pictures_is_dead_until_it_does(
    mosquitto: Mosquitto, host: Host, lost: str
) -> None:
    with connected(mosquitto.broker) as sink:
        for state in ("online", lost, "online"):
            sink.status(state)
        assert host.verbs(4) == ["NBIRTH", "DBIRTH", "DDEATH", "DBIRTH"]


def test_data_go_out_at_most_as_often_as_asked(relay: Relay) -> None:
    with connected(relay.broker, step_s=0.04) as sink:
        sink.status("online")
        walk(sink, frames=51)
    until_left(relay)
    assert len(relay.published("DDATA")) == 4  # at 0.0, 0.52, 1.04 and 1.56 s; 2 a second at most


def test_a_slot_is_kept_while_a_person_is_seen_and_then_given_to_the_next(relay: Relay) -> None:
    with connected(relay.broker) as sink:
        sink.status("online")
        for seen in ([1, 2], [2], [2, 3]):
            walk(sink, seen=seen)
    until_left(relay)
    first, second, third = [decode(packet.payload) for packet in relay.published("DDATA")]
    assert {m.name: m.value for m in first.metrics}["Pose/P1/stale"] is False
    gone = {metric.name: metric.value for metric in second.metrics}
    assert gone["Pose/Persons"] == 1
    assert {gone["Pose/P0/stale"], gone["Pose/P0/nose/x"], gone["Pose/P0/nose/c"]} == {None}
    assert not any("/P1/" in str(metric.name) for metric in second.metrics)
    assert {m.name: m.value for m in third.metrics}["Pose/P0/stale"] is False


def test_a_process_that_is_killed_is_declared_dead_by_the_broker(
    mosquitto: Mosquitto, host: Host
) -> None:
    child = process(mosquitto)
    assert bd_seq(host.next("NBIRTH")) == 0
    child.kill()
    dead = host.next("NDEATH")
    child.communicate()
    assert bd_seq(dead) == 0
    assert dead.seq is None


def process(mosquitto: Mosquitto) -> "subprocess.Popen[bytes]":
    """Run an edge node as a process of its own."""
    program = f"""
from edge_pose.address import Broker
from sparkplug import connected
with connected({mosquitto.broker!r}):
    input()
"""
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, cwd=Path(__file__).parent
    )


def test_a_process_that_hangs_is_dead_before_the_one_that_follows_is_born(
    mosquitto: Mosquitto, host: Host
) -> None:
    """Both bear bdSeq 0: a death heard after the birth would be taken for that of the new one."""
    child = process(mosquitto)
    host.next("NBIRTH")
    child.send_signal(signal.SIGSTOP)
    try:
        with connected(mosquitto.broker):
            tell(mosquitto.broker, NCMD, command())
            assert host.verbs(4) == ["NDEATH", "NBIRTH", "NCMD", "NBIRTH"]
    finally:
        child.kill()
        child.communicate()


def test_two_cameras_with_one_name_are_told_to_take_two(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(mosquitto.broker), connected(mosquitto.broker):
        until(lambda: any("sparkplug.node" in text for text in caplog.messages))
    assert "session of the Sparkplug node edge-7 at mqtt://127.0.0.1" in caplog.text


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_after_a_restart_of_the_broker_there_is_a_birth_with_the_next_number(
    mosquitto: Mosquitto,
) -> None:
    """Attempts at a broker that is not there are not counted: no CONNECT was sent."""
    with connected(mosquitto.broker) as sink:
        sink.status("online")
        mosquitto.stop()
        walk(sink, frames=3)
        mosquitto.start()
        with hearing(mosquitto.broker) as listener:
            births: list[Heard] = []
            while not births:  # it asks until it is heard
                tell(mosquitto.broker, NCMD, command())
                heard = listener.until(NCMD, command().hex())
                births = [one for one in heard if "/NBIRTH/" in one.topic]
    assert bd_seq(decode(bytes.fromhex(births[0].payload))) == 1


def test_a_worker_that_lags_behind_says_nothing_in_a_session_before_its_birth(
    relay: Relay,
) -> None:
    looks = count()

    def clock() -> int:
        """Stop the worker until a new session was opened behind its back."""
        look = next(looks)
        if look == 1:
            relay.cut()
            relay.until(lambda: len(relay.sessions) == 2 and bool(relay.sessions[1].packets))
        return look * 10**9

    sink = SparkplugSink(relay.broker, edge_node(), joints=JOINTS, rate_hz=2.0, clock=clock)
    try:
        sink.wait_online(CONNECT_S)
        sink.status("online")
        walk(sink, frames=2)
        relay.until(lambda: len(relay.sessions) == 2 and "DBIRTH" in verbs(relay, session=1))
    finally:
        sink.close()
    assert verbs(relay, session=1)[:2] == ["NBIRTH", "DBIRTH"]


def until_left(relay: Relay) -> None:
    """Wait for the end: it reaches the relay a moment after the sink is closed."""
    relay.until(lambda: relay.packets[-1].kind == DISCONNECT)


def all_verbs(relay: Relay, *, session: int) -> list[str]:
    """Wait for the end of a session, and tell what was sent in it."""
    relay.until(lambda: relay.sessions[session].packets[-1].kind == DISCONNECT)
    return verbs(relay, session=session)


def verbs(relay: Relay, *, session: int) -> list[str]:
    return [
        packet.topic.split("/")[2]
        for packet in relay.sessions[session].packets
        if packet.kind == PUBLISH
    ]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (command(), ["-r"]),
        (command(value=False), []),
        (command(value=1), []),
        (command("Node Control/Reboot"), []),
        (b"", []),
        (b"rubbish", []),
        (b"\xff" * 300, []),
    ],
)
def test_only_a_fresh_and_true_request_for_rebirth_is_obeyed(
    mosquitto: Mosquitto, relay: Relay, payload: bytes, words: list[str]
) -> None:
    """What was kept by the broker reaches the node first: nothing else distinguishes it."""
    tell(mosquitto.broker, NCMD, payload, *words)
    with connected(relay.broker) as sink:
        if not words:
            tell(mosquitto.broker, NCMD, payload)
        sink.status("online")
        relay.until(lambda: bool(relay.published("DBIRTH")))
        walk(sink)
        relay.until(lambda: bool(relay.published("DDATA")))
        tell(mosquitto.broker, NCMD, command())
        relay.until(lambda: len(relay.published("DBIRTH")) == 2)
    assert all_verbs(relay, session=0) == [
        "NBIRTH", "DBIRTH", "DDATA", "NBIRTH", "DBIRTH", "NDEATH",
    ]  # fmt: skip


def test_births_are_told_anew_where_we_ourselves_ask_for_it(relay: Relay) -> None:
    with connected(relay.broker) as sink:
        assert isinstance(sink, Reborn)
        sink.status("online")
        sink.rebirth()
        relay.until(lambda: len(relay.published("DBIRTH")) == 2)
    assert verbs(relay, session=0)[:4] == ["NBIRTH", "DBIRTH", "NBIRTH", "DBIRTH"]


def test_nothing_is_published_while_the_primary_host_is_away(
    mosquitto: Mosquitto, relay: Relay
) -> None:
    tell_state(mosquitto.broker, online=False, timestamp_ms=100)
    tell_state(mosquitto.broker, online=True, timestamp_ms=900, topic=f"{STATE}-2")
    with connected(relay.broker, edge_node(HOSTED)) as sink:
        sink.status("online")
        walk(sink, frames=3)
        tell(mosquitto.broker, NCMD, command())
    assert all_verbs(relay, session=0) == ["NDEATH"]


def test_a_primary_host_that_comes_goes_and_comes_again(mosquitto: Mosquitto, relay: Relay) -> None:
    """Rubbish, old words and other hosts are passed over; a host's will is as old as its birth."""
    with connected(relay.broker, edge_node(HOSTED)) as sink:
        sink.status("online")
        tell(mosquitto.broker, STATE, b"ONLINE", "-q", "1")
        tell_state(mosquitto.broker, online=True, timestamp_ms=100)
        relay.until(lambda: len(relay.published("DBIRTH")) == 1)
        tell(mosquitto.broker, STATE, host_state(online=False, timestamp_ms=99), "-q", "1")
        tell_state(mosquitto.broker, online=False, timestamp_ms=100, topic=f"{STATE}-2")
        tell(mosquitto.broker, NCMD, command(), "-q", "1")
        relay.until(lambda: len(relay.published("DBIRTH")) == 2)
        tell_state(mosquitto.broker, online=False, timestamp_ms=100)
        relay.until(lambda: len(relay.sessions) == 2 and len(relay.sessions[1].packets) >= 2)
        walk(sink, frames=2)
        tell_state(mosquitto.broker, online=True, timestamp_ms=101)
        relay.until(lambda: len(relay.published("DBIRTH")) == 3)
    assert all_verbs(relay, session=0) == ["NBIRTH", "DBIRTH", "NBIRTH", "DBIRTH", "NDEATH"]
    assert relay.sessions[0].packets[-1].kind == DISCONNECT
    assert all_verbs(relay, session=1) == ["NBIRTH", "DBIRTH", "NDEATH"]


@pytest.mark.slow
def test_the_number_of_a_session_begins_again_after_255(mosquitto: Mosquitto, relay: Relay) -> None:
    """A primary host that comes and goes makes a session each time, with nobody waiting."""
    command_line = ["mosquitto_pub", "-h", relay.broker.host, "-p", str(mosquitto.broker.port)]
    said = subprocess.Popen(
        [*command_line, "-l", "-r", "-q", "1", "-t", STATE], stdin=subprocess.PIPE
    )
    assert said.stdin is not None
    with connected(relay.broker, edge_node(HOSTED)):
        for number in range(257):
            relay.until(lambda n=number: len(relay.sessions) == n + 1)  # type: ignore[misc]
            for online in (True, False):
                state = host_state(online=online, timestamp_ms=2 * number + 1 - online)
                said.stdin.write(state + b"\n")
                said.stdin.flush()
                if online:
                    relay.until(lambda n=number: len(relay.published("NBIRTH")) == n + 1)  # type: ignore[misc]
        relay.until(lambda: len(relay.sessions) == 258)
    said.communicate()
    births = [bd_seq(decode(packet.payload)) for packet in relay.published("NBIRTH")]
    wills = [bd_seq(decode(session.packets[0].payload)) for session in relay.sessions]
    assert births == [*range(256), 0]
    assert wills == [*range(256), 0, 1]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_whoever_leaves_says_so_and_the_broker_may_say_it_again(
    relay: Relay, protocol: Protocol
) -> None:
    with connected(replace(relay.broker, protocol=protocol)):
        pass
    until_left(relay)
    *_, death, goodbye = relay.packets
    assert death.topic == TOPICS.of_node("NDEATH")
    assert goodbye.kind == DISCONNECT
    assert goodbye.reason == (4 if protocol == "5" else None)


def test_a_wrong_password_is_an_error_for_the_operator(tmp_path: Path) -> None:
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "pose", "right"], check=True)
    users.chmod(0o644)
    mosquitto = prepared_mosquitto(tmp_path, f"password_file {users}", "allow_anonymous false")
    mosquitto.start()
    sink = SparkplugSink(mosquitto.broker, edge_node(), joints=JOINTS, rate_hz=2.0)
    try:
        with pytest.raises(BrokerError, match="Not authorized"):
            sink.wait_online(CONNECT_S)
        with pytest.raises(BrokerError):
            sink.status("online")
    finally:
        sink.close()
        mosquitto.stop()


def test_a_broker_that_is_not_there_is_named(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    sink = SparkplugSink(mosquitto.broker, edge_node(), joints=JOINTS, rate_hz=2.0)
    try:
        with pytest.raises(BrokerError, match="no MQTT broker answers"):
            sink.wait_online(2.0)
    finally:
        sink.close()
