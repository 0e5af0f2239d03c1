"""Store and forward: what must not be lost goes to the spool first, and stays until it is heard.

A thread of its own, because a disk may be slow.  A message is done with when the broker has
acknowledged it and, where the protocol tells (MQTT 5), somebody was subscribed.  What nobody hears
is offered again after a while, topic by topic, so that one without a reader holds up no other.
"""

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from edge_pose.address import Broker, Topics
from edge_pose.clock import NS_PER_S, Clock, monotonic_ns
from edge_pose.event import (
    CameraChange,
    Degraded,
    Drift,
    Event,
    People,
    ZoneEnter,
    ZoneLeave,
)
from edge_pose.message import StatsMessage, encode
from edge_pose.mqtt.client import Answered, Inbox, Link, Stop
from edge_pose.mqtt.publisher import GOODBYE_S, properties
from edge_pose.spool import Counts, Spool, SpoolSettings

WINDOW: Final = 20
"""Messages that may be without an answer at a time."""
PATIENCE_NS: Final = 30 * NS_PER_S
"""A message without an answer for so long is sent again.

The client numbers its messages modulo 65535, and those that need no answer too; well before it
comes round, an old number must mean nothing to us.
"""
TICK_S: Final = 0.5
FIRST_PAUSE_NS: Final = NS_PER_S
LONGEST_PAUSE_NS: Final = 30 * NS_PER_S
SUMMARY: Final = "summary"
HEARD: Final = "Success"


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message on its way."""

    row: int
    leaf: str
    at_ns: int


@dataclass(slots=True)
class _Pause:
    """A topic that nobody heard, or that the broker refused."""

    until_ns: int
    length_ns: int


class Forwarder:
    """Events and summaries in; each of them out until somebody has it."""

    def __init__(
        self,
        client: Client,
        broker: Broker,
        topics: Topics,
        inbox: Inbox,
        spool: SpoolSettings,
        *,
        clock: Clock = monotonic_ns,
    ) -> None:
        """Start; the inbox is the one to which the client's callbacks post answers."""
        self._client = client
        self._broker = broker
        self._topics = topics
        self._inbox = inbox
        self._clock = clock
        self._up = False
        self._sent: dict[int, _Sent] = {}
        """By the client's number."""
        self._pauses: dict[str, _Pause] = {}
        self._counts = Counts(rows=0, dropped=0, ok=True)
        self._executor = ThreadPoolExecutor(1, "spool")
        self._work = self._executor.submit(self._run, spool)

    @property
    def counts(self) -> Counts:
        """Tell how the spool is doing, to any thread."""
        return self._counts

    def post(self, what: Event | StatsMessage | Link) -> None:
        """Take a message, or that the connection came up or went down; returns at once."""
        self.raise_if_dead()
        self._inbox.put(what)

    def raise_if_dead(self) -> None:
        """Pass on what ended the thread, which only a bug can do."""
        if self._work.done():
            self._work.result()

    def close(self) -> None:
        """Save everything, and wait a little for answers."""
        self._inbox.put(Stop())
        wait([self._work], 2 * GOODBYE_S)
        self._executor.shutdown()

    def _run(self, settings: SpoolSettings) -> None:
        with closing(Spool(settings, clock=self._clock)) as spool:
            until_ns: int | None = None
            while until_ns is None or (self._sent and self._clock() < until_ns):
                news = list(self._news())
                for posted in news:
                    match posted:
                        case Stop():
                            until_ns = self._clock() + round(GOODBYE_S * NS_PER_S)
                        case _:
                            self._take(posted, spool)
                self._give_up_waiting()
                spool.save()
                if self._up:
                    self._send(spool)
                self._counts = spool.counts

    def _news(self) -> Iterator[object]:
        """Give what was posted, at once all there is; nothing when nothing comes for a while."""
        try:
            yield self._inbox.get(timeout=TICK_S)
            while True:
                yield self._inbox.get_nowait()
        except queue.Empty:
            return

    def _take(self, posted: object, spool: Spool) -> None:
        match posted:
            case Answered(mid, reason):
                self._settle(self._sent.pop(mid, None), reason, spool)
            case Link(up):
                self._up = up
                self._pauses.clear()
            case StatsMessage():
                spool.add(SUMMARY, encode(posted), precious=False)
            case ZoneEnter() | ZoneLeave() | People() | CameraChange() | Degraded() | Drift():
                numbered = replace(posted, seq=spool.number())
                spool.add(f"event/{posted.type}", encode(numbered), precious=True)

    def _settle(self, sent: _Sent | None, reason: str, spool: Spool) -> None:
        if sent is None:
            return
        if reason == HEARD:
            spool.done(sent.row)
            self._pauses.pop(sent.leaf, None)
            return
        pause, now_ns = self._pauses.get(sent.leaf), self._clock()
        if pause is None:
            self._pauses[sent.leaf] = _Pause(now_ns + FIRST_PAUSE_NS, FIRST_PAUSE_NS)
        elif now_ns >= pause.until_ns:  # else another message of the same handful said so already
            pause.length_ns = min(2 * pause.length_ns, LONGEST_PAUSE_NS)
            pause.until_ns = now_ns + pause.length_ns

    def _give_up_waiting(self) -> None:
        now_ns = self._clock()
        for mid, sent in list(self._sent.items()):
            if now_ns - sent.at_ns >= PATIENCE_NS:
                del self._sent[mid]

    def _send(self, spool: Spool) -> None:
        """Send the oldest of what may be sent, of all topics together."""
        now_ns = self._clock()
        on_their_way = {sent.row for sent in self._sent.values()}
        room = WINDOW - len(on_their_way)
        if room <= 0:
            return
        rows = [
            row
            for leaf in list(spool.leaves)
            if leaf not in self._pauses or now_ns >= self._pauses[leaf].until_ns
            for row in spool.waiting(leaf, without=on_their_way, most=room)
        ]
        for row in sorted(rows)[:room]:
            schema = "stats" if row.leaf == SUMMARY else row.leaf.replace("/", "-")
            sent = self._client.publish(
                self._topics.camera(row.leaf),
                row.payload,
                1,
                properties=properties(self._broker, schema),
            )
            if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                return
            self._sent[sent.mid] = _Sent(row.id, row.leaf, now_ns)
