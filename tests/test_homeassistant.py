"""Home Assistant is told of a camera, also when it starts later than we do."""

import json
import re
import subprocess
from dataclasses import fields

import pytest

from brokers import Mosquitto, listening
from edge_pose.address import Topics
from edge_pose.config import HomeAssistantConfig
from edge_pose.message import Info, Model, StatsMessage
from edge_pose.mqtt import MqttSink
from edge_pose.mqtt.homeassistant import discovery

TOPICS = Topics(root="plant/line-3", device="edge 7", cam="cam0")
MODEL = Model(name="edge-body", version="1.0.0", sha256="ab")
INFO = Info(version="0.1.0", machine="x", model=MODEL, engine="a fake", started=1)
FOUND = {
    topic: json.loads(payload) for topic, payload in discovery(TOPICS, INFO, prefix="ha").items()
}


@pytest.mark.parametrize("topic", FOUND)
def test_the_topic_has_the_form_that_is_watched(topic: str) -> None:
    form = r"ha/(sensor|binary_sensor)/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/config"
    assert re.fullmatch(form, topic)


@pytest.mark.parametrize("entity", FOUND.values(), ids=[one["name"] for one in FOUND.values()])
def test_an_entity_reads_topics_and_keys_that_there_are(entity: dict[str, object]) -> None:
    keys = re.findall(r"value_json\.(\w+)", str(entity["value_template"]))
    if keys:
        assert entity["state_topic"] == TOPICS.camera("stats")
        assert set(keys) <= {field.name for field in fields(StatsMessage)}
        assert entity["expire_after"], "silence is not zero people"
    else:
        assert entity["state_topic"] == TOPICS.camera("status")
    assert {"topic": TOPICS.device_status} in entity["availability"]  # type: ignore[operator]


def test_entities_of_one_camera_are_one_device_and_those_of_two_are_not() -> None:
    other = discovery(Topics(root="plant/line-4", device="edge 7", cam="cam0"), INFO, prefix="ha")
    assert len({one["unique_id"] for one in FOUND.values()}) == len(FOUND)
    devices = {tuple(one["device"]["identifiers"]) for one in FOUND.values()}
    assert len(devices) == 1
    assert not set(other) & set(FOUND)


def test_it_is_told_at_once_and_anew_when_it_starts(mosquitto: Mosquitto) -> None:
    told = HomeAssistantConfig(enabled=True, prefix="ha")
    sink = MqttSink(mosquitto.broker, TOPICS, INFO, homeassistant=told)
    try:
        sink.wait_online(30.0)
        with listening(mosquitto.broker, "ha/+/+/+/config") as early:
            kept = {(one := early.next()).topic: one for _ in FOUND}
            assert {topic: json.loads(one.payload) for topic, one in kept.items()} == FOUND
            assert all(one.retained for one in kept.values())
            port = str(mosquitto.broker.port)
            words = ["mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-t", "ha/status"]
            subprocess.run([*words, "-m", "offline"], check=True)
            subprocess.run([*words, "-m", "online"], check=True)
            again = {early.next().topic for _ in FOUND}
        assert again == set(FOUND)
    finally:
        sink.close()


def test_it_is_told_nothing_unless_it_is_asked_for(mosquitto: Mosquitto) -> None:
    sink = MqttSink(mosquitto.broker, TOPICS, INFO, homeassistant=HomeAssistantConfig())
    try:
        sink.wait_online(30.0)
        with listening(mosquitto.broker) as listener:
            sink.status("stale")
            heard = listener.until(TOPICS.camera("status"), "stale")
    finally:
        sink.close()
    assert not [one.topic for one in heard if one.topic.startswith("homeassistant")]
