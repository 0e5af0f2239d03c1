"""Sparkplug 3.0, chapters 1 to 4: each statement about an edge node is a test of its name."""

from dataclasses import replace

import pytest

from edge_pose.address import SparkplugTopics
from edge_pose.errors import ConfigError
from edge_pose.sparkplug.metrics import camera_values
from sparkplug import DEADBAND_M, JOINTS, METRICS, PROPERTIES, TOPICS, edge_node
from sparkplug_records import (
    FRAMES,
    Record,
    both,
    check_mqtt,
    check_numbers,
    check_one_client_a_node,
    check_sent_at,
    deaths,
    hosted,
    plain,
    said,
)
from sparkplug_wire import BOOLEAN_TYPE, DATATYPE, INT64_TYPE
from walkers import walkers

IMPOSSIBLE = ("", "a/b", "a+", "#", "a\0b")


def check_name(part: str) -> None:
    """Try names: whatever a level of a topic may hold, and nothing else."""
    names = {"group": "G", "node": "N", "device": "D", "primary_host": "H"}
    assert getattr(SparkplugTopics(**{**names, part: "Straße 7 é"}), part) == "Straße 7 é"
    for impossible in IMPOSSIBLE:
        with pytest.raises(ConfigError, match="one level of a topic"):
            SparkplugTopics(**{**names, part: impossible})


def test_tck_id_intro_group_id_string() -> None:
    topics = replace(TOPICS, group="Straße 7")
    assert topics.of_node("NBIRTH").encode().split(b"/")[1].decode() == "Straße 7"


def test_tck_id_intro_group_id_chars() -> None:
    check_name("group")


def test_tck_id_intro_edge_node_id_string() -> None:
    topics = replace(TOPICS, node="Gerät")
    assert topics.of_node("NBIRTH").encode().split(b"/")[3].decode() == "Gerät"


def test_tck_id_intro_edge_node_id_chars() -> None:
    check_name("node")


def test_tck_id_intro_device_id_string() -> None:
    topics = replace(TOPICS, device="Kamera é")
    assert topics.of_device("DBIRTH").encode().split(b"/")[4].decode() == "Kamera é"


def test_tck_id_intro_device_id_chars() -> None:
    check_name("device")


def test_tck_id_intro_edge_node_id_uniqueness() -> None:
    check_one_client_a_node()


def test_tck_id_principles_rbe_recommended() -> None:
    """The same frame again is told once."""
    node = edge_node()
    node.connect(0)
    node.camera(online=True)
    assert len(node.report({"Pose/Persons": 1}, measured_ms=1)) == 1
    assert node.report({"Pose/Persons": 1}, measured_ms=2) == []


def test_tck_id_principles_birth_certificates_order() -> None:
    for record in both():
        for number, _ in enumerate(record.sessions):
            first = next(message for message in record.said if message.session == number)
            assert first.verb == "NBIRTH"


def test_tck_id_principles_persistence_clean_session_311() -> None:
    assert hosted().sessions[0].version == 4
    assert all(connect.clean for connect in hosted().connects)


def test_tck_id_principles_persistence_clean_session_50() -> None:
    assert plain().sessions[0].version == 5
    assert all(connect.clean and not connect.keeps_session for connect in plain().connects)


def test_tck_id_topic_structure() -> None:
    for record in both():
        for message in record.said:
            namespace, group, verb, node, *device = message.topic.split("/")
            assert (namespace, group, node) == ("spBv1.0", "line-3", "edge-7")
            assert device == (["cam0"] if verb.startswith("D") else [])


def test_tck_id_topic_structure_namespace_a() -> None:
    topics = [message.topic for record in both() for message in record.said + record.wills]
    assert {topic.split("/")[0] for topic in topics} == {"spBv1.0"}


def test_tck_id_topic_structure_namespace_valid_group_id() -> None:
    check_name("group")


def test_tck_id_topic_structure_namespace_unique_edge_node_descriptor() -> None:
    check_one_client_a_node()


def test_tck_id_topic_structure_namespace_valid_edge_node_id() -> None:
    check_name("node")


def test_tck_id_topic_structure_namespace_valid_device_id() -> None:
    check_name("device")


def test_tck_id_topic_structure_namespace_unique_device_id() -> None:
    """A node has one device."""
    assert {message.topic.split("/")[4] for message in said("DBIRTH", "DDATA")} == {"cam0"}


def test_tck_id_topic_structure_namespace_duplicate_device_id_across_edge_node() -> None:
    other = replace(TOPICS, node="edge-8")
    assert other.device == TOPICS.device
    assert other.of_device("DDATA") != TOPICS.of_device("DDATA")


def test_tck_id_topic_structure_namespace_device_id_associated_message_types() -> None:
    for message in said("DBIRTH", "DDATA", "DDEATH"):
        assert message.topic.split("/")[4:] == ["cam0"]


def test_tck_id_topic_structure_namespace_device_id_non_associated_message_types() -> None:
    topics = [message.topic for message in said("NBIRTH", "NDEATH")]
    topics += [topic for record in both() for topic in subscriptions(record)]
    assert all("cam0" not in topic for topic in topics)


def subscriptions(record: Record) -> list[str]:
    return [
        topic
        for session in record.sessions
        for packet in session.packets
        for topic, _ in packet.subscribed
    ]


def test_tck_id_topics_nbirth_topic() -> None:
    assert {message.topic for message in said("NBIRTH")} == {"spBv1.0/line-3/NBIRTH/edge-7"}


def test_tck_id_topics_nbirth_mqtt() -> None:
    check_mqtt("NBIRTH")


def test_tck_id_topics_nbirth_seq_num() -> None:
    assert {message.seq for message in said("NBIRTH")} == {0}


def test_tck_id_topics_nbirth_timestamp() -> None:
    check_sent_at("NBIRTH")


def test_tck_id_topics_nbirth_metric_reqs() -> None:
    expected = {"bdSeq", "Node Control/Rebirth", *PROPERTIES}
    for message in said("NBIRTH"):
        assert {metric.name for metric in message.metrics} == expected


def test_tck_id_topics_nbirth_metrics() -> None:
    for message in said("NBIRTH"):
        for metric in message.metrics:
            assert metric.name
            assert metric.number(DATATYPE)
            assert metric.value is not None


def test_tck_id_topics_nbirth_bdseq_included() -> None:
    for message in said("NBIRTH"):
        assert message.metric("bdSeq").number(DATATYPE) == INT64_TYPE


def test_tck_id_topics_nbirth_bdseq_matching() -> None:
    for record in both():
        for birth in record.of("NBIRTH"):
            will = record.wills[birth.session]
            assert birth.metric("bdSeq").value == will.metric("bdSeq").value


def test_tck_id_topics_nbirth_bdseq_increment() -> None:
    for record in both():
        wills = [will.metric("bdSeq").value for will in record.wills]
        assert wills == list(range(len(record.sessions)))
        assert len(wills) > 1


def test_tck_id_topics_nbirth_rebirth_metric() -> None:
    for message in said("NBIRTH"):
        metric = message.metric("Node Control/Rebirth")
        assert (metric.number(DATATYPE), metric.value) == (BOOLEAN_TYPE, 0)


def test_tck_id_topics_ndeath_topic() -> None:
    topics = {message.topic for message in said("NDEATH")}
    topics |= {will.topic for record in both() for will in record.wills}
    assert topics == {"spBv1.0/line-3/NDEATH/edge-7"}


def test_tck_id_topics_ndeath_payload() -> None:
    for message in deaths():
        assert [metric.name for metric in message.metrics] == ["bdSeq"]


def test_tck_id_topics_ndeath_seq() -> None:
    assert {message.seq for message in deaths()} == {None}


def test_tck_id_topics_dbirth_topic() -> None:
    assert {message.topic for message in said("DBIRTH")} == {"spBv1.0/line-3/DBIRTH/edge-7/cam0"}


def test_tck_id_topics_dbirth_mqtt() -> None:
    check_mqtt("DBIRTH")


def test_tck_id_topics_dbirth_seq() -> None:
    check_numbers("DBIRTH")


def test_tck_id_topics_dbirth_timestamp() -> None:
    check_sent_at("DBIRTH")


def test_tck_id_topics_dbirth_metric_reqs() -> None:
    for message in said("DBIRTH"):
        assert [metric.name for metric in message.metrics] == [metric.name for metric in METRICS]
    told = {metric.name for message in plain().of("DDATA") for metric in message.metrics}
    assert told <= {metric.name for metric in METRICS}


def test_tck_id_topics_dbirth_metrics() -> None:
    kinds = {metric.name: int(metric.datatype) for metric in METRICS}
    for message in said("DBIRTH"):
        for metric in message.metrics:
            assert metric.number(DATATYPE) == kinds[str(metric.name)]
            assert isinstance(metric.value, int | float | None), "one value, or null"


def test_tck_id_topics_ddata_topic() -> None:
    assert {message.topic for message in said("DDATA")} == {"spBv1.0/line-3/DDATA/edge-7/cam0"}


def test_tck_id_topics_ddata_mqtt() -> None:
    check_mqtt("DDATA")


def test_tck_id_topics_ddata_seq_num() -> None:
    check_numbers("DDATA")


def test_tck_id_topics_ddata_timestamp() -> None:
    check_sent_at("DDATA")


def test_tck_id_topics_ddata_payload() -> None:
    """A host that heard it all knows every frame, to the millimetres of the deadband."""
    view: dict[str | None, object] = {}
    data = iter(plain().of("DDATA"))
    for frame, poses, stats in walkers(people=4, frames=FRAMES):
        seen = [pose for pose in poses if pose.track <= 2]
        message = next(data)
        view |= {metric.name: metric.value for metric in message.metrics}
        true = camera_values(seen, stats, slots={1: 0, 2: 1}, joints=JOINTS)
        assert {metric.number(3) for metric in message.metrics} == {frame.captured_at_ms}
        for name, value in true.items():
            tolerance = 1e-6 if not name.endswith(("/x", "/y", "/z")) else DEADBAND_M + 1e-6
            assert isinstance(value, int | float)
            assert view[name] == pytest.approx(float(value), abs=tolerance)


def test_tck_id_topics_ddeath_topic() -> None:
    topics = {message.topic for message in plain().of("DDEATH")}
    assert topics == {"spBv1.0/line-3/DDEATH/edge-7/cam0"}


def test_tck_id_topics_ddeath_mqtt() -> None:
    check_mqtt("DDEATH")


def test_tck_id_topics_ddeath_seq_num() -> None:
    check_numbers("DDEATH")
