"""Publishing to a real broker, heard by a client that we did not write."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from brokers import Mosquitto, certificates, listening, prepared_mosquitto
from edge_pose.address import Broker, Protocol, Topics
from edge_pose.config import TagsConfig
from edge_pose.errors import EXIT_OPERATOR, BrokerError, ConfigError
from edge_pose.message import Info, Model, as_mapping, encode, meta
from edge_pose.mqtt import MqttSink
from edge_pose.pipeline import Sink
from edge_pose.schema import schema
from walkers import intrinsics, walkers

TOPICS = Topics(root="plant/line-3", device="edge-7", cam="cam0")
MODEL = Model(name="edge-body", version="1.0.0", sha256="ab" * 32)
INFO = Info(version="0.1.0", machine="x", model=MODEL, engine="a fake", started=1)
META = meta(cam="cam0", intrinsics=intrinsics(), model=MODEL, engine="a fake")
CONNECT_S = 30.0


def clock_of(step_s: float) -> Callable[[], int]:
    """Make a clock that goes on whenever somebody looks: the sink looks once a frame."""
    ticks = count()
    return lambda: round(next(ticks) * step_s * 1e9)


@contextmanager
def connected(broker: Broker, *, step_s: float = 0.04) -> Iterator[MqttSink]:
    sink = MqttSink(broker, TOPICS, INFO, clock=clock_of(step_s))
    try:
        sink.wait_online(CONNECT_S)
        yield sink
    finally:
        sink.close()


def send(sink: MqttSink, *, frames: int = 1, people: int = 2) -> None:
    for frame, poses, stats in walkers(people=people, frames=frames):
        sink.send(frame, poses, stats)


def is_told_late(broker: Broker, topic: str, payload: str) -> bool:
    """Wait until it was said, then come as a stranger and hear it as the first thing."""
    with listening(broker, topic) as listener:
        listener.until(topic, payload)
    with listening(broker, topic) as late:
        heard = late.next()
    return heard.retained and heard.payload == payload


def test_the_sink_is_one_that_the_pipeline_takes(mosquitto: Mosquitto) -> None:
    with connected(mosquitto.broker) as sink:
        assert isinstance(sink, Sink)


def test_whoever_comes_late_is_told_what_holds(mosquitto: Mosquitto) -> None:
    with connected(mosquitto.broker) as sink:
        sink.start(as_mapping(META))
        sink.status("online")
        assert is_told_late(mosquitto.broker, TOPICS.device_status, "online")
        assert is_told_late(mosquitto.broker, TOPICS.device_info, encode(INFO))
        assert is_told_late(mosquitto.broker, TOPICS.camera("meta"), encode(META))
        assert is_told_late(mosquitto.broker, TOPICS.camera("status"), "online")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_frames_people_and_figures_are_heard_but_not_kept(
    mosquitto: Mosquitto, protocol: Protocol
) -> None:
    broker = replace(mosquitto.broker, protocol=protocol)
    with connected(broker, step_s=0.6) as sink, listening(broker, f"{TOPICS.root}/#") as listener:
        listener.next("/status")
        send(sink, frames=3)
        pose, person, stats = (listener.next(leaf) for leaf in ("/pose", "/person/1", "/stats"))
    Draft202012Validator(schema("frame")).validate(json.loads(pose.payload))
    Draft202012Validator(schema("stats")).validate(json.loads(stats.payload))
    assert json.loads(person.payload)["id"] == 2
    for heard in (pose, person, stats):
        assert not heard.retained
        assert heard.qos == 0
        assert heard.topic.startswith("plant/line-3/edge-7/cam0/")
        if protocol == "5":
            assert heard.content_type == "application/json"
            assert 1 <= int(heard.expiry_s) <= 2


def test_tags_are_bare_numbers_where_they_are_asked_for(mosquitto: Mosquitto) -> None:
    tags = TagsConfig(enabled=True, joints=("nose",))
    sink = MqttSink(mosquitto.broker, TOPICS, INFO, tags=tags, clock=clock_of(0.04))
    try:
        sink.wait_online(CONNECT_S)
        with listening(mosquitto.broker, f"{TOPICS.root}/#") as listener:
            listener.next("/status")
            send(sink, frames=1)
            heard = listener.next("/tag/0/nose/z")
    finally:
        sink.close()
    assert heard.topic == TOPICS.camera("tag/0/nose/z")
    assert float(heard.payload) > 1.0
    assert not heard.retained


def test_after_a_restart_of_the_broker_the_status_is_online_again(mosquitto: Mosquitto) -> None:
    """Once our own last will stood there as `offline` for ever while frames flowed."""
    with connected(mosquitto.broker) as sink:
        sink.start(as_mapping(META))
        sink.status("online")
        assert is_told_late(mosquitto.broker, TOPICS.camera("status"), "online")
        mosquitto.stop()  # all was acknowledged, so the client has nothing to send again
        send(sink, frames=3)
        mosquitto.start()
        assert is_told_late(mosquitto.broker, TOPICS.device_status, "online")
        assert is_told_late(mosquitto.broker, TOPICS.camera("status"), "online")
        assert is_told_late(mosquitto.broker, TOPICS.camera("meta"), encode(META))


def test_what_is_seen_while_the_broker_is_away_is_dropped_and_counted(
    mosquitto: Mosquitto,
) -> None:
    mosquitto.stop()
    sink = MqttSink(mosquitto.broker, TOPICS, INFO, clock=clock_of(1.1))
    try:
        send(sink, frames=7)
        mosquitto.start()
        sink.wait_online(CONNECT_S)
        with listening(mosquitto.broker, f"{TOPICS.root}/#") as listener:
            listener.next("/status")
            send(sink, frames=1)
            heard = listener.next("/stats")
    finally:
        sink.close()
    assert json.loads(heard.payload)["unsent"] == 7


def test_a_sink_that_closes_says_offline(mosquitto: Mosquitto) -> None:
    with connected(mosquitto.broker) as sink:
        sink.status("online")
    assert is_told_late(mosquitto.broker, TOPICS.device_status, "offline")
    assert is_told_late(mosquitto.broker, TOPICS.camera("status"), "offline")


def test_a_process_that_is_killed_leaves_the_word_offline(mosquitto: Mosquitto) -> None:
    program = f"""
from edge_pose.address import Broker, Topics
from edge_pose.message import Info, Model
from edge_pose.mqtt import MqttSink
model = Model(name="", version="", sha256="")
sink = MqttSink(
    {mosquitto.broker!r},
    {TOPICS!r},
    Info(version="", machine="", model=model, engine="", started=1),
)
sink.wait_online({CONNECT_S})
input()
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    with listening(mosquitto.broker, TOPICS.device_status) as listener:
        assert listener.next().payload == "online"
        child.kill()
        assert listener.next().payload == "offline"
    child.communicate()


def walk(sink: MqttSink, there: Sequence[Sequence[int]]) -> None:
    """Send a frame for each list of the numbers of those who are seen in it."""
    for (frame, poses, stats), seen in zip(walkers(people=4), there, strict=False):
        sink.send(frame, [pose for pose in poses if pose.track in seen], stats)


def heard_of_people(
    broker: Broker, there: Sequence[Sequence[int]], *, step_s: float
) -> list[tuple[int, int]]:
    """Slot and number of every flat message, in order."""
    with connected(broker, step_s=step_s) as sink, listening(broker) as listener:
        listener.next("/status")
        walk(sink, there)
        sink.status("stale")
        heard = listener.until(TOPICS.camera("status"), "stale")
    return [
        (int(one.topic.rpartition("/")[2]), json.loads(one.payload)["id"])
        for one in heard
        if "/person/" in one.topic
    ]


def test_one_person_is_told_at_most_ten_times_a_second(mosquitto: Mosquitto) -> None:
    told = heard_of_people(mosquitto.broker, [[1]] * 31, step_s=1 / 30)
    assert set(told) == {(0, 1)}
    assert len(told) == 11  # at 0.0, 0.1, … 1.0 s


def test_a_slot_is_kept_while_a_person_is_seen_and_then_given_to_the_next(
    mosquitto: Mosquitto,
) -> None:
    there = [[1, 2, 3], [2, 3], [2, 3, 4], [1, 2, 3, 4]]
    told = heard_of_people(mosquitto.broker, there, step_s=1.0)
    assert told[:3] == [(0, 1), (1, 2), (2, 3)]
    assert told[3:5] == [(1, 2), (2, 3)]
    assert told[5:8] == [(1, 2), (2, 3), (0, 4)]
    assert told[8:] == [(3, 1), (1, 2), (2, 3), (0, 4)]


def test_a_broker_that_is_not_there_is_named_with_what_to_do(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    sink = MqttSink(mosquitto.broker, TOPICS, INFO)
    try:
        with pytest.raises(BrokerError, match=r"mqtt://127\.0\.0\.1:\d+.*refused.*--broker"):
            sink.wait_online(5.0)
    finally:
        sink.close()


def with_password(folder: Path, password: str) -> Mosquitto:
    users = folder / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "pose", password], check=True)
    users.chmod(0o644)
    mosquitto = prepared_mosquitto(folder, f"password_file {users}", "allow_anonymous false")
    mosquitto.start()
    return mosquitto


def test_a_wrong_password_is_an_error_for_the_operator_and_tells_no_secret(tmp_path: Path) -> None:
    mosquitto = with_password(tmp_path, "right")
    (tmp_path / "secret").write_text("wrong-but-secret\n")
    broker = replace(mosquitto.broker, username="pose", password_file=tmp_path / "secret")
    sink = MqttSink(broker, TOPICS, INFO)
    try:
        with pytest.raises(BrokerError, match="Not authorized") as caught:
            sink.wait_online(CONNECT_S)
        with pytest.raises(BrokerError):
            sink.status("online")
    finally:
        sink.close()
        mosquitto.stop()
    assert caught.value.exit_code == EXIT_OPERATOR
    assert "wrong-but-secret" not in str(caught.value)
    assert "pose@" not in str(caught.value)


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    mosquitto = with_password(tmp_path, "right")
    (tmp_path / "secret").write_text("right\n")
    broker = replace(mosquitto.broker, username="pose", password_file=tmp_path / "secret")
    try:
        with connected(broker) as sink:
            sink.status("online")
    finally:
        mosquitto.stop()


# The client leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_tls_lets_us_in_only_where_the_certificate_is_trusted(tmp_path: Path) -> None:
    certificates(tmp_path)
    files = [f"certfile {tmp_path}/cert.pem", f"keyfile {tmp_path}/key.pem"]
    mosquitto = prepared_mosquitto(tmp_path, *files, "allow_anonymous true")
    mosquitto.start()
    broker = replace(mosquitto.broker, tls=True)
    try:
        with connected(replace(broker, ca_file=tmp_path / "cert.pem")) as sink:
            sink.status("online")
        stranger = MqttSink(broker, TOPICS, INFO)
        try:
            with pytest.raises(BrokerError, match=r"mqtts://.*certificate verify failed"):
                stranger.wait_online(5.0)
        finally:
            stranger.close()
    finally:
        mosquitto.stop()


def test_tls_files_that_cannot_be_read_are_named() -> None:
    broker = Broker(host="127.0.0.1", tls=True, ca_file=Path("nowhere.pem"))
    with pytest.raises(ConfigError, match=r"nowhere\.pem.*mqtt\.ca_file"):
        MqttSink(broker, TOPICS, INFO)


@pytest.mark.slow
def test_a_network_that_stalls_does_not_stall_the_pipeline(mosquitto: Mosquitto) -> None:
    """The broker stops reading; what does not fit is dropped and counted, then all goes on."""
    assert mosquitto.child is not None
    scene = list(walkers(people=4, frames=10))
    with connected(mosquitto.broker) as sink, listening(mosquitto.broker) as listener:
        listener.next("/status")
        mosquitto.child.send_signal(signal.SIGSTOP)
        for frame, poses, stats in scene * 100:
            sink.send(frame, poses, stats)
        mosquitto.child.send_signal(signal.SIGCONT)
        sink.status("stale")
        heard = listener.until(TOPICS.camera("status"), "stale")
    frames = [one for one in heard if one.topic.endswith("/pose")]
    assert 0 < len(frames) < 1000
