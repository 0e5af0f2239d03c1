"""A client whose callbacks only post to a queue, and a subscription made of it."""

import logging
import os
import queue
import secrets
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.client import MQTTMessage as Incoming
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge_pose.address import Broker
from edge_pose.config.rules import secret
from edge_pose.errors import BrokerError, ConfigError
from edge_pose.mqtt.reasons import Trouble

log = logging.getLogger(__name__)

KEEPALIVE_S: Final = 15
CONNECT_TIMEOUT_S: Final = 3.0
RECONNECT_S: Final = (1, 8)
"""Shortest and longest pause between two tries: all is well ten seconds after the broker is."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came in."""

    topic: str
    payload: bytes
    retained: bool = False
    """Kept by the broker from before we came."""


@dataclass(frozen=True, slots=True)
class Link:
    """The connection came up or went down."""

    up: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker did not take a message that it had to acknowledge."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The broker acknowledged a message, or a message that needs no answer has left."""

    mid: int
    reason: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker answered what we want to hear."""

    mid: int
    refused: str | None
    """Why we may not hear it."""


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The broker answered that we no longer hear something."""

    mid: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is posted after this."""


Inbox = queue.SimpleQueue[Any]
HOPELESS: Final = (
    "Unsupported protocol version",
    "Client identifier not valid",
    "Bad user name or password",
    "Not authorized",
    "Bad authentication method",
    "Banned",
)
"""Answers to a first connect that waiting does not mend."""


def no_answer(broker: Broker, link: Link) -> BrokerError:
    """Say that the broker has not let us in yet."""
    return BrokerError(
        f"no MQTT broker answers at {broker.url} ({link.reason}); start it, or "
        "correct the address in mqtt.broker or --broker"
    )


def refused(broker: Broker, link: Link) -> BrokerError:
    """Log at once that the broker will never let us in like this, and give it to be raised."""
    error = BrokerError(
        f"the MQTT broker {broker.url} refused us: {link.reason} (we spoke MQTT "
        f"{broker.protocol}); correct mqtt.protocol, mqtt.username or mqtt.password_file"
    )
    log.error("%s", error)
    return error


def new_client(
    broker: Broker,
    purpose: str,
    inbox: Inbox,
    *,
    client_id: str | None = None,
    before_connect: Callable[[Client], object] | None = None,
    answers: Inbox | None = None,
) -> Client:
    """Make a client whose callbacks post to the inbox, and answers beside it, and do nothing else.

    They run while the client holds its own lock, so whatever waits for another lock in them may
    wait for ever.

    `before_connect` runs in the network thread just before each CONNECT packet is made, where a
    will can still be renewed; what it returns is posted.
    """
    version = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
    client = Client(
        CallbackAPIVersion.VERSION2,
        # Two clients of one name throw each other out for ever, so no name is used twice.
        client_id=client_id or f"edge-pose-{purpose}-{os.getpid()}-{secrets.token_hex(3)}",
        protocol=version[broker.protocol],
    )
    # An exception in a callback would end the network thread without a word.
    client.suppress_exceptions = True
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.reconnect_delay_set(*RECONNECT_S)
    _set_credentials(client, broker)
    _post_messages(client, inbox, answers)
    _post_link(client, inbox, Trouble(tls=broker.tls), before_connect)
    return client


def _post_link(
    client: Client,
    inbox: Inbox,
    trouble: Trouble,
    before_connect: Callable[[Client], object] | None,
) -> None:
    """Post how the connection comes and goes."""

    def on_connect(_c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        trouble.answered(up=not reason.is_failure)
        inbox.put(Link(up=not reason.is_failure, reason=str(reason)))

    def on_connect_fail(_c: Client, _u: Any) -> None:
        inbox.put(Link(up=False, reason=trouble.told(str(sys.exc_info()[1]))))

    def on_disconnect(_c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        inbox.put(Link(up=False, reason=trouble.told(str(reason))))

    def on_log(_c: Client, _u: Any, _level: int, text: str) -> None:
        # It calls errors what we report as a link that is down.
        log.debug("%s", text)
        trouble.logged(text)

    def on_socket_open(opening: Client, _u: Any, opened: Any) -> None:
        # Nagle's algorithm holds small packets back for up to 59 ms.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if before_connect is not None:
            inbox.put(before_connect(opening))

    client.on_connect = on_connect
    client.on_connect_fail = on_connect_fail
    client.on_disconnect = on_disconnect
    client.on_log = on_log
    client.on_socket_open = on_socket_open


def _post_messages(client: Client, inbox: Inbox, answers: Inbox | None) -> None:
    """Post what comes, and what became of what was sent."""

    def on_publish(_c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        if answers is not None:
            answers.put(Answered(mid, str(reason)))
        if reason.is_failure:
            inbox.put(Refused(str(reason)))

    def on_message(_c: Client, _u: Any, incoming: Incoming) -> None:
        inbox.put(Received(incoming.topic, bytes(incoming.payload), incoming.retain))

    def on_subscribe(_c: Client, _u: Any, mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        failures = (str(reason) for reason in reasons if reason.is_failure)
        inbox.put(Subscribed(mid, next(failures, None)))

    def on_unsubscribe(_c: Client, _u: Any, mid: int, _r: Any, _p: Any) -> None:
        inbox.put(Unsubscribed(mid))

    client.on_publish = on_publish
    client.on_subscribe = on_subscribe
    client.on_unsubscribe = on_unsubscribe
    client.on_message = on_message


def _set_credentials(client: Client, broker: Broker) -> None:
    if broker.username is not None:
        password = secret(broker.password_file, name="mqtt.password_file")
        client.username_pw_set(broker.username, password)
    if broker.tls:
        try:
            client.tls_set_context(_tls(broker))
        except OSError as error:
            named = ", ".join(
                str(p) for p in (broker.ca_file, broker.cert_file, broker.key_file) if p
            )
            raise ConfigError(
                f"the TLS files {named} for the broker {broker.url} cannot be used: {error}; "
                "mqtt.ca_file, mqtt.cert_file and mqtt.key_file must name readable PEM files"
            ) from None


def _tls(broker: Broker) -> ssl.SSLContext:
    """Take TLS 1.2 or later, with a certificate that is valid for the broker's name."""
    context = ssl.create_default_context(cafile=broker.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.cert_file is not None:
        # A key with a passphrase is refused; without this the library would ask on the terminal.
        context.load_cert_chain(broker.cert_file, broker.key_file, password="")
    return context


class Subscription:
    """What is published under some topic filters, and whether the broker is there."""

    def __init__(self, broker: Broker, filters: Sequence[str]) -> None:
        self._filters = [(topic, 0) for topic in filters]
        self._inbox: Inbox = queue.SimpleQueue()
        self._client = new_client(broker, "view", self._inbox)
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def receive(self) -> Received | Link | None:
        """Wait for the next message or change of the connection; None when closed."""
        while not isinstance(posted := self._inbox.get(), Stop):
            match posted:
                case Link(up=True):
                    if self._filters:
                        self._client.subscribe(self._filters)
                    return posted
                case Link() | Received():
                    return posted
        return None

    def close(self) -> None:
        """Leave; whoever waits in `receive` gets None."""
        self._client.disconnect()
        self._client.loop_stop()
        self._inbox.put(Stop())
