"""How far a build is: phases within phases, each with its steps, come in; a share comes out."""

from collections.abc import Callable

Progress = Callable[[float, str], bool]
"""Told the share done, 0..1, and what is being done; the answer False ends the build."""


class Phases:
    """How far a build is, told phase by phase."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str | None, int, int]] = {}
        self._furthest = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Open a phase."""
        self._open[name] = (parent, steps, 0)

    def step(self, name: str, step: int) -> float:
        """Count a step that is done and return the share of the whole, which never goes back."""
        if name in self._open:
            parent, steps, _ = self._open[name]
            self._open[name] = (parent, steps, step + 1)
        roots = [name for name, (parent, _, _) in self._open.items() if parent is None]
        self._furthest = max([self._furthest, *(self._share(root) for root in roots)])
        return self._furthest

    def finish(self, name: str) -> None:
        """Close a phase."""
        self._open.pop(name, None)

    def _share(self, name: str) -> float:
        _, steps, done = self._open[name]
        inside = [child for child, (parent, _, _) in self._open.items() if parent == name]
        return min((done + max(map(self._share, inside), default=0.0)) / max(steps, 1), 1.0)
