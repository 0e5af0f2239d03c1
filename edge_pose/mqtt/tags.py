"""Bare numbers, a topic each: people in their slots come in, what a tag must be told comes out.

A tag is told when its joint has moved by more than the deadband, and anew after a while, because
whoever comes late is told nothing else.  Its `c` falls to zero when the joint is not known, when
nobody is in the slot any more, or nobody knows who is; the coordinates then mean nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from edge_pose.clock import NS_PER_S
from edge_pose.config import TagsConfig
from edge_pose.message import FrameMessage, Person
from edge_pose.skeleton import INDEX, JOINTS

ANEW_NS: Final = 10 * NS_PER_S
DEADBAND_C: Final = 0.1
UNKNOWN: Final = {"c": 0.0}


class Tags:
    """Remembers what each tag said last."""

    def __init__(self, settings: TagsConfig) -> None:
        self._joints = JOINTS if settings.joints is None else settings.joints
        self._deadband_m = settings.deadband_m
        self._period_ns = round(NS_PER_S / settings.rate_hz)
        self._told: dict[tuple[int, str], dict[str, float]] = {}
        self._told_ns: dict[tuple[int, str], int] = {}

    def see(
        self, frame: FrameMessage, slots: Mapping[int, int], at_ns: int
    ) -> Iterator[tuple[str, str]]:
        """Take in one frame; give the topic below the camera's, and the payload, of each news."""
        people = {slots[one.id]: one for one in frame.persons}
        yield from self._let_go([key for key in self._told if key[0] not in people])
        for slot, one in people.items():
            for joint in self._joints:
                key, now = (slot, joint), _values(one, joint)
                if self._is_due(key, now, at_ns):
                    self._told[key], self._told_ns[key] = now, at_ns
                    yield from _tags(key, now)

    def forget(self) -> Iterator[tuple[str, str]]:
        """Let go of everybody, as when the camera sees nothing; give what tells that."""
        yield from self._let_go(list(self._told))

    def _let_go(self, keys: Sequence[tuple[int, str]]) -> Iterator[tuple[str, str]]:
        for key in keys:
            del self._told_ns[key]
            if self._told.pop(key) != UNKNOWN:
                yield from _tags(key, UNKNOWN)

    def _is_due(self, key: tuple[int, str], now: Mapping[str, float], at_ns: int) -> bool:
        told = self._told.get(key)
        if told is None:
            return now != UNKNOWN
        since_ns = at_ns - self._told_ns[key]
        if since_ns < self._period_ns:
            return False
        if since_ns >= ANEW_NS or told.keys() != now.keys():
            return True
        return any(
            abs(now[axis] - told[axis]) > (DEADBAND_C if axis == "c" else self._deadband_m)
            for axis in now
        )


def _values(one: Person, joint: str) -> dict[str, float]:
    x, y, z, c = one.kp[INDEX[joint]]
    if x is None or y is None or z is None:
        return dict(UNKNOWN)
    return {"x": x, "y": y, "z": z, "c": c}


def _tags(key: tuple[int, str], values: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    slot, joint = key
    for axis, value in values.items():
        yield f"tag/{slot}/{joint}/{axis}", f"{value:.3f}"
