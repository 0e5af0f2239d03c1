"""The edge node: what happened comes in, what is to be published comes out; no network here.

A session begins with a will that bears the next bdSeq and with `connect`; then come births (where a
primary host is configured, not before it is there), data by exception, and deaths.  `seq` counts
the messages of the node and its device together, from 0 at every NBIRTH.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_pose.address import SparkplugTopics
from edge_pose.clock import utc_ms
from edge_pose.errors import PayloadError
from edge_pose.sparkplug.host import read_host_state
from edge_pose.sparkplug.metrics import Definition, changes
from edge_pose.sparkplug.payload import DataType, Metric, Payload, Value, decode, encode

log = logging.getLogger(__name__)

NUMBERS: Final = 256
"""Both `seq` and `bdSeq` count from 0 to 255 and begin again."""
REBIRTH: Final = "Node Control/Rebirth"


@dataclass(frozen=True, slots=True)
class Publish:
    """To be sent with QoS 0, not retained."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class StartOver:
    """The session is to be ended, and another one begun at once."""


Action = Publish | StartOver


def death_certificate(bd_seq: int, *, now_ms: int) -> bytes:
    """Write an NDEATH: the last will of a session, or a goodbye."""
    return encode(Payload(timestamp_ms=now_ms, metrics=(_bd_seq_metric(bd_seq, now_ms),)))


def _bd_seq_metric(bd_seq: int, now_ms: int) -> Metric:
    return Metric(name="bdSeq", datatype=DataType.INT64, value=bd_seq, timestamp_ms=now_ms)


class EdgeNode:
    """The state of one edge node with one device, a camera."""

    def __init__(
        self,
        topics: SparkplugTopics,
        metrics: Sequence[Definition],
        *,
        properties: Mapping[str, str],
        aliases: bool = False,
        datatype_in_data: bool = True,
        now_ms: Callable[[], int] = utc_ms,
    ) -> None:
        self.topics: Final = topics
        self.metrics: Final = {metric.name: metric for metric in metrics}
        self._alias = {name: number for number, name in enumerate(self.metrics, start=1)}
        self._properties = properties
        self._aliases = aliases
        self._datatype_in_data = datatype_in_data
        self._now_ms = now_ms
        self._bd_seq = 0
        self._seq = 0
        self.born = False
        """Whether the node was born in this session, so that somebody hears of it."""
        self.device_born = False
        """Whether data of the camera may be told."""
        self._camera_online = False
        self._host_told_ms: int | None = None
        self._values: dict[str, Value] = dict.fromkeys(self.metrics)
        self._told = dict(self._values)
        self._measured_ms = now_ms()

    def connect(self, bd_seq: int) -> list[Action]:
        """Begin a session whose will bears this number."""
        self._bd_seq = bd_seq
        self.lose()
        return self._birth() if self.topics.primary_host is None else []

    def lose(self) -> None:
        """Take note that the session is over; the broker publishes the will."""
        self.born = self.device_born = False

    def leave(self) -> list[Action]:
        """Say goodbye before a session is ended on purpose."""
        self.lose()
        goodbye = death_certificate(self._bd_seq, now_ms=self._now_ms())
        return [Publish(self.topics.of_node("NDEATH"), goodbye)]

    def receive(self, topic: str, payload: bytes, *, retained: bool) -> list[Action]:
        """Heed the primary host and commands; pass over what cannot be understood."""
        try:
            if topic == self.topics.host_state:
                return self._heed_host(payload)
            if topic == self.topics.of_node("NCMD") and not retained:
                return self._obey(payload)  # a retained one would be obeyed at every connect
        except PayloadError as error:
            log.warning("Ignored what came on %s: %s", topic, error)
        return []

    def camera(self, *, online: bool) -> list[Action]:
        """Tell that the camera came or went."""
        self._camera_online = online
        if online:
            return self._device_birth()
        self._values = dict.fromkeys(self.metrics)
        self._measured_ms = self._now_ms()
        if not self.device_born:
            return []
        self.device_born = False
        return [self._publish(self.topics.of_device("DDEATH"), ())]

    def report(self, values: Mapping[str, Value], *, measured_ms: int) -> list[Action]:
        """Tell what changed; a metric without a value is not known."""
        self._values = {name: values.get(name) for name in self.metrics}
        self._measured_ms = measured_ms
        changed = changes(self.metrics, self._told, self._values)
        if not changed or not self.device_born:
            return []
        self._told |= changed
        return [self._data(changed, measured_ms, historical=False)]

    def report_historical(self, values: Mapping[str, Value], *, measured_ms: int) -> list[Action]:
        """Tell what was measured while nobody could hear it; nothing while nobody can."""
        known = {name: value for name, value in values.items() if name in self.metrics}
        if not known or not self.device_born:
            return []
        return [self._data(known, measured_ms, historical=True)]

    def rebirth(self) -> list[Action]:
        """Tell anew what there is; nothing while nobody may hear it."""
        return self._birth() if self.born else []

    def _heed_host(self, payload: bytes) -> list[Action]:
        state = read_host_state(payload)
        if self._host_told_ms is not None and state.timestamp_ms < self._host_told_ms:
            log.info("Ignored a STATE of the primary host that is older than its last")
            return []
        self._host_told_ms = state.timestamp_ms
        if state.online == self.born:
            return []
        log.info("The primary host is %s", "online" if state.online else "offline")
        return self._birth() if state.online else [*self.leave(), StartOver()]

    def _obey(self, payload: bytes) -> list[Action]:
        wanted = any(m.name == REBIRTH and m.value is True for m in decode(payload).metrics)
        return self.rebirth() if wanted else []

    def _birth(self) -> list[Action]:
        now_ms = self._now_ms()
        self._seq = 0
        self.born, self.device_born = True, False
        metrics = (
            _bd_seq_metric(self._bd_seq, now_ms),
            Metric(name=REBIRTH, datatype=DataType.BOOLEAN, value=False, timestamp_ms=now_ms),
            *(
                Metric(name=name, datatype=DataType.STRING, value=value, timestamp_ms=now_ms)
                for name, value in self._properties.items()
            ),
        )
        return [self._publish(self.topics.of_node("NBIRTH"), metrics), *self._device_birth()]

    def _device_birth(self) -> list[Action]:
        if not self.born or self.device_born or not self._camera_online:
            return []
        self.device_born = True
        self._told = dict(self._values)
        metrics = tuple(
            Metric(
                name=name,
                alias=self._alias[name] if self._aliases else None,
                timestamp_ms=self._measured_ms,
                datatype=metric.datatype,
                value=self._values[name],
                unit=metric.unit,
            )
            for name, metric in self.metrics.items()
        )
        return [self._publish(self.topics.of_device("DBIRTH"), metrics)]

    def _data(self, values: Mapping[str, Value], measured_ms: int, *, historical: bool) -> Publish:
        metrics = tuple(
            Metric(
                name=None if self._aliases else name,
                alias=self._alias[name] if self._aliases else None,
                timestamp_ms=measured_ms,
                datatype=self.metrics[name].datatype if self._datatype_in_data else None,
                value=value,
                is_historical=historical,
            )
            for name, value in values.items()
        )
        return self._publish(self.topics.of_device("DDATA"), metrics)

    def _publish(self, topic: str, metrics: Sequence[Metric]) -> Publish:
        seq, self._seq = self._seq, (self._seq + 1) % NUMBERS
        payload = Payload(timestamp_ms=self._now_ms(), metrics=tuple(metrics), seq=seq)
        return Publish(topic, encode(payload))
