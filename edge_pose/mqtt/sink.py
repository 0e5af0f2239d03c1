"""Poses go out to a broker; the pipeline never waits for it.

One worker thread owns everything that changes.  Those who send and the callbacks of the client only
post to its queue.  While the broker is away frames are dropped and counted; state (status, meta,
info) is kept and told anew at every connect, because the broker publishes our last will `offline`
whenever it loses us.
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from paho.mqtt.client import MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_pose.address import Broker, Topics
from edge_pose.clock import NS_PER_S, Clock, monotonic_ns
from edge_pose.message import (
    VERSION,
    FrameMessage,
    Info,
    encode,
    flat_person,
    frame_message,
    stats_message,
)
from edge_pose.mqtt.client import (
    HOPELESS,
    KEEPALIVE_S,
    Inbox,
    Link,
    Refused,
    Stop,
    new_client,
    no_answer,
    refused,
)
from edge_pose.slots import assign_slots
from edge_pose.types import Frame, Pose3D, Stats

log = logging.getLogger(__name__)

GOODBYE_S: Final = 2.0
FRAME_EXPIRY_S: Final = 2
FLAT_PERIOD_NS: Final = NS_PER_S // 10
STATS_PERIOD_NS: Final = NS_PER_S
WAITING_LIMIT: Final = 100
"""Packets that may wait in the client while the network stalls; beyond that frames are dropped."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One frame to send."""

    frame: Frame
    poses: Sequence[Pose3D]
    stats: Stats


@dataclass(frozen=True, slots=True)
class _State:
    """What a retained topic of the camera says from now on."""

    leaf: str
    payload: str


@dataclass(frozen=True, slots=True)
class _Rebirth:
    """Everything that is retained is to be told anew."""


class MqttSink:
    """Publishes what the pipeline sees; see MESSAGES in the documentation for the topics."""

    def __init__(
        self, broker: Broker, topics: Topics, info: Info, *, clock: Clock = monotonic_ns
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._info = encode(info)
        self._clock = clock
        self._link = Link(up=False, reason="no answer yet")
        self._was_up = False
        self._settled = threading.Event()
        self._closing = threading.Event()
        self._retained: dict[str, str] = {"status": "offline"}
        self._slots: dict[int, int] = {}
        self._flat_sent_ns: dict[int, int] = {}
        self._stats: list[Stats] = []
        self._stats_sent_ns = clock()
        self._unsent = 0
        self._waiting: deque[MQTTMessageInfo] = deque()
        self._inbox: Inbox = queue.SimpleQueue()
        self._client = new_client(broker, f"{topics.device}-{topics.cam}", self._inbox)
        self._client.will_set(topics.device_status, "offline", qos=1, retain=True)
        self._executor = ThreadPoolExecutor(1, "mqtt")
        self._work = self._executor.submit(self._run)
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()

    @property
    def online(self) -> bool:
        """Tell whether the broker has let us in."""
        return self._link.up

    @property
    def unsent(self) -> int:
        """Messages dropped since the start because the broker was away."""
        return self._unsent

    def wait_online(self, timeout_s: float) -> None:
        """Return when the broker has let us in; raise a BrokerError when it has not."""
        self._settled.wait(timeout_s)
        self._raise_if_dead()
        if not self._was_up:
            raise no_answer(self._broker, self._link)

    def start(self, meta: Mapping[str, object]) -> None:
        """Tell what holds for all frames from now on."""
        self._raise_if_dead()
        self._inbox.put(_State("meta", encode(meta)))

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Publish the people seen in one frame."""
        self._raise_if_dead()
        self._inbox.put(_Seen(frame, poses, stats))

    def status(self, camera: str) -> None:
        """Publish that the camera is now `online`, `offline` or `stale`."""
        self._raise_if_dead()
        self._inbox.put(_State("status", camera))

    def rebirth(self) -> None:
        """Tell anew what holds, as after a connection."""
        self._inbox.put(_Rebirth())

    def close(self) -> None:
        """Say goodbye, so that the retained status is true afterwards."""
        self._closing.set()
        self._inbox.put(Stop())
        wait([self._work], 2 * GOODBYE_S)
        self._client.disconnect()
        self._client.loop_stop()
        self._executor.shutdown()

    def _raise_if_dead(self) -> None:
        if self._work.done():
            self._work.result()

    def _run(self) -> None:
        """Handle what was posted, one after the other, until `Stop` or a hopeless refusal."""
        try:
            while not isinstance(posted := self._inbox.get(), Stop):
                match posted:
                    case _Seen(frame, poses, stats):
                        self._publish_seen(frame, poses, stats)
                    case _State(leaf, payload):
                        self._retained[leaf] = payload
                        self._publish_retained(self._topics.camera(leaf), payload)
                    case Link():
                        self._change_link(posted)
                    case _Rebirth():
                        self._publish_birth()
                    case Refused(reason):
                        log.warning("The broker %s refused a message: %s", self._broker.url, reason)
            self._say_goodbye()
        finally:
            self._settled.set()

    def _change_link(self, link: Link) -> None:
        url, before = self._broker.url, self._link
        self._link = link
        if link.up:
            log.info("Connected to the broker %s", url)
            self._was_up = True
            self._publish_birth()
            self._settled.set()
            return
        if not self._was_up and link.reason in HOPELESS:
            raise refused(self._broker, link)
        if before.up or before.reason != link.reason:
            log.warning("The broker %s is away: %s; trying again", url, link.reason)

    def _publish_birth(self) -> None:
        self._publish_retained(self._topics.device_info, self._info)
        for leaf in sorted(self._retained):
            self._publish_retained(self._topics.camera(leaf), self._retained[leaf])
        self._publish_retained(self._topics.device_status, "online")

    def _say_goodbye(self) -> None:
        if self._link.up:
            self._publish_retained(self._topics.camera("status"), "offline")
            last = self._publish_retained(self._topics.device_status, "offline")
            if last is not None and last.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                with suppress(RuntimeError):  # the connection was lost meanwhile
                    last.wait_for_publish(GOODBYE_S)

    def _publish_retained(self, topic: str, payload: str) -> MQTTMessageInfo | None:
        # Offline, the client would queue without limit what the next birth tells anyway.
        return self._client.publish(topic, payload, 1, retain=True) if self._link.up else None

    def _publish_seen(self, frame: Frame, poses: Sequence[Pose3D], stats: Stats) -> None:
        if self._closing.is_set():
            return
        self._stats.append(stats)
        if not self._can_publish():
            self._unsent += 1
            return
        now_ns = self._clock()
        message = frame_message(frame, poses, stats, cam=self._topics.cam)
        self._publish_live("pose", encode(message), schema="frame")
        self._publish_people(message, now_ns)
        if now_ns - self._stats_sent_ns >= STATS_PERIOD_NS:
            summary = stats_message(
                self._stats,
                ts=message.ts,
                seq=message.seq,
                persons=len(message.persons),
                unsent=self._unsent,
            )
            self._publish_live("stats", encode(summary), schema="stats")
            self._stats_sent_ns = now_ns
            self._stats.clear()

    def _can_publish(self) -> bool:
        while self._waiting and _is_gone(self._waiting[0]):
            self._waiting.popleft()
        return self._link.up and len(self._waiting) + self._inbox.qsize() < WAITING_LIMIT

    def _publish_people(self, message: FrameMessage, now_ns: int) -> None:
        """Publish each person under a low number that is kept while the person is seen."""
        self._slots = assign_slots(self._slots, [one.id for one in message.persons])
        for one in message.persons:
            slot = self._slots[one.id]
            if now_ns - self._flat_sent_ns.get(slot, now_ns - FLAT_PERIOD_NS) >= FLAT_PERIOD_NS:
                self._flat_sent_ns[slot] = now_ns
                self._publish_live(
                    f"person/{slot}", encode(flat_person(message, one)), schema="person"
                )

    def _publish_live(self, leaf: str, payload: str, *, schema: str) -> None:
        properties = None
        if self._broker.protocol == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = FRAME_EXPIRY_S
            properties.ContentType = "application/json"
            properties.UserProperty = ("schema", f"urn:edge-pose:{schema}:{VERSION}")
        sent = self._client.publish(self._topics.camera(leaf), payload, properties=properties)
        if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._waiting.append(sent)
        else:
            self._unsent += 1


def _is_gone(sent: MQTTMessageInfo) -> bool:
    """Tell whether a packet has left the client, be it because the connection was lost."""
    try:
        return sent.is_published()
    except RuntimeError:
        return True
