"""Figures as text: families of samples come in, Prometheus' text format 0.0.4 goes out.

Written here because importing Prometheus' own client takes three times as long, and noting a value
with it five times; its parser reads what is written here in the tests.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Number = int | float
Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are written."""
Sample = tuple[str, Labels, Number]
"""Suffix of the family's name, labels, value."""


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    samples: Sequence[Sample]
    """None where nothing is known."""


class Histogram:
    """How often values fell below each bound; one thread notes, others may read.

    Nothing is locked: a reader may miss what is being noted, and is consistent otherwise.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def note(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def samples(self, labels: Labels = ()) -> Iterator[Sample]:
        """Give the cumulative buckets, their sum and their number."""
        counts, total = tuple(self._counts), self._total
        reached = 0
        for bound, count in zip((*self._bounds, float("inf")), counts, strict=True):
            reached += count
            yield "_bucket", (*labels, ("le", _number(bound))), reached
        yield "_sum", labels, total
        yield "_count", labels, reached


@dataclass(slots=True)
class HistogramByLabel:
    """A histogram for each value of one label."""

    label: str
    bounds: Sequence[float]
    _of: dict[str, Histogram] = field(default_factory=dict)

    def note(self, which: str, value: float) -> None:
        """Count one value."""
        if which not in self._of:
            self._of[which] = Histogram(self.bounds)
        self._of[which].note(value)

    def samples(self) -> Iterator[Sample]:
        """Give those of all histograms."""
        for which, histogram in tuple(self._of.items()):
            yield from histogram.samples(((self.label, which),))


def gauge(name: str, meaning: str, value: Number | None, **labels: str) -> Family:
    """Make a family of one sample, or of none where the value is not known."""
    return Family(name, "gauge", meaning, _one(value, labels))


def counter(name: str, meaning: str, value: Number | None) -> Family:
    """Make a family of one sample that only grows."""
    return Family(name, "counter", meaning, _one(value, {}))


def by_label(
    name: str,
    kind: Literal["counter", "gauge"],
    meaning: str,
    label: str,
    values: Mapping[str, Number],
) -> Family:
    """Make a family with a sample for each value of one label."""
    samples: list[Sample] = [("", ((label, which),), value) for which, value in values.items()]
    return Family(name, kind, meaning, samples)


def text(families: Iterable[Family]) -> str:
    """Write them all; a family without samples is left out."""
    return "".join(line for family in families if family.samples for line in _lines(family))


def _one(value: Number | None, labels: Mapping[str, str]) -> list[Sample]:
    return [] if value is None else [("", tuple(labels.items()), value)]


def _lines(family: Family) -> Iterator[str]:
    meaning = family.meaning.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {family.name} {meaning}\n"
    yield f"# TYPE {family.name} {family.kind}\n"
    for suffix, labels, value in family.samples:
        told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
        yield f"{family.name}{suffix}{f'{{{told}}}' if told else ''} {_number(value)}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: Number) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
