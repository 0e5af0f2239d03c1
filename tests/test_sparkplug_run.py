"""The appliance as an edge node: its settings, and a process that watches a clip."""

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance import start, write_clip
from bundles import make_bundle
from edge_pose.address import Broker, SparkplugTopics
from edge_pose.config import Config
from edge_pose.config.read import Setting, load
from edge_pose.config.rules import sparkplug_joints, sparkplug_topics
from edge_pose.errors import ConfigError
from edge_pose.message import Info, Model
from edge_pose.outputs import open_sparkplug
from edge_pose.skeleton import JOINTS
from sparkplug_records import recorded_broker
from sparkplug_wire import Said

INFO = Info(
    version="0.1.0",
    machine="x",
    model=Model(name="m", version="1", sha256="ab"),
    engine="a fake",
    started=1,
)
ON = {"sparkplug.enabled": "true", "mqtt.broker": "plant.local", "device.name": "edge-7"}


def configured(**settings: str) -> Config:
    told = {**ON, **{name.replace("__", "."): value for name, value in settings.items()}}
    given = {name: Setting(value=value, origin=f"--{name}") for name, value in told.items()}
    return load(given, environ={}).config


def test_the_node_is_the_device_unless_it_is_named() -> None:
    expected = SparkplugTopics(group="edge-pose", node="edge-7", device="cam0")
    assert sparkplug_topics(configured()) == expected
    named = configured(sparkplug__node="n", sparkplug__group="g", sparkplug__primary_host="h")
    assert sparkplug_topics(named) == SparkplugTopics(
        group="g", node="n", device="cam0", primary_host="h"
    )


def test_joints_are_told_in_the_order_of_the_skeleton() -> None:
    chosen = configured(sparkplug__joints="right_wrist, nose,right_wrist")
    assert sparkplug_joints(chosen) == ("nose", "right_wrist")
    assert sparkplug_joints(configured()) == JOINTS


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sparkplug__joints": "nose,left_rist"}, "no joint; did you mean 'left_wrist'"),
        ({"sparkplug__joints": ""}, "names '', which is no joint; known are nose"),
        ({"sparkplug__group": "plant/line-3"}, "name of the group is 'plant/line-3'.*one level"),
        ({"sparkplug__primary_host": "#"}, "name of the primary host is '#'"),
        ({"sparkplug__rate_hz": "11"}, "sparkplug.rate_hz is 11.*at most 10"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        configured(**settings)


def test_an_edge_node_without_a_broker_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sparkplug\.enabled is true.*mqtt\.broker"):
        load({"sparkplug.enabled": Setting(value="true", origin="--x")}, environ={})


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({}, ["edge-7-cam0.history"]),
        ({"sparkplug__history_hz": "0"}, []),
        ({"spool__enabled": "false"}, []),
    ],
)
def test_history_is_kept_beside_the_messages_where_it_is_wanted(
    settings: dict[str, str], files: list[str], tmp_path: Path
) -> None:
    config = configured(**settings, spool__folder=str(tmp_path))
    nobody = Broker(host="127.0.0.1", port=1)
    with ExitStack() as stack:
        open_sparkplug(config, nobody, INFO, stack, live=True)
    assert [path.name for path in tmp_path.iterdir()] == files


@pytest.mark.slow
def test_a_clip_is_watched_by_an_edge_node(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=400, fps=10.0)
    bundle = make_bundle(tmp_path / "bundle")
    settings = {
        "EDGE_POSE_SPARKPLUG_ENABLED": "true",
        "EDGE_POSE_SPARKPLUG_NODE": "edge-7",
        "EDGE_POSE_SPARKPLUG_RATE_HZ": "10",
        "EDGE_POSE_SPARKPLUG_JOINTS": "nose",
        "EDGE_POSE_MODEL_MAX_PEOPLE": "2",
    }
    with recorded_broker() as (_, relay):
        # The sink of the JSON messages comes by the same relay; its topics begin otherwise.
        told_where = ["--bundle", str(bundle), "--broker", f"127.0.0.1:{relay.broker.port}"]
        with start("run", clip, *told_where, "--realtime", environ=settings) as child:
            relay.until(lambda: len(relay.published("DDATA")) >= 3)
            child.send_signal(signal.SIGTERM)
            _, told = child.communicate(timeout=60)
        assert child.returncode == 0, told
        messages = [
            Said(0, packet.topic, packet.qos, packet.retain, packet.payload)
            for packet in relay.published()
            if packet.topic.startswith("spBv1.0/")
        ]
    verbs = [message.verb for message in messages]
    assert verbs[:2] == ["NBIRTH", "DBIRTH"]
    assert verbs[-1] == "NDEATH"
    nbirth, dbirth, ddata = messages[:3]
    assert nbirth.topic == "spBv1.0/edge-pose/NBIRTH/edge-7"
    assert nbirth.metric("Properties/Model").value == "stand-in 0.0.1"
    assert len(dbirth.metrics) == 2 + 2 * 5
    assert ddata.metric("Pose/Persons").value == 1
    assert ddata.metric("Pose/P0/nose/z").value == pytest.approx(4.0, abs=1.0)
