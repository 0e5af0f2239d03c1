"""A relay before a broker that writes down, packet by packet, what a client of it sends.

A will, a clean session or the reason of a goodbye is seen by nobody but the broker; here they are
read off the wire.  Both versions of MQTT are understood as far as our own client speaks them.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from brokers import PATIENCE_S
from edge_pose.address import Broker

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT = 1, 3, 8, 10, 14


@dataclass(frozen=True, kw_only=True)
class Packet:
    """One packet from the client; what does not apply to its kind keeps its default."""

    kind: int
    topic: str = ""
    """Of a message or, in a CONNECT, of the will."""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    client_id: str = ""
    clean: bool = False
    has_will: bool = False
    keeps_session: bool = False
    """An MQTT 5 CONNECT that asks the broker to remember the session."""
    subscribed: tuple[tuple[str, int], ...] = ()
    reason: int | None = None


@dataclass
class Reader:
    """Takes one packet apart."""

    data: bytes
    at: int = 0

    def number(self, size: int = 1) -> int:
        """Read a number of so many bytes."""
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")

    def block(self) -> bytes:
        """Read bytes that their number precedes."""
        size = self.number(2)
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self) -> str:
        """Read a text that its length precedes."""
        return self.block().decode()

    def length(self) -> int:
        """Read a number of variable size."""
        value = shift = 0
        while True:
            byte = self.number()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def properties(self) -> bytes:
        """Read the properties of a packet of MQTT 5."""
        size = self.length()
        self.at += size
        return self.data[self.at - size : self.at]


@dataclass
class Session:
    """One connection of the client."""

    packets: list[Packet] = field(default_factory=list)
    rest: bytes = b""
    version: int = 0

    def take(self, data: bytes) -> None:
        """Read the packets that are whole by now."""
        self.rest += data
        while len(self.rest) >= 2:
            reader = Reader(self.rest, 1)
            size = reader.length()
            end = reader.at + size
            if len(self.rest) < end:
                return
            head, body, self.rest = self.rest[0], self.rest[reader.at : end], self.rest[end:]
            self.packets.append(self._packet(head, Reader(body)))

    def _packet(self, head: int, body: Reader) -> Packet:
        kind, flags = head >> 4, head & 0x0F
        if kind == CONNECT:
            return self._connect(body)
        if kind == PUBLISH:
            topic, qos = body.text(), flags >> 1 & 3
            body.at += 2 if qos else 0
            if self.version == 5:
                body.properties()
            return Packet(
                kind=kind,
                topic=topic,
                payload=body.data[body.at :],
                qos=qos,
                retain=bool(flags & 1),
            )
        if kind == SUBSCRIBE:
            body.at += 2
            if self.version == 5:
                body.properties()
            asked = []
            while body.at < len(body.data):
                asked.append((body.text(), body.number() & 3))
            return Packet(kind=kind, subscribed=tuple(asked))
        if kind == DISCONNECT:
            return Packet(kind=kind, reason=body.number() if body.data else None)
        return Packet(kind=kind)

    def _connect(self, body: Reader) -> Packet:
        assert body.text() == "MQTT"
        self.version, flags = body.number(), body.number()
        body.at += 2
        settings = body.properties() if self.version == 5 else b""
        client_id = body.text()
        if self.version == 5 and flags & 4:
            body.properties()
        return Packet(
            kind=CONNECT,
            client_id=client_id,
            clean=bool(flags & 2),
            has_will=bool(flags & 4),
            qos=flags >> 3 & 3,
            retain=bool(flags & 0x20),
            topic=body.text() if flags & 4 else "",
            payload=body.block() if flags & 4 else b"",
            keeps_session=0x11 in settings[:1],
        )


class Relay:
    """Listens on loopback and hands everything on to the broker, in both directions."""

    def __init__(self, target: Broker) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._cutting = threading.Event()
        self.sessions: list[Session] = []
        self.broker = replace(target, port=self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def packets(self) -> list[Packet]:
        """Everything that was sent, over all connections in their order."""
        return [packet for session in self.sessions for packet in list(session.packets)]

    def published(self, verb: str = "") -> list[Packet]:
        """Messages of which the topic has this level."""
        return [
            p for p in self.packets if p.kind == PUBLISH and (not verb or f"/{verb}/" in p.topic)
        ]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to be true of what was sent."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, self.packets[-3:]
            time.sleep(0.005)

    def cut(self) -> None:
        """Break the connection as a network does, without a word to either end."""
        self._cutting.set()
        self.until(lambda: not self._cutting.is_set())

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select(0.05):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif key.fileobj in {k.fileobj for k in selector.get_map().values()}:
                        self._hand_on(selector, key)  # it may have gone with its other end
                if self._cutting.is_set():
                    self._drop_all(selector)
                    self._cutting.clear()
            self._drop_all(selector)

    def _drop_all(self, selector: selectors.BaseSelector) -> None:
        for key in list(selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket) and key.fileobj is not self._listener:
                selector.unregister(key.fileobj)
                key.fileobj.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection((self._target.host, self._target.port))
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session()
        self.sessions.append(session)
        selector.register(client, selectors.EVENT_READ, (server, session))
        selector.register(server, selectors.EVENT_READ, (client, None))

    def _hand_on(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        here, (other, session) = key.fileobj, key.data
        assert isinstance(here, socket.socket)
        data = b""
        with suppress(OSError):
            data = here.recv(65536)
        if session is not None:
            session.take(data)
        if data and (session is None or self._tolerates(session)):
            with suppress(OSError):
                other.sendall(data)
            return
        for end in (here, other):
            with suppress(KeyError):
                selector.unregister(end)
            end.close()

    def _tolerates(self, _session: Session) -> bool:
        """Tell whether a client may stay that has sent this by now."""
        return True


@contextmanager
def relayed(target: Broker) -> Iterator[Relay]:
    """Write down what is sent to a broker while the context lasts."""
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.close()
