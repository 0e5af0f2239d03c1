"""Boxes in which the pose network has just seen nobody: not looked at again for a while.

In: boxes that were refused.  Out: whether a box shows the same thing once more.  A coat on a hook
that the detector takes for a person would otherwise cost three looks each time the detector runs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32

from edge_pose.boxes import overlaps
from edge_pose.clock import NS_PER_S

QUIET_NS: Final = NS_PER_S
LONGEST_QUIET_NS: Final = 2 * NS_PER_S
"""What is refused again and again is left alone twice as long each time, up to this."""
QUIET_WHEN_EMPTY_NS: Final = NS_PER_S // 2
"""The longest where nobody is in sight: then there is time to look."""
QUIET_WHEN_MISSED_NS: Final = NS_PER_S // 10
"""The longest where somebody was just lost: they are looked for, but not in every frame."""
_REMEMBERED_NS: Final = 8 * NS_PER_S
_SAME_OVERLAP: Final = 0.7
"""Somebody who moves or comes out from behind something is soon in another box than this."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    at_ns: int
    box_px: Float32[np.ndarray, "4"]
    quiet_ns: int


class Refusals:
    """Remembers refused boxes for a while."""

    def __init__(self) -> None:
        """Begin with none."""
        self._refused: list[_Refusal] = []

    def add(self, box_px: Float32[np.ndarray, "4"], at_ns: int) -> None:
        """Note that nobody was seen in a box."""
        before = self._like(box_px, at_ns)
        quiet_ns = max((2 * refusal.quiet_ns for refusal in before), default=QUIET_NS)
        self._refused = [
            *(
                refusal
                for refusal in self._refused
                if all(refusal is not known for known in before)
            ),
            _Refusal(at_ns, box_px, min(quiet_ns, LONGEST_QUIET_NS)),
        ]

    def cover(
        self,
        box_px: Float32[np.ndarray, "4"],
        at_ns: int,
        *,
        longest_ns: int = LONGEST_QUIET_NS,
    ) -> bool:
        """Tell whether a box is much like one that was refused a short while ago."""
        return any(
            at_ns - refusal.at_ns < min(refusal.quiet_ns, longest_ns)
            for refusal in self._like(box_px, at_ns)
        )

    def remember(self, box_px: Float32[np.ndarray, "4"], at_ns: int) -> bool:
        """Tell whether a box is much like one that was refused a few seconds ago."""
        return bool(self._like(box_px, at_ns))

    def clear(self) -> None:
        """Forget all: the pictures are others now."""
        self._refused.clear()

    def _like(self, box_px: Float32[np.ndarray, "4"], at_ns: int) -> list[_Refusal]:
        """Return what is remembered of boxes much like this one."""
        self._refused = [
            refusal for refusal in self._refused if 0 <= at_ns - refusal.at_ns < _REMEMBERED_NS
        ]
        if not self._refused:
            return []
        boxes = np.stack([refusal.box_px for refusal in self._refused])
        alike = overlaps(box_px[np.newaxis], boxes)[0] >= _SAME_OVERLAP
        return [refusal for refusal, same in zip(self._refused, alike, strict=True) if same]
