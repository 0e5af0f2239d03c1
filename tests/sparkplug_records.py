"""Two edge nodes at a real broker, recorded once; what the specification states is looked up there.

Nothing of what they sent is missing but what was on its way when a connection was cut.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

from brokers import Mosquitto, prepared_mosquitto
from edge_pose.clock import utc_ms
from edge_pose.mqtt.sparkplug_sink import _client_id
from mqtt_wire import DISCONNECT, PUBLISH, SUBSCRIBE, Packet, Relay, Session, relayed
from sparkplug import (
    HOSTED,
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
from sparkplug_wire import Said

FRAMES = 300
"""More than there are numbers of messages."""


@dataclass(frozen=True)
class Record:
    """Everything that one edge node sent to its broker, session by session."""

    sessions: tuple[Session, ...]
    began_ms: int
    ended_ms: int

    @property
    def said(self) -> list[Said]:
        """List the messages in their order."""
        return [
            Said(number, packet.topic, packet.qos, packet.retain, packet.payload)
            for number, session in enumerate(self.sessions)
            for packet in session.packets
            if packet.kind == PUBLISH
        ]

    def of(self, *verbs: str) -> list[Said]:
        """Give the messages of these kinds; there must be some."""
        found = [message for message in self.said if message.verb in verbs]
        assert found, f"no {' or '.join(verbs)} was seen"
        return found

    @property
    def connects(self) -> list[Packet]:
        """The packets that opened the sessions."""
        return [session.packets[0] for session in self.sessions]

    @property
    def wills(self) -> list[Said]:
        """The last will of every session."""
        return [
            Said(number, connect.topic, connect.qos, connect.retain, connect.payload)
            for number, connect in enumerate(self.connects)
        ]

    def neighbours(self) -> list[tuple[Said, Said]]:
        """Give every message that is numbered, after an NBIRTH, with the one before it."""
        numbered = [message for message in self.said if message.verb != "NDEATH"]
        return [
            (before, after)
            for before, after in pairwise(numbered)
            if after.verb != "NBIRTH" and before.session == after.session
        ]


@contextmanager
def recorded_broker() -> Iterator[tuple[Mosquitto, Relay]]:
    """Run a broker with a relay before it."""
    with tempfile.TemporaryDirectory() as folder:
        mosquitto = prepared_mosquitto(Path(folder))
        mosquitto.start()
        try:
            with relayed(mosquitto.broker) as relay:
                yield mosquitto, relay
        finally:
            mosquitto.stop()


def closed(relay: Relay, began_ms: int) -> Record:
    """Wait for the goodbye, then close the book."""
    relay.until(lambda: relay.sessions[-1].packets[-1].kind == DISCONNECT)
    return Record(tuple(relay.sessions), began_ms, utc_ms())


@cache
def plain() -> Record:
    """MQTT 5, names: data, a rebirth, a camera that goes and comes, two broken connections."""
    began_ms = utc_ms()
    with recorded_broker() as (mosquitto, relay):
        with connected(relay.broker, edge_node(now_ms=utc_ms)) as sink:
            sink.status("online")
            walk(sink, frames=FRAMES)
            relay.until(lambda: len(relay.published("DDATA")) >= FRAMES)
            tell(mosquitto.broker, NCMD, command())
            relay.until(lambda: len(relay.published("DBIRTH")) == 2)
            walk(sink, frames=2)
            sink.status("offline")
            sink.status("online")
            walk(sink, frames=2)
            relay.until(lambda: len(relay.published("DDATA")) == FRAMES + 4)
            for number in (1, 2):
                relay.cut()
                relay.until(lambda n=number: count(relay, n, "DBIRTH") == 1)  # type: ignore[misc]
                walk(sink, frames=2)
                relay.until(lambda n=number: count(relay, n, "DDATA") == 2)  # type: ignore[misc]
        return closed(relay, began_ms)


def count(relay: Relay, session: int, verb: str) -> int:
    """Count the messages of a kind in a session."""
    if len(relay.sessions) <= session:
        return 0
    return sum(f"/{verb}/" in packet.topic for packet in relay.sessions[session].packets)


@cache
def hosted() -> Record:
    """MQTT 3.1.1, aliases, no data types in data: a primary host that comes, goes and comes."""
    began_ms = utc_ms()
    node = edge_node(HOSTED, aliases=True, datatype_in_data=False, now_ms=utc_ms)
    with recorded_broker() as (mosquitto, relay):
        tell_state(mosquitto.broker, online=False, timestamp_ms=100)
        with connected(replace(relay.broker, protocol="3.1.1"), node) as sink:
            sink.status("online")
            walk(sink)
            relay.until(lambda: any(packet.kind == SUBSCRIBE for packet in relay.packets))
            tell_state(mosquitto.broker, online=True, timestamp_ms=100)
            relay.until(lambda: count(relay, 0, "DBIRTH") == 1)
            walk(sink, frames=3)
            tell(mosquitto.broker, STATE, host_state(online=False, timestamp_ms=99), "-q", "1")
            tell(mosquitto.broker, NCMD, command(), "-q", "1")
            relay.until(lambda: count(relay, 0, "DBIRTH") == 2)
            tell_state(mosquitto.broker, online=False, timestamp_ms=200)
            relay.until(lambda: len(relay.sessions) == 2 and len(relay.sessions[1].packets) > 1)
            tell_state(mosquitto.broker, online=True, timestamp_ms=300)
            relay.until(lambda: count(relay, 1, "DBIRTH") == 1)
            walk(sink, frames=2)
        return closed(relay, began_ms)


def both() -> tuple[Record, Record]:
    """Give both recordings."""
    return plain(), hosted()


def said(*verbs: str) -> list[Said]:
    """Give the messages of these kinds in both recordings; there must be some."""
    found = [message for record in both() for message in record.said if message.verb in verbs]
    assert found, f"no {' or '.join(verbs)} was seen"
    return found


def deaths() -> list[Said]:
    """Give what was left as a will and what was said before a goodbye."""
    return said("NDEATH") + [will for record in both() for will in record.wills]


def check_numbers(*verbs: str) -> None:
    """Every message of these kinds bears the number after that of the message before."""
    checked = [pair for record in both() for pair in record.neighbours() if pair[1].verb in verbs]
    assert checked
    for before, after in checked:
        assert before.seq is not None
        assert after.seq == (before.seq + 1) % 256


def check_sent_at(*verbs: str) -> None:
    """Every message of these kinds tells when it was sent."""
    for record in both():
        for message in record.said:
            if message.verb in verbs:
                assert message.timestamp_ms is not None
                assert record.began_ms <= message.timestamp_ms <= record.ended_ms
    assert said(*verbs)


def check_mqtt(*verbs: str) -> None:
    """No message of these kinds is retained, and none is more than QoS 0."""
    assert {(message.qos, message.retain) for message in said(*verbs)} == {(0, False)}


def check_one_client_a_node() -> None:
    """Names are given by the operator; that a broker knows one client of a name is our part."""
    names = {connect.client_id for record in both() for connect in record.connects}
    assert len(names) == 1
    others = (replace(TOPICS, group="line"), replace(TOPICS, node="3-edge-7"))
    assert len({_client_id(topics) for topics in others} | names) == 3
