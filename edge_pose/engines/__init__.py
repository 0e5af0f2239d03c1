"""The seam behind which an inference runtime hides: named arrays in, named arrays out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Engine(Protocol):
    """One loaded network.  Not thread-safe: one owner thread."""

    @property
    def description(self) -> str:
        """Runtime, version, device and precision in one line, for the published status."""
        ...

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Infer.  Names, shapes and types are the manifest's; the batch axis is first."""
        ...

    def close(self) -> None:
        """Give back what the runtime holds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The networks of one bundle, loaded; named as in its manifest."""

    detector: Engine
    pose: Engine
