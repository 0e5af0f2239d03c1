"""Boxes in which the pose network has just seen nobody: not looked at again for a while.

In: boxes that were refused.  Out: whether a box shows the same thing once more.  A coat on a hook
that the detector takes for a person would otherwise cost three looks each time the detector runs.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32

from edge_pose.boxes import overlaps
from edge_pose.clock import NS_PER_S

QUIET_NS: Final = NS_PER_S
QUIET_WHEN_MISSED_NS: Final = NS_PER_S // 10
"""The same where somebody was just lost: they are looked for, but not in every frame."""
_SAME_OVERLAP: Final = 0.7
"""Somebody who moves or comes out from behind something is soon in another box than this."""


class Refusals:
    """Remembers refused boxes; forgets them after `QUIET_NS`."""

    def __init__(self) -> None:
        """Begin with none."""
        self._boxes: list[tuple[int, Float32[np.ndarray, 4]]] = []

    def add(self, box_px: Float32[np.ndarray, "4"], at_ns: int) -> None:
        """Note that nobody was seen in a box."""
        self._boxes.append((at_ns, box_px))

    def cover(
        self, box_px: Float32[np.ndarray, "4"], at_ns: int, *, quiet_ns: int = QUIET_NS
    ) -> bool:
        """Tell whether a box is much like one that was refused a short while ago."""
        self._boxes = [(then, box) for then, box in self._boxes if 0 <= at_ns - then < QUIET_NS]
        recent = [box for then, box in self._boxes if at_ns - then < quiet_ns]
        if not recent:
            return False
        return bool(overlaps(box_px[np.newaxis], np.stack(recent)).max() >= _SAME_OVERLAP)

    def clear(self) -> None:
        """Forget all: the pictures are others now."""
        self._boxes.clear()
