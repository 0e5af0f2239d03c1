"""Sparkplug 3.0, chapter 6: each statement about what an edge node writes is a test of its name.

The last tests hold all three chapters to the list of the statements.
"""

from itertools import pairwise
from pathlib import Path

import pytest

from mqtt_wire import DISCONNECT
from sparkplug import METRICS, edge_node
from sparkplug_records import (
    FRAMES,
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
from sparkplug_wire import (
    ALIAS,
    BOOLEAN_TYPE,
    DATASET,
    DATATYPE,
    INT64_TYPE,
    STRING_TYPE,
    TEMPLATE,
    TIMESTAMP,
    MetricSeen,
    Said,
)

REBIRTH = "Node Control/Rebirth"
DATA_TYPES = range(1, 35)
"""The published numbers, but for 0, which stands for unknown."""


def test_tck_id_payloads_timestamp_in_utc() -> None:
    check_sent_at("NBIRTH", "DBIRTH", "DDATA", "DDEATH", "NDEATH")


def test_tck_id_payloads_sequence_num_always_included() -> None:
    assert None not in {m.seq for m in said("NBIRTH", "DBIRTH", "DDATA", "DDEATH")}
    assert {message.seq for message in deaths()} == {None}


def test_tck_id_payloads_sequence_num_zero_nbirth() -> None:
    assert {message.seq for message in said("NBIRTH")} == {0}


def test_tck_id_payloads_sequence_num_incrementing() -> None:
    check_numbers("DBIRTH", "DDATA", "DDEATH")
    numbers = [message.seq for message in plain().said if message.session == 0]
    assert (255, 0) in pairwise(numbers[: FRAMES + 1])


def test_tck_id_payloads_name_requirement() -> None:
    assert all(metric.name for message in plain().said for metric in message.metrics)


def test_tck_id_payloads_alias_uniqueness() -> None:
    metrics = [m for message in hosted().said[:2] for m in message.metrics]
    aliases = [metric.number(ALIAS) for metric in metrics if metric.number(ALIAS) is not None]
    assert len(set(aliases)) == len(aliases) == len(METRICS)


def test_tck_id_payloads_alias_birth_requirement() -> None:
    """The metrics of the node are told at birth alone and need no alias."""
    for message in hosted().of("DBIRTH"):
        assert all(metric.name and metric.number(ALIAS) for metric in message.metrics)
    assert all(metric.name for message in hosted().of("NBIRTH") for metric in message.metrics)


def test_tck_id_payloads_alias_data_cmd_requirement() -> None:
    known = {metric.number(ALIAS) for metric in hosted().of("DBIRTH")[0].metrics}
    metrics = [metric for message in hosted().of("DDATA") for metric in message.metrics]
    assert {metric.name for metric in metrics} == {None}
    assert {metric.number(ALIAS) for metric in metrics} <= known


def test_tck_id_payloads_name_birth_data_requirement() -> None:
    assert all(
        m.number(TIMESTAMP)
        for message in said("NBIRTH", "DBIRTH", "DDATA")
        for m in message.metrics
    )


def test_tck_id_payloads_metric_timestamp_in_utc() -> None:
    """Data bear the time of the grab in milliseconds, the metrics of the node that of the birth."""
    times_ms = [m.number(TIMESTAMP) or 0 for x in plain().of("DDATA")[:FRAMES] for m in x.metrics]
    assert times_ms[0] == 1_790_000_000_000
    assert times_ms[-1] == 1_790_000_000_000 + (FRAMES - 1) * 40
    for message in plain().of("NBIRTH"):
        for metric in message.metrics:
            assert plain().began_ms <= (metric.number(TIMESTAMP) or 0) <= plain().ended_ms


def declared_types(*messages: Said) -> set[int | None]:
    return {metric.number(DATATYPE) for message in messages for metric in message.metrics}


def test_tck_id_payloads_metric_datatype_value_type() -> None:
    for number in declared_types(*said("NBIRTH", "DBIRTH")):
        assert number is not None
        assert 0 <= number < 2**32


def test_tck_id_payloads_metric_datatype_value() -> None:
    assert declared_types(*said("NBIRTH", "DBIRTH"), *plain().said) <= set(DATA_TYPES)


def test_tck_id_payloads_metric_datatype_req() -> None:
    assert None not in declared_types(*said("NBIRTH", "DBIRTH"))


def test_tck_id_payloads_metric_datatype_not_req() -> None:
    """It SHOULD NOT be there; by default it is, because hosts need it: our one exception."""
    assert declared_types(*hosted().of("DDATA")) == {None}
    assert None not in declared_types(*plain().of("DDATA"))


def properties() -> list[MetricSeen]:
    found = [m for message in said("NBIRTH", "DBIRTH") for m in message.metrics if m.properties]
    assert found
    return found


def test_tck_id_payloads_propertyset_keys_array_size() -> None:
    """Taking the pairs apart refuses keys that are too many."""
    assert {len(metric.properties) for metric in properties()} == {1}


def test_tck_id_payloads_propertyset_values_array_size() -> None:
    assert {len(metric.properties) for metric in properties()} == {1}


def property_types() -> set[object]:
    return {value[1][0] for metric in properties() for _, value in metric.properties}


def test_tck_id_payloads_metric_propertyvalue_type_type() -> None:
    assert all(isinstance(kind, int) and 0 <= kind < 2**32 for kind in property_types())


def test_tck_id_payloads_metric_propertyvalue_type_value() -> None:
    assert property_types() == {STRING_TYPE}


def test_tck_id_payloads_metric_propertyvalue_type_req() -> None:
    assert all(1 in value for metric in properties() for _, value in metric.properties)


def test_tck_id_payloads_nbirth_timestamp() -> None:
    check_sent_at("NBIRTH")


def test_tck_id_payloads_nbirth_edge_node_descriptor() -> None:
    check_one_client_a_node()


def test_tck_id_payloads_nbirth_seq() -> None:
    assert {message.seq for message in said("NBIRTH")} == {0}


def test_tck_id_payloads_nbirth_bdseq() -> None:
    assert {m.metric("bdSeq").number(DATATYPE) for m in said("NBIRTH")} == {INT64_TYPE}


def test_tck_id_payloads_nbirth_bdseq_repeat() -> None:
    for record in both():
        births = [(m.session, m.metric("bdSeq").value) for m in record.of("NBIRTH")]
        assert births[:2] == [(0, 0), (0, 0)], "the second is a rebirth"
        assert dict(births) == {n: n for n in range(len(record.sessions))}


def test_tck_id_payloads_nbirth_rebirth_req() -> None:
    metrics = [message.metric(REBIRTH) for message in said("NBIRTH")]
    assert {(metric.number(DATATYPE), metric.value) for metric in metrics} == {(BOOLEAN_TYPE, 0)}


def test_tck_id_payloads_nbirth_qos() -> None:
    assert {message.qos for message in said("NBIRTH")} == {0}


def test_tck_id_payloads_nbirth_retain() -> None:
    assert {message.retain for message in said("NBIRTH")} == {False}


def test_tck_id_payloads_dbirth_timestamp() -> None:
    check_sent_at("DBIRTH")


def test_tck_id_payloads_dbirth_seq() -> None:
    assert None not in {message.seq for message in said("DBIRTH")}


def test_tck_id_payloads_dbirth_seq_inc() -> None:
    check_numbers("DBIRTH")


def test_tck_id_payloads_dbirth_order() -> None:
    """The one camera is born right after the node, or later when it comes back."""
    for record in both():
        for before, after in zip(record.said, record.said[1:], strict=False):
            if before.verb == "NBIRTH":
                assert after.verb == "DBIRTH"


def test_tck_id_payloads_dbirth_qos() -> None:
    assert {message.qos for message in said("DBIRTH")} == {0}


def test_tck_id_payloads_dbirth_retain() -> None:
    assert {message.retain for message in said("DBIRTH")} == {False}


def test_tck_id_payloads_ddata_timestamp() -> None:
    check_sent_at("DDATA")


def test_tck_id_payloads_ddata_seq() -> None:
    assert None not in {message.seq for message in said("DDATA")}


def test_tck_id_payloads_ddata_seq_inc() -> None:
    check_numbers("DDATA")


def test_tck_id_payloads_ddata_order() -> None:
    for record in both():
        for number, _ in enumerate(record.sessions):
            verbs = [message.verb for message in record.said if message.session == number]
            assert verbs.index("NBIRTH") < verbs.index("DBIRTH") < verbs.index("DDATA")


def test_tck_id_payloads_ddata_qos() -> None:
    assert {message.qos for message in said("DDATA")} == {0}


def test_tck_id_payloads_ddata_retain() -> None:
    assert {message.retain for message in said("DDATA")} == {False}


def test_tck_id_payloads_ndeath_seq() -> None:
    assert {message.seq for message in deaths()} == {None}


def test_tck_id_payloads_ndeath_will_message() -> None:
    assert all(connect.has_will for record in both() for connect in record.connects)
    assert all(will.verb == "NDEATH" for record in both() for will in record.wills)


def test_tck_id_payloads_ndeath_will_message_qos() -> None:
    assert {will.qos for record in both() for will in record.wills} == {1}


def test_tck_id_payloads_ndeath_will_message_retain() -> None:
    assert {will.retain for record in both() for will in record.wills} == {False}


def test_tck_id_payloads_ndeath_bdseq() -> None:
    for record in both():
        births = {m.session: m.metric("bdSeq").value for m in record.of("NBIRTH")}
        for death in record.wills + record.of("NDEATH"):
            assert death.metric("bdSeq").value == births[death.session]


def test_tck_id_payloads_ndeath_will_message_publisher() -> None:
    for record in both():
        assert record.said[-1].verb == "NDEATH"


def test_tck_id_payloads_ndeath_will_message_publisher_disconnect_mqtt311() -> None:
    for session in hosted().sessions:
        death, goodbye = session.packets[-2:]
        assert death.topic == "spBv1.0/line-3/NDEATH/edge-7"
        assert goodbye.kind == DISCONNECT


def test_tck_id_payloads_ndeath_will_message_publisher_disconnect_mqtt50() -> None:
    """Disconnect with Will Message is reason 4."""
    goodbyes = [p for session in plain().sessions for p in session.packets if p.kind == DISCONNECT]
    assert [goodbye.reason for goodbye in goodbyes] == [4]


def test_tck_id_payloads_ddeath_timestamp() -> None:
    check_sent_at("DDEATH")


def test_tck_id_payloads_ddeath_seq() -> None:
    assert None not in {message.seq for message in said("DDEATH")}


def test_tck_id_payloads_ddeath_seq_inc() -> None:
    check_numbers("DDEATH")


def test_tck_id_payloads_ddeath_seq_number() -> None:
    check_numbers("DDEATH")


APPLY = """
intro-group-id-string intro-group-id-chars intro-edge-node-id-string intro-edge-node-id-chars
intro-device-id-string intro-device-id-chars intro-edge-node-id-uniqueness
principles-rbe-recommended principles-birth-certificates-order
principles-persistence-clean-session-311 principles-persistence-clean-session-50
topic-structure topic-structure-namespace-a topic-structure-namespace-valid-group-id
topic-structure-namespace-unique-edge-node-descriptor topic-structure-namespace-valid-edge-node-id
topic-structure-namespace-valid-device-id topic-structure-namespace-unique-device-id
topic-structure-namespace-duplicate-device-id-across-edge-node
topic-structure-namespace-device-id-associated-message-types
topic-structure-namespace-device-id-non-associated-message-types
topics-nbirth-topic topics-nbirth-mqtt topics-nbirth-seq-num topics-nbirth-timestamp
topics-nbirth-metric-reqs topics-nbirth-metrics topics-nbirth-bdseq-included
topics-nbirth-bdseq-matching topics-nbirth-bdseq-increment topics-nbirth-rebirth-metric
topics-ndeath-topic topics-ndeath-payload topics-ndeath-seq
topics-dbirth-topic topics-dbirth-mqtt topics-dbirth-seq topics-dbirth-timestamp
topics-dbirth-metric-reqs topics-dbirth-metrics
topics-ddata-topic topics-ddata-mqtt topics-ddata-seq-num topics-ddata-timestamp
topics-ddata-payload topics-ddeath-topic topics-ddeath-mqtt topics-ddeath-seq-num
case-sensitivity-sparkplug-ids case-sensitivity-metric-names
message-flow-edge-node-ncmd-subscribe message-flow-edge-node-birth-publish-connect
message-flow-edge-node-birth-publish-will-message
message-flow-edge-node-birth-publish-will-message-topic
message-flow-edge-node-birth-publish-will-message-payload
message-flow-edge-node-birth-publish-will-message-payload-bdSeq
message-flow-edge-node-birth-publish-will-message-qos
message-flow-edge-node-birth-publish-will-message-will-retained
message-flow-edge-node-birth-publish-phid-wait message-flow-edge-node-birth-publish-phid-wait-id
message-flow-edge-node-birth-publish-phid-wait-online
message-flow-edge-node-birth-publish-phid-wait-timestamp
message-flow-edge-node-birth-publish-nbirth-topic
message-flow-edge-node-birth-publish-nbirth-payload
message-flow-edge-node-birth-publish-nbirth-payload-bdSeq
message-flow-edge-node-birth-publish-nbirth-qos
message-flow-edge-node-birth-publish-nbirth-retained
message-flow-edge-node-birth-publish-nbirth-payload-seq
message-flow-edge-node-birth-publish-phid-offline
operational-behavior-edge-node-intentional-disconnect-ndeath
operational-behavior-edge-node-intentional-disconnect-packet
operational-behavior-edge-node-termination-host-offline
operational-behavior-edge-node-termination-host-offline-reconnect
operational-behavior-edge-node-termination-host-offline-timestamp
message-flow-device-birth-publish-nbirth-wait message-flow-device-birth-publish-dbirth-topic
message-flow-device-birth-publish-dbirth-match-edge-node-topic
message-flow-device-birth-publish-dbirth-payload message-flow-device-birth-publish-dbirth-qos
message-flow-device-birth-publish-dbirth-retained
message-flow-device-birth-publish-dbirth-payload-seq
operational-behavior-device-ddeath
operational-behavior-primary-application-state-with-multiple-servers-state-subs
operational-behavior-primary-application-state-with-multiple-servers-single-server
operational-behavior-primary-application-state-with-multiple-servers-walk
operational-behavior-edge-node-birth-sequence-wait
operational-behavior-data-publish-nbirth operational-behavior-data-publish-nbirth-values
operational-behavior-data-publish-nbirth-order operational-behavior-data-publish-dbirth
operational-behavior-data-publish-dbirth-values operational-behavior-data-publish-dbirth-change
operational-behavior-data-publish-dbirth-order
operational-behavior-data-commands-rebirth-name
operational-behavior-data-commands-rebirth-name-aliases
operational-behavior-data-commands-rebirth-datatype
operational-behavior-data-commands-rebirth-value
operational-behavior-data-commands-rebirth-action-1
operational-behavior-data-commands-rebirth-action-2
operational-behavior-data-commands-rebirth-action-3
payloads-timestamp-in-UTC payloads-sequence-num-always-included
payloads-sequence-num-zero-nbirth payloads-sequence-num-incrementing payloads-name-requirement
payloads-alias-uniqueness payloads-alias-birth-requirement payloads-alias-data-cmd-requirement
payloads-name-birth-data-requirement payloads-metric-timestamp-in-UTC
payloads-metric-datatype-value-type payloads-metric-datatype-value payloads-metric-datatype-req
payloads-metric-datatype-not-req payloads-propertyset-keys-array-size
payloads-propertyset-values-array-size payloads-metric-propertyvalue-type-type
payloads-metric-propertyvalue-type-value payloads-metric-propertyvalue-type-req
payloads-nbirth-timestamp payloads-nbirth-edge-node-descriptor payloads-nbirth-seq
payloads-nbirth-bdseq payloads-nbirth-bdseq-repeat payloads-nbirth-rebirth-req payloads-nbirth-qos
payloads-nbirth-retain payloads-dbirth-timestamp payloads-dbirth-seq payloads-dbirth-seq-inc
payloads-dbirth-order payloads-dbirth-qos payloads-dbirth-retain payloads-ddata-timestamp
payloads-ddata-seq payloads-ddata-seq-inc payloads-ddata-order payloads-ddata-qos
payloads-ddata-retain payloads-ndeath-seq payloads-ndeath-will-message
payloads-ndeath-will-message-qos payloads-ndeath-will-message-retain payloads-ndeath-bdseq
payloads-ndeath-will-message-publisher
payloads-ndeath-will-message-publisher-disconnect-mqtt311
payloads-ndeath-will-message-publisher-disconnect-mqtt50
payloads-ddeath-timestamp payloads-ddeath-seq payloads-ddeath-seq-inc payloads-ddeath-seq-number
"""
"""The statements of Sparkplug 3.0.0 that bind what our edge node does.

Those about host applications and brokers are left out, and so are those about NDATA, DCMD,
templates, data sets and quality codes, of which our node has none: the last test sees to that.
"""
CHAPTERS = ("topics", "behaviour", "statements")


@pytest.mark.parametrize("statement", APPLY.split())
def test_every_statement_is_a_test(statement: str) -> None:
    files = [Path(__file__).with_name(f"test_sparkplug_{chapter}.py") for chapter in CHAPTERS]
    name = f"def test_tck_id_{statement.replace('-', '_')}("
    text = "\n".join(path.read_text() for path in files)
    assert name.lower() in text.lower()


def test_what_no_statement_is_tested_for_is_not_used() -> None:
    verbs = {message.verb for record in both() for message in record.said}
    assert verbs == {"NBIRTH", "DBIRTH", "DDATA", "DDEATH", "NDEATH"}
    metrics = [metric for record in both() for m in record.said for metric in m.metrics]
    assert not [metric for metric in metrics if {DATASET, TEMPLATE} & metric.fields.keys()]
    assert {key for metric in properties() for key, _ in metric.properties} == {"engUnit"}
    subscribed = [
        t for record in both() for s in record.sessions for p in s.packets for t in p.subscribed
    ]
    assert {topic.split("/")[1 if "STATE" in topic else 2] for topic, _ in subscribed} == {
        "NCMD",
        "STATE",
    }
    check_mqtt("NBIRTH", "DBIRTH", "DDATA", "DDEATH", "NDEATH")
    assert edge_node().topics.primary_host is None
