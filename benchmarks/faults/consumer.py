"""Somebody at the broker who writes down what comes, and finds out what did not.

In: messages of one camera.  Out: what was lost of that which is promised (events by their `seq`,
summaries by their `ts`), what came twice, and when poses came again.
"""

import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_pose.clock import utc_ms

SESSION_S: Final = 3600
_LEAP: Final = 1000
_LATE: Final = 1.7
"""Seconds between two summaries beyond which one is missing; they come once a second."""


@dataclass(slots=True)
class Heard:
    """What came on one camera's topics."""

    events: list[int] = field(default_factory=list)
    """`seq` of each, in the order of arrival."""
    summaries: list[int] = field(default_factory=list)
    """`ts` of each, in the order of arrival, milliseconds."""
    poses: list[tuple[float, int]] = field(default_factory=list)
    """Monotonic seconds of arrival, and `ts`, of each."""
    status: str = ""
    """Of the device."""

    def lost_events(self) -> int:
        """Count the gaps in the numbers; a new spool leaps to the time in milliseconds."""
        gaps = [
            later - number - 1 for number, later in itertools.pairwise(sorted(set(self.events)))
        ]
        return sum(gap for gap in gaps if gap < _LEAP)

    def repeated(self) -> int:
        """Count what came more than once: a consumer that keeps `seq` and `ts` ignores it."""
        return (
            len(self.events)
            - len(set(self.events))
            + len(self.summaries)
            - len(set(self.summaries))
        )

    def lost_summaries(self, since_ms: int) -> int:
        """Count the seconds since then of which no summary ever came."""
        told = sorted({ts for ts in self.summaries if ts >= since_ms})
        gaps_s = [(later - ts) / 1000 for ts, later in itertools.pairwise(told)]
        return sum(round(gap_s) - 1 for gap_s in gaps_s if gap_s > _LATE)


class Consumer:
    """A subscriber with a session that the broker remembers, on MQTT 5."""

    def __init__(self, port: int, base: str) -> None:
        """Subscribe to `<base>/#` and keep trying."""
        self.heard = Heard()
        self._base = base
        self._lock = threading.Condition()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="consumer", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.suppress_exceptions = True
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._hear
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        self._client.connect_async(
            "127.0.0.1", port, keepalive=5, clean_start=False, properties=properties
        )
        self._client.loop_start()

    def wait_for_poses(self, since_s: float, since_ms: int, patience_s: float) -> float | None:
        """Return how long after a moment a pose came that was grabbed after it; None if none."""

        def fresh() -> float | None:
            newest = self.heard.poses[-200:]
            return next((at_s for at_s, ts in newest if at_s >= since_s and ts >= since_ms), None)

        with self._lock:
            self._lock.wait_for(lambda: fresh() is not None, patience_s)
            came_s = fresh()
        return None if came_s is None else came_s - since_s

    def wait_until_caught_up(self, patience_s: float) -> bool:
        """Wait for a summary of a second that begins now: what waited before it has been sent."""
        now_ms = utc_ms()
        with self._lock:
            return bool(
                self._lock.wait_for(
                    lambda: any(ts >= now_ms for ts in self.heard.summaries[-20:]), patience_s
                )
            )

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, client: Client, *_: Any) -> None:
        client.subscribe(f"{self._base}/#", qos=1)

    def _hear(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        leaf = message.topic.removeprefix(f"{self._base}/").split("/")
        with self._lock:
            match leaf:
                case ["status"]:
                    self.heard.status = message.payload.decode()
                case [_, "event", _]:
                    self.heard.events.append(json.loads(message.payload)["seq"])
                case [_, "summary"]:
                    self.heard.summaries.append(json.loads(message.payload)["ts"])
                case [_, "pose"]:
                    self.heard.poses.append((time.monotonic(), json.loads(message.payload)["ts"]))
            self._lock.notify_all()
