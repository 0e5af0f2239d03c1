"""One connection to a broker: states that are told anew at every connect, and live messages.

Owned by one worker thread.  While the broker is away live messages are dropped and counted; states
are kept, because the broker publishes our last will `offline` whenever it loses us.
"""

import logging
from collections import deque
from contextlib import suppress
from typing import Final

from paho.mqtt.client import MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_pose.address import Broker, Topics
from edge_pose.message import VERSION
from edge_pose.mqtt.client import HOPELESS, KEEPALIVE_S, Inbox, Link, new_client, refused

log = logging.getLogger(__name__)

GOODBYE_S: Final = 2.0
FRAME_EXPIRY_S: Final = 2
WAITING_LIMIT: Final = 100
"""Packets that may wait in the client while the network stalls; beyond that frames are dropped."""


def properties(
    broker: Broker, schema: str | None, *, expiry_s: int | None = None
) -> Properties | None:
    """Say what a message is, where the protocol can; without a schema it is plain text."""
    if broker.protocol != "5":
        return None
    said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if expiry_s is not None:
        said.MessageExpiryInterval = expiry_s
    if schema is not None:
        said.ContentType = "application/json"
        said.UserProperty = ("schema", f"urn:edge-pose:{schema}:{VERSION}")
    return said


class Publisher:
    """Publishes for one camera."""

    def __init__(self, broker: Broker, topics: Topics, inbox: Inbox, answers: Inbox) -> None:
        self._broker = broker
        self._topics = topics
        self._waiting: deque[MQTTMessageInfo] = deque()
        self._states: dict[str, str] = {}
        self._asked: int | None = None
        """Number of the packet that asks to hear the device's status, until it is answered."""
        self.link = Link(up=False, reason="no answer yet")
        self.was_up = False
        self.unsent = 0
        self.client = new_client(broker, f"{topics.device}-{topics.cam}", inbox, answers=answers)
        self.client.will_set(topics.device_status, "offline", qos=1, retain=True)
        self.state(topics.camera("status"), "offline")

    def connect(self) -> None:
        """Begin to connect, and go on for ever."""
        self.client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
        self.client.loop_start()

    def disconnect(self) -> None:
        """Leave."""
        self.client.disconnect()
        self.client.loop_stop()

    def change_link(self, link: Link) -> None:
        """Take in that the connection came up or went down; a BrokerError when that is final."""
        url, before = self._broker.url, self.link
        self.link = link
        if link.up:
            log.info("Connected to the broker %s", url)
            self.was_up = True
            self.tell_states()
            self._ask_for_status()
            return
        if not self.was_up and link.reason in HOPELESS:
            raise refused(self._broker, link)
        if before.up or before.reason != link.reason:
            log.warning("The broker %s is away: %s; trying again", url, link.reason)

    def tell_states(self) -> None:
        """Publish what all retained topics say, where the broker is there to hear it."""
        if self.link.up:
            for topic, payload in self._states.items():
                self.client.publish(topic, payload, 1, retain=True)
            self.tell_online()

    def tell_online(self) -> None:
        """Publish that the device is there, where the broker is there to hear it."""
        if self.link.up:
            self.client.publish(self._topics.device_status, "online", 1, retain=True)

    def answered(self, mid: int, refused: str | None) -> None:
        """Take in whether we may hear what we asked for."""
        if mid != self._asked:
            return
        self._asked = None
        if refused is not None:
            self._warn_unheard(refused)

    def state(self, topic: str, payload: str) -> None:
        """Publish what a retained topic says from now on, now and at every connect."""
        self._states[topic] = payload
        # Offline, the client would queue without limit what the next connect tells anyway.
        if self.link.up:
            self.client.publish(topic, payload, 1, retain=True)

    def has_room(self, *, behind: int = 0) -> bool:
        """Tell whether a live message would be sent soon, with so many to come behind it."""
        while self._waiting and self._is_done_with(self._waiting[0]):
            self._waiting.popleft()
        return self.link.up and len(self._waiting) + behind < WAITING_LIMIT

    def live(self, leaf: str, payload: str, *, schema: str | None) -> None:
        """Publish what is worth nothing a moment later."""
        said = properties(self._broker, schema, expiry_s=FRAME_EXPIRY_S)
        sent = self.client.publish(self._topics.camera(leaf), payload, properties=said)
        if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._waiting.append(sent)
        else:
            self.unsent += 1

    def say_goodbye(self) -> None:
        """Say that the device is gone, and count what has not left by then."""
        if self.link.up:
            last = self.client.publish(self._topics.device_status, "offline", 1, retain=True)
            if last.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                with suppress(RuntimeError):  # the connection was lost meanwhile
                    last.wait_for_publish(GOODBYE_S)
        left = sum(not self._is_done_with(sent) for sent in self._waiting)
        self.unsent += left

    def _is_done_with(self, sent: MQTTMessageInfo) -> bool:
        """Tell whether a packet has left the client; count it where the connection was lost."""
        try:
            return sent.is_published()
        except RuntimeError:
            self.unsent += 1
            return True

    def _ask_for_status(self) -> None:
        """Hear when another camera of the device, or a late last will of our own, says offline.

        Some brokers throw out whoever asks for what the access list forbids, so the connection
        after one that was lost over that question goes without.
        """
        if self._asked is None:
            _, self._asked = self.client.subscribe(self._topics.device_status, 1)
        else:
            self._asked = None
            self._warn_unheard("the connection broke when we asked")

    def _warn_unheard(self, reason: str) -> None:
        log.warning(
            "We do not hear %s at the broker %s (%s), so when another camera of this device stops, "
            "it says offline there until we connect again; let the broker's access list allow us "
            "to read it",
            self._topics.device_status,
            self._broker.url,
            reason,
        )
