"""Who is in which zone: places of people come in, frame by frame; who came and who left comes out.

Somebody at the border does not flicker: one is in once the border was crossed for a moment, and
out once one was clearly beyond it for longer.  Whoever is no longer seen at all has left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_pose.clock import NS_PER_MS, NS_PER_S
from edge_pose.event import Reason
from edge_pose.zone import Place, Space, Zone

ENTER_NS: Final = 200 * NS_PER_MS
LEAVE_NS: Final = 500 * NS_PER_MS
GONE_NS: Final = 1 * NS_PER_S
"""Out of sight for so long is gone; the tracker itself carries a pose over for half of it."""
MARGIN: Final[Mapping[Space, float]] = {"picture": 0.02, "floor_m": 0.15}
"""How far beyond the border is clearly beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A person came into a zone or left it."""

    zone: str
    track: int
    inside: int
    """How many are in the zone now."""
    reason: Reason | None = None
    """Why the person is no longer there; None for one who came."""
    dwell_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Visit:
    """What is known of one person and one zone."""

    inside: bool = False
    entered_ns: int = 0
    contrary_ns: int | None = None
    """Since when the person is seen on the other side of the border."""
    seen_ns: int = 0


class Presence:
    """Follows everybody through all zones."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._zones = {zone.name: zone for zone in zones}
        self._visits: dict[tuple[int, str], _Visit] = {}
        self._now_ns = 0

    def see(self, places: Mapping[int, Mapping[str, Place]], at_ns: int) -> list[Move]:
        """Take in where everybody is, by track and zone; those who are not named are unseen.

        Time that runs backwards means that the source started again: then everybody has left.
        """
        moves = self.empty("lost") if at_ns < self._now_ns else []
        self._now_ns = at_ns
        for track, by_zone in places.items():
            for name, place in by_zone.items():
                moves += self._look(track, name, place)
        for key, visit in list(self._visits.items()):
            if at_ns - visit.seen_ns >= GONE_NS:
                moves += self._leave(key, "lost")
                del self._visits[key]
        return moves

    def empty(self, reason: Reason) -> list[Move]:
        """Let everybody leave, because nothing is seen any more."""
        moves = [move for key in list(self._visits) for move in self._leave(key, reason)]
        self._visits.clear()
        return moves

    def _look(self, track: int, name: str, place: Place) -> list[Move]:
        zone, key = self._zones[name], (track, name)
        visit = self._visits.setdefault(key, _Visit())
        visit.seen_ns = self._now_ns
        depth = zone.depth(place)
        contrary = depth < -MARGIN[zone.space] if visit.inside else depth > 0.0
        if not contrary:
            visit.contrary_ns = None
            return []
        if visit.contrary_ns is None:
            visit.contrary_ns = self._now_ns
        if self._now_ns - visit.contrary_ns < (LEAVE_NS if visit.inside else ENTER_NS):
            return []
        if visit.inside:
            return self._leave(key, "out")
        visit.inside, visit.entered_ns, visit.contrary_ns = True, visit.contrary_ns, None
        return [Move(zone=name, track=track, inside=self._count(name))]

    def _leave(self, key: tuple[int, str], reason: Reason) -> list[Move]:
        visit, (track, name) = self._visits[key], key
        if not visit.inside:
            return []
        left_ns = visit.seen_ns if visit.contrary_ns is None else visit.contrary_ns
        visit.inside, visit.contrary_ns = False, None
        return [
            Move(
                zone=name,
                track=track,
                inside=self._count(name),
                reason=reason,
                dwell_s=(left_ns - visit.entered_ns) / NS_PER_S,
            )
        ]

    def _count(self, name: str) -> int:
        return sum(visit.inside for (_, zone), visit in self._visits.items() if zone == name)
