"""What a host could not hear: samples of a camera come in, moments to tell later come out.

No disk and no network here.  While somebody hears us, samples are only remembered until it is known
that they arrived, because a connection may be dead for a while before anybody notices.
"""

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from edge_pose.clock import NS_PER_S
from edge_pose.sparkplug.metrics import Definition, changes
from edge_pose.sparkplug.payload import Value

REMEMBERED_S: Final = 60
"""Longer than it takes to notice that a connection is dead."""
WHOLE_NS: Final = 60 * NS_PER_S
"""How often everything is told, so that what comes after moments that were dropped makes sense."""
_DECIMALS: Final = 6
"""Micrometres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is to be told of one frame."""

    measured_ms: int
    values: Mapping[str, Value]
    whole: bool
    """Metrics that are not named were not known; otherwise they were as in the moment before."""


def write_moment(moment: Moment) -> str:
    """Write a moment as text to be kept."""
    values = {
        name: round(value, _DECIMALS) if isinstance(value, float) else value
        for name, value in moment.values.items()
    }
    said = {"ts": moment.measured_ms, "whole": moment.whole, "values": values}
    return json.dumps(said, separators=(",", ":"))


def read_moment(text: str) -> Moment:
    """Read what `write_moment` wrote."""
    said = json.loads(text)
    return Moment(measured_ms=said["ts"], values=said["values"], whole=said["whole"])


@dataclass(frozen=True, slots=True)
class _Sample:
    """All values of one frame."""

    number: int
    measured_ms: int
    seen_ns: int
    values: Mapping[str, Value]


class Recorder:
    """Decides what is worth keeping: by exception, and at most so often."""

    def __init__(self, metrics: Mapping[str, Definition], *, rate_hz: float) -> None:
        self._metrics = metrics
        self._period_ns = round(NS_PER_S / rate_hz)
        self._heard = False
        self._unconfirmed: deque[_Sample] = deque(maxlen=math.ceil(REMEMBERED_S * rate_hz))
        self._told: dict[str, Value] | None = None
        """What the moments of this time without a host add up to."""
        self._whole_ns = 0
        self._seen_ns: int | None = None
        self.last_sample = 0
        """The number of the newest sample."""

    @property
    def unconfirmed(self) -> bool:
        """Tell whether there are samples of which nobody knows whether they arrived."""
        return bool(self._unconfirmed)

    def hear(self) -> None:
        """Take note that from now on the host hears what is told."""
        self._heard = True

    def lose(self) -> list[Moment]:
        """Take note that nobody hears us, and give what may not have arrived."""
        self._heard, self._told = False, None
        moments = [moment for one in self._unconfirmed for moment in self._exceptions(one)]
        self._unconfirmed.clear()
        return moments

    def confirm(self, number: int) -> None:
        """Forget the samples up to this one: they arrived."""
        while self._unconfirmed and self._unconfirmed[0].number <= number:
            self._unconfirmed.popleft()

    def see(self, values: Mapping[str, Value], *, measured_ms: int, now_ns: int) -> list[Moment]:
        """Give what is worth keeping of a frame."""
        if self._seen_ns is not None and now_ns - self._seen_ns < self._period_ns:
            return []
        return self._take(values, measured_ms, now_ns)

    def lose_camera(self, *, now_ms: int, now_ns: int) -> list[Moment]:
        """Note that from now on nothing is known, if ever something was."""
        return [] if self._seen_ns is None else self._take({}, now_ms, now_ns)

    def _take(self, values: Mapping[str, Value], measured_ms: int, now_ns: int) -> list[Moment]:
        self._seen_ns = now_ns
        self.last_sample += 1
        every = {name: values.get(name) for name in self._metrics}
        sample = _Sample(self.last_sample, measured_ms, now_ns, every)
        if not self._heard:
            return list(self._exceptions(sample))
        self._unconfirmed.append(sample)
        return []

    def _exceptions(self, sample: _Sample) -> Iterator[Moment]:
        if self._told is None or sample.seen_ns - self._whole_ns >= WHOLE_NS:
            self._told, self._whole_ns = dict(sample.values), sample.seen_ns
            known = {name: value for name, value in sample.values.items() if value is not None}
            yield Moment(measured_ms=sample.measured_ms, values=known, whole=True)
        elif changed := changes(self._metrics, self._told, sample.values):
            self._told |= changed
            yield Moment(measured_ms=sample.measured_ms, values=changed, whole=False)
