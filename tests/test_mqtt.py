"""Publishing to a real broker, heard by a client that we did not write."""

import base64
import hashlib
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from brokers import PATIENCE_S, Mosquitto, certificates, listening, prepared_mosquitto
from edge_pose.address import Broker, Protocol, Topics
from edge_pose.capture import open_source
from edge_pose.config import CameraConfig, TagsConfig
from edge_pose.errors import EXIT_OPERATOR, BrokerError, ConfigError
from edge_pose.message import Info, Model, as_mapping, encode, meta
from edge_pose.mqtt import MqttSink, SparkplugSink
from edge_pose.pipeline import Background, Sink, Work, run
from edge_pose.schema import schema
from edge_pose.types import Frame, Pose3D
from mqtt_wire import SUBSCRIBE, Relay, Session
from sparkplug import JOINTS, edge_node
from walkers import intrinsics, walkers

TOPICS = Topics(root="plant/line-3", device="edge-7", cam="cam0")
MODEL = Model(name="edge-body", version="1.0.0", sha256="ab" * 32)
INFO = Info(version="0.1.0", machine="x", model=MODEL, engine="a fake", started=1)
META = meta(cam="cam0", intrinsics=intrinsics(), model=MODEL, engine="a fake")
TAGS = TagsConfig(enabled=True, joints=("nose",))
CONNECT_S = 30.0


def clock_of(step_s: float) -> Callable[[], int]:
    """Make a clock that goes on whenever somebody looks: the sink looks once a frame."""
    ticks = count()
    return lambda: round(next(ticks) * step_s * 1e9)


@contextmanager
def connected(
    broker: Broker,
    topics: Topics = TOPICS,
    *,
    step_s: float = 0.04,
    tags: TagsConfig | None = None,
) -> Iterator[MqttSink]:
    sink = MqttSink(broker, topics, INFO, tags=tags, clock=clock_of(step_s))
    try:
        sink.wait_online(CONNECT_S)
        yield sink
    finally:
        sink.close()


def send(sink: MqttSink, *, frames: int = 1, people: int = 2) -> None:
    for frame, poses, stats in walkers(people=people, frames=frames):
        sink.send(frame, poses, stats)


def publish(broker: Broker, topic: str, payload: str) -> None:
    to = ["-h", broker.host, "-p", str(broker.port), "-t", topic]
    subprocess.run(["mosquitto_pub", *to, "-m", payload], check=True)


def is_told_late(broker: Broker, topic: str, payload: str, *words: str) -> bool:
    """Wait until it was said, then come as a stranger and hear it as the first thing."""
    with listening(broker, topic, *words) as listener:
        listener.until(topic, payload)
    with listening(broker, topic, *words) as late:
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
    with (
        connected(mosquitto.broker, tags=TAGS) as sink,
        listening(mosquitto.broker, f"{TOPICS.root}/#") as listener,
    ):
        listener.next("/status")
        send(sink, frames=1)
        heard = listener.next("/tag/0/nose/z")
    assert heard.topic == TOPICS.camera("tag/0/nose/z")
    assert float(heard.payload) > 1.0
    assert not heard.retained


@pytest.mark.parametrize("state", ["offline", "stale", "paused"])
def test_tags_say_that_nobody_is_known_when_the_camera_sees_nothing(
    mosquitto: Mosquitto, state: str
) -> None:
    with (
        connected(mosquitto.broker, tags=TAGS) as sink,
        listening(mosquitto.broker, f"{TOPICS.root}/#") as listener,
    ):
        listener.next("/status")
        sink.status("online")
        send(sink, people=2)
        sink.status(state)
        listener.until(TOPICS.camera("status"), state)
        heard = [listener.next() for _ in range(2)]
        send(sink, people=1)
        again = listener.next("/c")
    assert {one.topic: one.payload for one in heard} == {
        TOPICS.camera(f"tag/{slot}/nose/c"): "0.000" for slot in (0, 1)
    }
    assert float(again.payload) > 0.5


def test_tags_say_that_nobody_is_known_before_the_goodbye(mosquitto: Mosquitto) -> None:
    with listening(mosquitto.broker, f"{TOPICS.root}/#") as listener:
        with connected(mosquitto.broker, tags=TAGS) as sink:
            listener.until(TOPICS.device_status, "online")
            sink.status("online")
            send(sink)
        heard = listener.until(TOPICS.device_status, "offline")
    told = [one.payload for one in heard if one.topic == TOPICS.camera("tag/0/nose/c")]
    assert told[-1] == "0.000"
    assert len(told) == 2


def test_tags_of_a_camera_that_went_while_the_broker_was_away_fall_to_zero_afterwards(
    relay: Relay, mosquitto: Mosquitto
) -> None:
    with (
        connected(relay.broker, tags=TAGS) as sink,
        listening(mosquitto.broker, f"{TOPICS.root}/#") as listener,
    ):
        listener.next("/status")
        sink.status("online")
        send(sink)
        assert listener.next("/tag/0/nose/c").payload != "0.000"
        relay.cut()
        relay.until(lambda: not sink.online)
        sink.status("stale")
        assert listener.next("/tag/0/nose/c").payload == "0.000"


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


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_camera_that_stops_does_not_leave_the_others_of_its_device_offline(
    mosquitto: Mosquitto, protocol: Protocol
) -> None:
    """Everybody who is still there answers once, and nobody answers the last one."""
    broker = replace(mosquitto.broker, protocol=protocol)
    with listening(broker, TOPICS.device_status) as listener:
        with connected(broker, replace(TOPICS, cam="cam1")):
            with connected(broker, replace(TOPICS, cam="cam2")):
                with connected(broker, replace(TOPICS, cam="cam3")):
                    pass
                listener.until(TOPICS.device_status, "offline")
                assert [listener.next().payload for _ in range(2)] == ["online", "online"]
            assert [listener.next().payload for _ in range(2)] == ["offline", "online"]
        publish(broker, TOPICS.device_status, "the end")
        heard = listener.until(TOPICS.device_status, "the end")
    assert [one.payload for one in heard] == ["offline"]


def test_a_last_will_that_comes_late_is_answered(mosquitto: Mosquitto) -> None:
    """The broker notices after many seconds that an earlier connection of ours is dead."""
    with connected(mosquitto.broker), listening(mosquitto.broker, TOPICS.device_status) as listener:
        assert listener.next().payload == "online"
        will = ["--will-topic", TOPICS.device_status, "--will-payload", "offline", "--will-retain"]
        with listening(mosquitto.broker, TOPICS.device_status, *will) as earlier:
            assert earlier.next().payload == "online"
        assert [listener.next().payload for _ in range(2)] == ["offline", "online"]
        assert is_told_late(mosquitto.broker, TOPICS.device_status, "online")


def nobody_may_subscribe(folder: Path) -> tuple[str, ...]:
    """Let only a user named reader subscribe; the plugin comes with mosquitto."""
    salt = b"twelve bytes"
    hashed = hashlib.pbkdf2_hmac("sha512", b"reader", salt, 101)
    reader = {
        "username": "reader",
        "password": base64.b64encode(hashed).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": 101,
        "roles": [{"rolename": "reads"}],
    }
    everything = {"acltype": "subscribePattern", "topic": "#", "allow": True}
    security = {
        "defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True},
        "clients": [reader],
        "roles": [{"rolename": "reads", "acls": [everything]}],
    }
    path = folder / "security.json"
    path.write_text(json.dumps(security))
    path.chmod(0o600)
    (plugin,) = Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")
    return f"plugin {plugin}", f"plugin_opt_config_file {path}", "allow_anonymous true"


def test_where_the_status_may_not_be_read_that_is_said_and_all_else_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mosquitto = prepared_mosquitto(tmp_path, *nobody_may_subscribe(tmp_path))
    mosquitto.start()
    reader = ("-u", "reader", "-P", "reader")
    try:
        with connected(mosquitto.broker) as sink:
            sink.status("stale")
            assert is_told_late(mosquitto.broker, TOPICS.camera("status"), "stale", *reader)
            assert is_told_late(mosquitto.broker, TOPICS.device_status, "online", *reader)
            assert sink.online
        assert is_told_late(mosquitto.broker, TOPICS.device_status, "offline", *reader)
    finally:
        mosquitto.stop()
    (said,) = [text for text in caplog.messages if "access list" in text]
    assert TOPICS.device_status in said


class Strict(Relay):
    """Before a broker, throws out whoever wants to hear something, as some brokers do."""

    def _tolerates(self, session: Session) -> bool:
        return all(packet.kind != SUBSCRIBE for packet in session.packets)


def test_a_broker_that_throws_out_whoever_asks_for_the_status_is_not_asked_again(
    mosquitto: Mosquitto,
) -> None:
    def is_back() -> bool:
        told = relay.sessions[1].packets if len(relay.sessions) == 2 else []
        return any(one.topic == TOPICS.device_status and one.payload == b"online" for one in told)

    relay = Strict(mosquitto.broker)
    try:
        with connected(relay.broker) as sink:
            relay.until(is_back)
            sink.status("stale")
            assert is_told_late(mosquitto.broker, TOPICS.camera("status"), "stale")
            assert is_told_late(mosquitto.broker, TOPICS.device_status, "online")
        assert is_told_late(mosquitto.broker, TOPICS.device_status, "offline")
    finally:
        relay.close()
    assert len(relay.sessions) == 2


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


def test_what_was_sent_before_the_end_is_heard(mosquitto: Mosquitto) -> None:
    """Once the last frames of a recording were thrown away, and not counted."""
    with listening(mosquitto.broker, f"{TOPICS.root}/#") as listener:
        with connected(mosquitto.broker) as sink:
            listener.until(TOPICS.device_status, "online")
            send(sink, frames=20)
        heard = listener.until(TOPICS.device_status, "offline")
    frames = [json.loads(one.payload)["seq"] for one in heard if one.topic.endswith("/pose")]
    assert frames == list(range(20))
    assert sink.unsent == 0


def test_what_does_not_leave_soon_after_the_end_is_counted(mosquitto: Mosquitto) -> None:
    def slow() -> int:
        time.sleep(0.1)  # the sink looks once a frame
        return 0

    with listening(mosquitto.broker, f"{TOPICS.root}/#") as listener:
        sink = MqttSink(mosquitto.broker, TOPICS, INFO, clock=slow)
        try:
            sink.wait_online(CONNECT_S)
            listener.until(TOPICS.device_status, "online")
            send(sink, frames=60)
        finally:
            sink.close()
        heard = listener.until(TOPICS.device_status, "offline")
    frames = [json.loads(one.payload)["seq"] for one in heard if one.topic.endswith("/pose")]
    assert frames == list(range(60 - sink.unsent))
    assert 0 < sink.unsent < 60


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


def json_sink(broker: Broker) -> MqttSink:
    return MqttSink(broker, TOPICS, INFO)


def sparkplug_sink(broker: Broker) -> SparkplugSink:
    return SparkplugSink(broker, edge_node(), joints=JOINTS, rate_hz=2.0)


class Nobody:
    """Finds nobody."""

    def process(self, frame: Frame) -> list[Pose3D]:
        """Look away."""
        assert frame.image.size
        return []

    def forget(self) -> None:
        """Know nobody."""


@pytest.mark.parametrize("sink_of", [json_sink, sparkplug_sink])
def test_a_broker_that_refuses_us_is_an_error_also_while_we_wait_for_the_camera(
    tmp_path: Path,
    sink_of: Callable[[Broker], MqttSink | SparkplugSink],
    caplog: pytest.LogCaptureFixture,
) -> None:
    mosquitto = with_password(tmp_path, "right")
    source = open_source(CameraConfig(source="/dev/video99", wait=True))
    stop = threading.Event()
    end_s = time.monotonic() + PATIENCE_S

    def beat() -> None:
        if time.monotonic() > end_s:
            stop.set()

    sink = sink_of(mosquitto.broker)
    try:
        assert isinstance(sink, Background)
        with pytest.raises(BrokerError, match="Not authorized") as caught:
            run(source, Nobody(), [sink], Work(describe=lambda _w, _h: {}, beat=beat, stop=stop))
    finally:
        source.close()
        sink.close()
        mosquitto.stop()
    assert caught.value.exit_code == EXIT_OPERATOR
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert said == [str(caught.value)]


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
