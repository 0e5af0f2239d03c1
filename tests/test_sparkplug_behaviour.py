"""Sparkplug 3.0, chapter 5: each statement about how an edge node behaves is a test of its name."""

import pytest

from edge_pose.sparkplug.node import Publish, StartOver
from edge_pose.sparkplug.payload import decode
from mqtt_wire import DISCONNECT, SUBSCRIBE, Session
from sparkplug import DEADBAND_M, HOSTED, METRICS, NCMD, STATE, command, edge_node, host_state
from sparkplug_records import (
    Record,
    both,
    check_mqtt,
    check_numbers,
    hosted,
    plain,
    said,
)
from sparkplug_wire import ALIAS, BOOLEAN_TYPE, DATATYPE, HISTORICAL, INT64_TYPE, TIMESTAMP, Said

REBIRTH = "Node Control/Rebirth"


def kinds(actions: object) -> list[str]:
    """Tell what a node wants done, in short."""
    assert isinstance(actions, list)
    return [
        action.topic.split("/")[2] if isinstance(action, Publish) else type(action).__name__
        for action in actions
    ]


def test_tck_id_case_sensitivity_sparkplug_ids() -> None:
    topics = {message.topic.lower() for message in said("NBIRTH", "DBIRTH", "DDATA", "NDEATH")}
    assert len(topics) == 4


def test_tck_id_case_sensitivity_metric_names() -> None:
    names = [
        str(metric.name).lower()
        for message in plain().of("NBIRTH", "DBIRTH")[:2]
        for metric in message.metrics
    ]
    assert len(set(names)) == len(names)


def first_after_connect(session: Session) -> tuple[tuple[str, int], ...]:
    """Give what is subscribed to first of all."""
    assert session.packets[1].kind == SUBSCRIBE
    return session.packets[1].subscribed


def test_tck_id_message_flow_edge_node_ncmd_subscribe() -> None:
    for record in both():
        for session in record.sessions:
            assert ("spBv1.0/line-3/NCMD/edge-7", 1) in first_after_connect(session)


def test_tck_id_message_flow_edge_node_birth_publish_connect() -> None:
    """Before the node has a session, and after it lost it, nothing is said."""
    node = edge_node()
    assert kinds(node.camera(online=True)) == []
    assert kinds(node.connect(0)) == ["NBIRTH", "DBIRTH"]
    node.lose()
    assert kinds(node.camera(online=True)) == []
    assert kinds(node.receive(NCMD, command(), retained=False)) == []


def test_tck_id_message_flow_edge_node_birth_publish_will_message() -> None:
    assert all(connect.has_will for record in both() for connect in record.connects)


def test_tck_id_message_flow_edge_node_birth_publish_will_message_topic() -> None:
    topics = {will.topic for record in both() for will in record.wills}
    assert topics == {"spBv1.0/line-3/NDEATH/edge-7"}


def test_tck_id_message_flow_edge_node_birth_publish_will_message_payload() -> None:
    for record in both():
        for will in record.wills:
            assert decode(will.payload).metrics[0].name == "bdSeq"


def test_tck_id_message_flow_edge_node_birth_publish_will_message_payload_bdSeq() -> None:  # noqa: N802
    """That 0 follows 255 is seen in test_the_number_of_a_session_begins_again_after_255."""
    for record in both():
        for number, will in enumerate(record.wills):
            metric = will.metric("bdSeq")
            assert (metric.number(DATATYPE), metric.value) == (INT64_TYPE, number)


def test_tck_id_message_flow_edge_node_birth_publish_will_message_qos() -> None:
    assert {will.qos for record in both() for will in record.wills} == {1}


def test_tck_id_message_flow_edge_node_birth_publish_will_message_will_retained() -> None:
    assert {will.retain for record in both() for will in record.wills} == {False}


def test_tck_id_message_flow_edge_node_birth_publish_phid_wait() -> None:
    node = edge_node(HOSTED)
    assert node.connect(0) == []
    assert node.camera(online=True) == []
    assert node.report({"Pose/Persons": 1}, measured_ms=1) == []
    birth = node.receive(STATE, host_state(online=True, timestamp_ms=1), retained=True)
    assert kinds(birth) == ["NBIRTH", "DBIRTH"]


def test_tck_id_message_flow_edge_node_birth_publish_phid_wait_id() -> None:
    node = edge_node(HOSTED)
    node.connect(0)
    online = host_state(online=True, timestamp_ms=1)
    for other in (f"{STATE}2", "spBv1.0/STATE/SCADA", "STATE/scada", f"{STATE}/scada"):
        assert node.receive(other, online, retained=True) == []
    assert kinds(node.receive(STATE, online, retained=True)) == ["NBIRTH"]


def test_tck_id_message_flow_edge_node_birth_publish_phid_wait_online() -> None:
    node = edge_node(HOSTED)
    node.connect(0)
    assert node.receive(STATE, host_state(online=False, timestamp_ms=1), retained=True) == []
    for nonsense in (b"ONLINE", b'{"online": 1, "timestamp": 2}', b'{"online": true}', b"\xff"):
        assert node.receive(STATE, nonsense, retained=True) == []
    assert kinds(node.receive(STATE, host_state(online=True, timestamp_ms=1), retained=True)) == [
        "NBIRTH"
    ]


def test_tck_id_message_flow_edge_node_birth_publish_phid_wait_timestamp() -> None:
    """Whatever comes first is believed; after that nothing older, not even in another session."""
    node = edge_node(HOSTED)
    node.connect(0)
    node.receive(STATE, host_state(online=False, timestamp_ms=100), retained=True)
    node.lose()
    node.connect(1)
    assert node.receive(STATE, host_state(online=True, timestamp_ms=99), retained=False) == []
    same = node.receive(STATE, host_state(online=True, timestamp_ms=100), retained=False)
    assert kinds(same) == ["NBIRTH"]


def test_tck_id_message_flow_edge_node_birth_publish_nbirth_topic() -> None:
    assert {message.topic for message in said("NBIRTH")} == {"spBv1.0/line-3/NBIRTH/edge-7"}


def test_tck_id_message_flow_edge_node_birth_publish_nbirth_payload() -> None:
    for message in said("NBIRTH"):
        assert len(decode(message.payload).metrics) == len(message.metrics)


def test_tck_id_message_flow_edge_node_birth_publish_nbirth_payload_bdSeq() -> None:  # noqa: N802
    for record in both():
        for birth in record.of("NBIRTH"):
            metric = birth.metric("bdSeq")
            assert metric.number(DATATYPE) == INT64_TYPE
            assert metric.value == record.wills[birth.session].metric("bdSeq").value


def test_tck_id_message_flow_edge_node_birth_publish_nbirth_qos() -> None:
    assert {message.qos for message in said("NBIRTH")} == {0}


def test_tck_id_message_flow_edge_node_birth_publish_nbirth_retained() -> None:
    assert {message.retain for message in said("NBIRTH")} == {False}


def test_tck_id_message_flow_edge_node_birth_publish_nbirth_payload_seq() -> None:
    assert {message.seq for message in said("NBIRTH")} == {0}


def test_tck_id_message_flow_edge_node_birth_publish_phid_offline() -> None:
    assert is_told_off(timestamp_ms=101)
    assert is_told_off(timestamp_ms=100), "the will of a host is as old as its birth"
    last_messages = [m.verb for m in hosted().said if m.session == 0][-1:]
    assert last_messages == ["NDEATH"]
    assert hosted().sessions[0].packets[-1].kind == DISCONNECT


def is_told_off(*, timestamp_ms: int) -> bool:
    """Tell whether the node leaves when its host says so; the host was there at 100."""
    node = edge_node(HOSTED)
    node.connect(0)
    node.receive(STATE, host_state(online=True, timestamp_ms=100), retained=True)
    offline = host_state(online=False, timestamp_ms=timestamp_ms)
    actions = node.receive(STATE, offline, retained=False)
    assert kinds(actions) in ([], ["NDEATH", "StartOver"])
    return actions != []


def goodbyes(record: Record) -> list[Said]:
    """Give what was said just before each DISCONNECT."""
    ended = [n for n, s in enumerate(record.sessions) if s.packets[-1].kind == DISCONNECT]
    assert ended
    return [[m for m in record.said if m.session == number][-1] for number in ended]


def test_tck_id_operational_behavior_edge_node_intentional_disconnect_ndeath() -> None:
    for record in both():
        assert {message.verb for message in goodbyes(record)} == {"NDEATH"}


def test_tck_id_operational_behavior_edge_node_intentional_disconnect_packet() -> None:
    for record in both():
        assert record.sessions[-1].packets[-1].kind == DISCONNECT
        assert record.sessions[-1].packets[-2].topic == "spBv1.0/line-3/NDEATH/edge-7"


def test_tck_id_operational_behavior_edge_node_termination_host_offline() -> None:
    assert is_told_off(timestamp_ms=100)
    assert hosted().sessions[0].packets[-1].kind == DISCONNECT


def test_tck_id_operational_behavior_edge_node_termination_host_offline_reconnect() -> None:
    """There is one server, so the next one is the same one."""
    assert len(hosted().sessions) == 2


def test_tck_id_operational_behavior_edge_node_termination_host_offline_timestamp() -> None:
    assert not is_told_off(timestamp_ms=99)


def test_tck_id_message_flow_device_birth_publish_nbirth_wait() -> None:
    for record in both():
        for number, _ in enumerate(record.sessions):
            verbs = [message.verb for message in record.said if message.session == number]
            assert verbs.index("NBIRTH") < verbs.index("DBIRTH")


def test_tck_id_message_flow_device_birth_publish_dbirth_topic() -> None:
    assert {message.topic for message in said("DBIRTH")} == {"spBv1.0/line-3/DBIRTH/edge-7/cam0"}


def test_tck_id_message_flow_device_birth_publish_dbirth_match_edge_node_topic() -> None:
    (node,) = {message.topic for message in said("NBIRTH")}
    (device,) = {message.topic for message in said("DBIRTH")}
    assert device == node.replace("NBIRTH", "DBIRTH") + "/cam0"


def test_tck_id_message_flow_device_birth_publish_dbirth_payload() -> None:
    for message in said("DBIRTH"):
        assert len(decode(message.payload).metrics) == len(METRICS)


def test_tck_id_message_flow_device_birth_publish_dbirth_qos() -> None:
    assert {message.qos for message in said("DBIRTH")} == {0}


def test_tck_id_message_flow_device_birth_publish_dbirth_retained() -> None:
    assert {message.retain for message in said("DBIRTH")} == {False}


def test_tck_id_message_flow_device_birth_publish_dbirth_payload_seq() -> None:
    check_numbers("DBIRTH")


def test_tck_id_operational_behavior_device_ddeath() -> None:
    node = edge_node()
    node.connect(0)
    node.camera(online=True)
    assert kinds(node.camera(online=False)) == ["DDEATH"]
    assert kinds(node.camera(online=False)) == []
    assert kinds(node.report({"Pose/Persons": 1}, measured_ms=1)) == []
    assert kinds(node.camera(online=True)) == ["DBIRTH"]
    assert len(plain().of("DDEATH")) == 1


def test_tck_id_operational_behavior_primary_application_state_with_multiple_servers_state_subs() -> None:  # noqa: E501  # fmt: skip
    for session in hosted().sessions:
        assert (STATE, 1) in first_after_connect(session)


def test_tck_id_operational_behavior_primary_application_state_with_multiple_servers_single_server() -> None:  # noqa: E501  # fmt: skip
    """One after the other: the goodbye of a session comes before the next is opened."""
    assert [s.packets[-1].kind for s in hosted().sessions] == [DISCONNECT, DISCONNECT]


def test_tck_id_operational_behavior_primary_application_state_with_multiple_servers_walk() -> None:
    node = edge_node(HOSTED)
    node.connect(0)
    node.receive(STATE, host_state(online=True, timestamp_ms=1), retained=True)
    actions = node.receive(STATE, host_state(online=False, timestamp_ms=2), retained=False)
    assert actions[-1] == StartOver()


def test_tck_id_operational_behavior_edge_node_birth_sequence_wait() -> None:
    node = edge_node(HOSTED)
    node.connect(0)
    node.receive(STATE, host_state(online=True, timestamp_ms=1), retained=True)
    node.receive(STATE, host_state(online=False, timestamp_ms=2), retained=False)
    assert node.connect(1) == []
    assert node.receive(STATE, host_state(online=False, timestamp_ms=2), retained=True) == []
    birth = node.receive(STATE, host_state(online=True, timestamp_ms=3), retained=False)
    assert kinds(birth) == ["NBIRTH"]


def test_tck_id_operational_behavior_data_publish_nbirth() -> None:
    """There are no NDATA, so nothing can be missing."""
    assert {message.verb for record in both() for message in record.said} == {
        "NBIRTH", "DBIRTH", "DDATA", "DDEATH", "NDEATH",
    }  # fmt: skip


def test_tck_id_operational_behavior_data_publish_nbirth_values() -> None:
    values = {metric.value for message in said("NBIRTH") for metric in message.metrics}
    assert None not in values


def test_tck_id_operational_behavior_data_publish_nbirth_order() -> None:
    check_order("NBIRTH")


def check_order(*verbs: str) -> None:
    """Values that are not historical stand in the order in which they were measured."""
    for message in said(*verbs):
        assert not any(metric.number(HISTORICAL) for metric in message.metrics)
        measured_ms = [metric.number(TIMESTAMP) or 0 for metric in message.metrics]
        assert measured_ms == sorted(measured_ms)


def test_tck_id_operational_behavior_data_publish_dbirth() -> None:
    declared = {metric.name for metric in METRICS}
    for message in said("DBIRTH"):
        assert {metric.name for metric in message.metrics} == declared


def test_tck_id_operational_behavior_data_publish_dbirth_values() -> None:
    """At a rebirth all is told as it was known from the data before, and what is null is null."""
    view: dict[str | None, object] = {}
    for message in plain().said:
        if message.verb == "DBIRTH" and view:
            break
        view |= {m.name: m.value for m in message.metrics if message.topic.endswith("cam0")}
    assert message.seq == 1
    assert view["Pose/P1/nose/z"] is not None
    for metric in message.metrics:
        assert metric.value == pytest.approx(view[metric.name], abs=DEADBAND_M + 1e-6)


def test_tck_id_operational_behavior_data_publish_dbirth_change() -> None:
    """Every value in every DDATA is another than what was told before."""
    view: dict[str | None, object] = {}
    for message in plain().said:
        told = {metric.name: metric.value for metric in message.metrics}
        if message.verb == "DDATA":
            assert told
            assert not [name for name, value in told.items() if view[name] == value]
        view |= told


def test_tck_id_operational_behavior_data_publish_dbirth_order() -> None:
    check_order("DBIRTH", "DDATA")


def test_tck_id_operational_behavior_data_commands_rebirth_name() -> None:
    assert all(message.metric(REBIRTH) for message in said("NBIRTH"))


def test_tck_id_operational_behavior_data_commands_rebirth_name_aliases() -> None:
    assert {message.metric(REBIRTH).number(ALIAS) for message in hosted().of("NBIRTH")} == {None}


def test_tck_id_operational_behavior_data_commands_rebirth_datatype() -> None:
    kinds_seen = {message.metric(REBIRTH).number(DATATYPE) for message in said("NBIRTH")}
    assert kinds_seen == {BOOLEAN_TYPE}


def test_tck_id_operational_behavior_data_commands_rebirth_value() -> None:
    assert {message.metric(REBIRTH).value for message in said("NBIRTH")} == {0}


def rebirths(record: Record) -> list[tuple[Said, Said, Said]]:
    """Give each NBIRTH that is not the first of its session: with what is before and after it."""
    messages = record.said
    return [
        (before, birth, after)
        for before, birth, after in zip(messages, messages[1:], messages[2:], strict=False)
        if birth.verb == "NBIRTH" and before.session == birth.session
    ]


def test_tck_id_operational_behavior_data_commands_rebirth_action_1() -> None:
    """No data between the request and the births: whatever the node is told meanwhile waits."""
    node = edge_node()
    node.connect(0)
    node.camera(online=True)
    assert kinds(node.receive(NCMD, command(), retained=False)) == ["NBIRTH", "DBIRTH"]


def test_tck_id_operational_behavior_data_commands_rebirth_action_2() -> None:
    for record in both():
        ((_, birth, after),) = rebirths(record)
        assert (birth.seq, after.verb, after.seq) == (0, "DBIRTH", 1)


def test_tck_id_operational_behavior_data_commands_rebirth_action_3() -> None:
    for record in both():
        ((_, birth, _),) = rebirths(record)
        will = record.wills[birth.session]
        assert birth.metric("bdSeq").value == will.metric("bdSeq").value


def test_nothing_is_retained_and_nothing_said_twice_as_sure() -> None:
    check_mqtt("NBIRTH", "DBIRTH", "DDATA", "DDEATH", "NDEATH")
