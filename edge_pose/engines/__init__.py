"""The seam behind which an inference runtime hides: named arrays in, named arrays out.

Some runtimes can work beside their caller: `begin` lets them, and lets the others answer at once.
Some can also cut what a network looks at out of a frame by themselves; those that can stand in
`Engines.pose_in_frame`, and nobody asks how.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from edge_pose.types import Sampling

Answer = Callable[[], dict[str, np.ndarray]]
"""Waits for what was begun, and gives it; to be called once."""


@runtime_checkable
class Engine(Protocol):
    """One loaded network.  Not thread-safe: one owner thread."""

    @property
    def description(self) -> str:
        """Runtime, version, device and precision in one line, for the published status."""
        ...

    @property
    def at_once(self) -> int:
        """How many pictures are best given together, where the network takes any number."""
        ...

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Infer.  Names, shapes and types are the manifest's; the batch axis is first."""
        ...

    def close(self) -> None:
        """Give back what the runtime holds."""
        ...


@runtime_checkable
class ParallelEngine(Engine, Protocol):
    """A loaded network that can work beside its caller, and on several things at a time."""

    def begin(self, inputs: Mapping[str, np.ndarray]) -> Answer:
        """Begin to infer on arrays that stay as they are until the answer is there."""
        ...


def begin(engine: Engine, inputs: Mapping[str, np.ndarray]) -> Answer:
    """Have an engine work beside the caller where it can; where not, it has answered already."""
    # Asking a protocol takes longer than all else here, and it is asked for every picture.
    begun: Callable[[Mapping[str, np.ndarray]], Answer] | None = getattr(engine, "begin", None)
    if begun is not None:
        return begun(inputs)
    answer = engine.run(inputs)
    return lambda: answer


@runtime_checkable
class FrameEngine(Protocol):
    """A loaded network that takes frames, and cuts and normalises by itself.  One owner thread."""

    @property
    def description(self) -> str:
        """Runtime, version, device and precision in one line."""
        ...

    def show(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Take a BGR frame once, whatever is cut out of it until the next; it may change after."""
        ...

    def run_crops(self, samplings: Sequence[Sampling]) -> dict[str, np.ndarray]:
        """Infer on squares of the frame shown last; any number but none, a row for each."""
        ...

    def close(self) -> None:
        """Give back what it holds besides the network."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The networks of one bundle, loaded; named as in its manifest."""

    detector: Engine
    pose: Engine
    pose_in_frame: FrameEngine | None = None
    """The pose network once more where it can cut its crops by itself; None: they are handed in."""
