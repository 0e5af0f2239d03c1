"""Poses go out as metrics of a Sparkplug B edge node, over a connection of its own.

One worker thread owns everything that changes; those who send and the callbacks of the client only
post to its queue.  What is to be published the edge node says (`edge_pose/sparkplug/node.py`); here
it is sent, as long as the session for which it was said still stands.  What could not be told is
told later, with its own time (`edge_pose/mqtt/history.py`).
"""

import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle
from typing import Final

from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, Client
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_pose.address import Broker, SparkplugTopics
from edge_pose.clock import NS_PER_S, Clock, monotonic_ns, utc_ms
from edge_pose.mqtt.client import (
    HOPELESS,
    KEEPALIVE_S,
    Inbox,
    Link,
    Received,
    Stop,
    Unsubscribed,
    new_client,
    no_answer,
    refused,
)
from edge_pose.mqtt.history import History, HistorySettings, Past
from edge_pose.slots import assign_slots
from edge_pose.sparkplug.metrics import camera_values
from edge_pose.sparkplug.node import (
    NUMBERS,
    Action,
    EdgeNode,
    Publish,
    StartOver,
    death_certificate,
)
from edge_pose.spool import Counts
from edge_pose.types import Frame, Pose3D, Stats

log = logging.getLogger(__name__)

GOODBYE_S: Final = 4.0
NO_HISTORY: Final = Counts(rows=0, dropped=0, ok=True)
LEFT: Final = Link(up=False, reason="Normal disconnection")


@dataclass(frozen=True, slots=True)
class _Seen:
    """One frame to tell of."""

    frame: Frame
    poses: Sequence[Pose3D]
    stats: Stats


@dataclass(frozen=True, slots=True)
class _Camera:
    """The camera came or went."""

    online: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Session:
    """A CONNECT packet goes out with this number in its will."""

    bd_seq: int


@dataclass(frozen=True, slots=True)
class _Rebirth:
    """What there is is to be told anew."""


class SparkplugSink:
    """Publishes what the pipeline sees as an edge node; see Sparkplug in docs/messages.md."""

    def __init__(
        self,
        broker: Broker,
        node: EdgeNode,
        *,
        joints: Sequence[str],
        rate_hz: float,
        history: HistorySettings | None = None,
        clock: Clock = monotonic_ns,
    ) -> None:
        self._broker = broker
        self._node = node
        self._joints = joints
        self._period_ns = round(NS_PER_S / rate_hz)
        self._clock = clock
        self._reported_ns: int | None = None
        self._slots: dict[int, int] = {}
        self._unsent = 0
        self._link = Link(up=False, reason="no answer yet")
        self._was_up = False
        self._settled = threading.Event()
        self._bd_seqs = cycle(range(NUMBERS))
        self._session = self._newest_session = _Session(0)
        self._inbox: Inbox = queue.SimpleQueue()
        self._history = (
            None
            if history is None
            else History(node, history, self._inbox, act=self._act, fence=self._fence)
        )
        self._client = self._connected_client()
        self._executor = ThreadPoolExecutor(1, "sparkplug")
        self._work = self._executor.submit(self._run)

    @property
    def online(self) -> bool:
        """Tell whether the broker has let us in."""
        return self._link.up

    @property
    def unsent(self) -> int:
        """Reports since the start that nobody could hear when they were made."""
        return self._unsent

    @property
    def history(self) -> Counts:
        """Tell how much of the past waits to be told."""
        return NO_HISTORY if self._history is None else self._history.counts

    def wait_online(self, timeout_s: float) -> None:
        """Return when the broker has let us in; raise a BrokerError when it has not."""
        self._settled.wait(timeout_s)
        self.raise_if_dead()
        if not self._was_up:
            raise no_answer(self._broker, self._link)

    def start(self, meta: Mapping[str, object]) -> None:
        """Tell nothing: metrics name their joints and units themselves."""

    def send(self, frame: Frame, poses: list[Pose3D], stats: Stats) -> None:
        """Tell what changed, at most as often as was asked for."""
        self.raise_if_dead()
        self._inbox.put(_Seen(frame, poses, stats))

    def status(self, camera: str) -> None:
        """Tell that the camera is now `online`, or that it is `offline` or `stale`: dead."""
        self.raise_if_dead()
        self._inbox.put(_Camera(online=camera == "online"))

    def rebirth(self) -> None:
        """Publish the births again."""
        self._inbox.put(_Rebirth())

    def close(self) -> None:
        """Publish the death of the node and leave."""
        self._inbox.put(Stop())
        wait([self._work], GOODBYE_S)
        self._disconnect()
        self._executor.shutdown()
        if self._history is not None:
            self._history.close()

    def raise_if_dead(self) -> None:
        """Pass on what ended a thread: the broker refused us for good, or a bug."""
        if self._work.done():
            self._work.result()
        if self._history is not None:
            self._history.raise_if_dead()

    def _renew_will(self, client: Client) -> _Session:
        """Count the CONNECT packet that goes out now; this runs in the network thread."""
        session = self._newest_session = _Session(next(self._bd_seqs))
        certificate = death_certificate(session.bd_seq, now_ms=utc_ms())
        client.will_set(self._node.topics.of_node("NDEATH"), certificate, qos=1, retain=False)
        return session

    def _run(self) -> None:
        """Handle what was posted, one after the other, until `Stop` or a hopeless refusal."""
        try:
            while not isinstance(posted := self._inbox.get(), Stop):
                self._handle(posted)
                if self._history is not None:
                    self._history.heed(self._session)
            if self._link.up:
                self._act(self._node.leave())
        finally:
            self._settled.set()

    def _handle(self, posted: object) -> None:
        match posted:
            case _Seen():
                self._report(posted)
            case _Camera(online):
                self._act(self._node.camera(online=online))
                if self._history is not None and not online:
                    self._history.lose_camera(now_ms=utc_ms(), now_ns=self._clock())
            case _Rebirth():
                self._act(self._node.rebirth())
            case _Session():
                self._session = posted
            case Link():
                self._change_link(posted)
            case Received(topic, payload, retained):
                self._act(self._node.receive(topic, payload, retained=retained))
            case Past() if self._history is not None:
                self._history.tell(posted)
            case Unsubscribed(mid) if self._history is not None:
                self._history.answered(mid)

    def _change_link(self, link: Link) -> None:
        url, before = self._broker.url, self._link
        self._link = link
        if link.up:
            log.info("Connected to the broker %s as a Sparkplug edge node", url)
            self._was_up = True
            topics = self._node.topics
            heard = [topics.of_node("NCMD"), topics.host_state]
            self._client.subscribe([(topic, 1) for topic in heard if topic is not None])
            self._act(self._node.connect(self._session.bd_seq))
            self._settled.set()
            return
        self._node.lose()
        if not self._was_up and link.reason in HOPELESS:
            raise refused(self._broker, link)
        if before.up:
            log.warning(
                "The session of the Sparkplug node %s at %s broke: %s; trying again.  If it breaks "
                "every second, another client has that name: give each a sparkplug.node of its own",
                self._node.topics.node, url, link.reason,
            )  # fmt: skip
        elif before.reason != link.reason:
            log.warning("The broker %s is away: %s; trying again", url, link.reason)

    def _report(self, seen: _Seen) -> None:
        self._slots = assign_slots(self._slots, [pose.track for pose in seen.poses])
        now_ns = self._clock()
        if self._reported_ns is not None and now_ns - self._reported_ns < self._period_ns:
            return
        self._reported_ns = now_ns
        values = camera_values(seen.poses, seen.stats, slots=self._slots, joints=self._joints)
        measured_ms = seen.frame.captured_at_ms
        sent = self._act(self._node.report(values, measured_ms=measured_ms))
        self._unsent += not (sent and self._node.device_born)
        if self._history is not None:
            self._history.see(values, measured_ms=measured_ms, now_ns=now_ns)

    def _act(self, actions: Sequence[Action]) -> bool:
        """Do what the node wants; tell whether all of it left."""
        done = True
        for action in actions:
            match action:
                case Publish(topic, payload):
                    # In a session that we have not heard of yet nothing may precede the birth.
                    done = done and self._session is self._newest_session
                    if done:
                        sent = self._client.publish(topic, payload, qos=0, retain=False)
                        done = sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
                case StartOver():
                    self._disconnect()
                    self._link = LEFT
                    self._client = self._connected_client()
        return done

    def _fence(self) -> int | None:
        """Send a packet that the broker must answer and that changes nothing.

        We leave the camera's commands, which we never heard: there is nothing on it to write to.
        """
        if self._session is not self._newest_session:
            return None
        _, number = self._client.unsubscribe(self._node.topics.of_device("DCMD"))
        return number

    def _connected_client(self) -> Client:
        client = new_client(
            self._broker,
            "sparkplug",
            self._inbox,
            client_id=_client_id(self._node.topics),
            before_connect=self._renew_will,
        )
        # By itself the client begins clean once only, with MQTT 5; every session here is a new one.
        clean = True if self._broker.protocol == "5" else MQTT_CLEAN_START_FIRST_ONLY
        client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=clean)
        client.loop_start()
        return client

    def _disconnect(self) -> None:
        reason = None
        if self._broker.protocol == "5":
            reason = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
        self._client.disconnect(reason)
        self._client.loop_stop()


def _client_id(topics: SparkplugTopics) -> str:
    """Name the client of an edge node, of which there is one only.

    Should the broker still hold a former process of ours for alive, it throws that one out now, so
    that its death is published before our birth: after it, with the same bdSeq, it would be taken
    for our own.
    """
    digest = sha256(f"{topics.group}/{topics.node}".encode()).hexdigest()
    return f"edge-pose-sparkplug-{topics.node}-{digest[:8]}"
