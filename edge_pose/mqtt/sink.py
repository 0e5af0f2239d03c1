"""Poses and events go out to a broker; the pipeline never waits for it.

One worker thread owns the connection, another one the spool.  Those who send and the callbacks of
the client only post to their queues.  Live messages are dropped and counted while the broker is
away; events and summaries wait for it in the spool.
"""

import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from edge_pose.address import Broker, Topics
from edge_pose.clock import NS_PER_S, Clock, monotonic_ns
from edge_pose.config import HomeAssistantConfig, TagsConfig
from edge_pose.event import Event
from edge_pose.message import (
    FrameMessage,
    Info,
    encode,
    flat_person,
    frame_message,
    stats_message,
)
from edge_pose.mqtt.client import (
    Inbox,
    Link,
    Received,
    Refused,
    Stop,
    Subscribed,
    no_answer,
)
from edge_pose.mqtt.forward import Forwarder
from edge_pose.mqtt.homeassistant import discovery
from edge_pose.mqtt.publisher import GOODBYE_S, Publisher, log
from edge_pose.mqtt.tags import Tags
from edge_pose.slots import assign_slots
from edge_pose.spool import IN_MEMORY, SpoolSettings
from edge_pose.types import Frame, Pose3D, Stats

FLAT_PERIOD_NS: Final = NS_PER_S // 10
STATS_PERIOD_NS: Final = NS_PER_S


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


@dataclass(frozen=True, slots=True)
class _Last:
    """Nothing that is seen comes after this."""


class MqttSink:
    """Publishes what the pipeline sees; see MESSAGES in the documentation for the topics."""

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        info: Info,
        *,
        spool: SpoolSettings = IN_MEMORY,
        tags: TagsConfig | None = None,
        homeassistant: HomeAssistantConfig | None = None,
        up: Float64[np.ndarray, "3"] | None = None,
        clock: Clock = monotonic_ns,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._up = up
        self._clock = clock
        self._settled = threading.Event()
        self._emptied = threading.Event()
        """All that was sent before the end is on its way."""
        self._late = threading.Event()
        self._sees = False
        """The camera is online."""
        self._slots: dict[int, int] = {}
        self._tags = Tags(tags) if tags is not None and tags.enabled else None
        self._flat_sent_ns: dict[int, int] = {}
        self._stats: list[Stats] = []
        self._stats_sent_ns = clock()
        self._inbox: Inbox = queue.SimpleQueue()
        answers: Inbox = queue.SimpleQueue()
        self._publisher = Publisher(broker, topics, self._inbox, answers)
        self._publisher.state(topics.device_info, encode(info))
        self._introductions: Mapping[str, str] = {}
        self._awaited: str | None = None
        """Where Home Assistant says that it has started, if it is to be told of us."""
        if homeassistant is not None and homeassistant.enabled:
            self._awaited = f"{homeassistant.prefix}/status"
            self._introductions = discovery(topics, info, prefix=homeassistant.prefix)
            self._introduce()
        self._forwarder = Forwarder(self._publisher.client, broker, topics, answers, spool)
        self._executor = ThreadPoolExecutor(1, "mqtt")
        self._work = self._executor.submit(self._run)
        self._publisher.connect()

    @property
    def online(self) -> bool:
        """Tell whether the broker has let us in."""
        return self._publisher.link.up

    @property
    def unsent(self) -> int:
        """Live messages dropped since the start because the broker was away."""
        return self._publisher.unsent

    def wait_online(self, timeout_s: float) -> None:
        """Return when the broker has let us in; raise a BrokerError when it has not."""
        self._settled.wait(timeout_s)
        self.raise_if_dead()
        if not self._publisher.was_up:
            raise no_answer(self._broker, self._publisher.link)

    def start(self, meta: Mapping[str, object]) -> None:
        """Tell what holds for all frames from now on."""
        self._post(_State("meta", encode(meta)))

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Publish the people seen in one frame."""
        self._post(_Seen(frame, poses, stats))

    def event(self, event: Event) -> None:
        """Publish what happened, sooner or later."""
        self._forwarder.post(event)

    def status(self, camera: str) -> None:
        """Publish that the camera is now `online`, `offline` or `stale`."""
        self._post(_State("status", camera))

    def rebirth(self) -> None:
        """Tell anew what holds, as after a connection."""
        self._inbox.put(_Rebirth())

    def close(self) -> None:
        """Send what waits, for a while, and say goodbye, so that the retained status is true."""
        self._inbox.put(_Last())
        if not self._emptied.wait(GOODBYE_S):
            self._late.set()
        self._forwarder.close()
        self._inbox.put(Stop())
        wait([self._work], 2 * GOODBYE_S)
        self._publisher.disconnect()
        self._executor.shutdown()

    def raise_if_dead(self) -> None:
        """Pass on what ended the thread: the broker refused us for good, or a bug."""
        if self._work.done():
            self._work.result()

    def _post(self, what: _State | _Seen) -> None:
        self.raise_if_dead()
        self._inbox.put(what)

    def _run(self) -> None:
        """Handle what was posted, one after the other, until `Stop` or a hopeless refusal."""
        try:
            while not isinstance(posted := self._inbox.get(), Stop):
                match posted:
                    case _Seen(frame, poses, stats):
                        self._publish_seen(frame, poses, stats)
                    case _State("status", camera):
                        self._change_camera(camera)
                    case _State(leaf, payload):
                        self._publisher.state(self._topics.camera(leaf), payload)
                    case _Rebirth():
                        self._publisher.tell_states()
                    case _Last():
                        self._emptied.set()
                    case _:
                        self._hear(posted)
            self._change_camera("offline")
            self._publisher.say_goodbye()
        finally:
            self._settled.set()
            self._emptied.set()

    def _hear(self, posted: object) -> None:
        """Handle what the client posted."""
        match posted:
            case Link():
                self._change_link(posted)
            case Received(topic, b"offline") if topic == self._topics.device_status:
                self._publisher.tell_online()
            case Received(topic, b"online") if topic == self._awaited:
                self._introduce()
            case Subscribed(mid, refused):
                self._publisher.answered(mid, refused)
            case Refused(reason):
                log.warning("The broker %s refused a message: %s", self._broker.url, reason)

    def _change_link(self, link: Link) -> None:
        self._publisher.change_link(link)
        self._forwarder.post(link)
        if link.up:
            if self._awaited is not None:
                self._publisher.client.subscribe(self._awaited, 1)
            self._empty_tags()
            self._settled.set()

    def _change_camera(self, state: str) -> None:
        self._publisher.state(self._topics.camera("status"), state)
        self._sees = state == "online"
        self._empty_tags()

    def _empty_tags(self) -> None:
        """Tell that nobody knows who is there, once that is so and the broker hears it."""
        if self._tags is not None and self._publisher.link.up and not self._sees:
            for leaf, number in self._tags.forget():
                self._publisher.live(leaf, number, schema=None)

    def _introduce(self) -> None:
        for topic, payload in self._introductions.items():
            self._publisher.state(topic, payload)

    def _publish_seen(self, frame: Frame, poses: Sequence[Pose3D], stats: Stats) -> None:
        if self._late.is_set():
            self._publisher.unsent += 1
            return
        now_ns = self._clock()
        self._stats.append(stats)
        live = self._publisher.has_room(behind=self._inbox.qsize())
        if live:
            message = frame_message(frame, poses, stats, cam=self._topics.cam)
            self._publisher.live("pose", encode(message), schema="frame")
            self._slots = assign_slots(self._slots, [one.id for one in message.persons])
            self._publish_people(message, now_ns)
            if self._tags is not None:
                for leaf, number in self._tags.see(message, self._slots, now_ns):
                    self._publisher.live(leaf, number, schema=None)
        else:
            self._publisher.unsent += 1
        if now_ns - self._stats_sent_ns >= STATS_PERIOD_NS:
            self._stats_sent_ns = now_ns
            self._publish_stats(frame, len(poses), live=live)

    def _publish_people(self, message: FrameMessage, now_ns: int) -> None:
        """Publish each person under a low number that is kept while the person is seen."""
        for one in message.persons:
            slot = self._slots[one.id]
            if now_ns - self._flat_sent_ns.get(slot, now_ns - FLAT_PERIOD_NS) >= FLAT_PERIOD_NS:
                self._flat_sent_ns[slot] = now_ns
                payload = encode(flat_person(message, one, self._up))
                self._publisher.live(f"person/{slot}", payload, schema="person")

    def _publish_stats(self, frame: Frame, persons: int, *, live: bool) -> None:
        counts = self._forwarder.counts
        summary = replace(
            stats_message(
                self._stats,
                ts=frame.captured_at_ms,
                seq=frame.sequence,
                persons=persons,
                unsent=self._publisher.unsent,
            ),
            spooled=counts.rows,
            spool_dropped=counts.dropped,
            spool_ok=counts.ok,
        )
        self._stats.clear()
        if live:
            self._publisher.live("stats", encode(summary), schema="stats")
        self._forwarder.post(summary)
