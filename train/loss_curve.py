"""The curve of a run: what every so many steps' losses were, for programs and for people.

In: steps with named numbers.  Out: `losses.csv`, a line a step reported; with TensorBoard asked
for, the same as event files that `tensorboard --logdir` draws.  A run that goes on cuts its curve
back to the checkpoint, so that no step stands there twice.
"""

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge_pose.errors import ConfigError

LOSSES: Final = "losses.csv"


class LossCurve:
    """A file to which a line is added, and perhaps the same for TensorBoard."""

    def __init__(self, folder: Path, events: object | None = None) -> None:
        """Add to what `folder` has."""
        self._path = folder / LOSSES
        self._events = events

    def add(self, step: int, terms: Mapping[str, float], others: Mapping[str, float]) -> None:
        """Report a step: the terms everywhere, other numbers to TensorBoard alone."""
        new = not self._path.exists()
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *terms])
            writer.writerow([step, *(f"{value:.6g}" for value in terms.values())])
        if self._events is not None:
            named = {f"loss/{name}": value for name, value in terms.items()} | dict(others)
            for name, value in named.items():
                self._events.add_scalar(name, value, step)  # type: ignore[attr-defined] # untyped

    def keep(self) -> None:
        """Have the lines on the disk before a checkpoint says that they are there."""
        if self._path.exists():
            with self._path.open("rb") as file:
                os.fsync(file.fileno())


@contextmanager
def loss_curve(folder: Path, first: int, *, tensorboard: bool) -> Iterator[LossCurve]:
    """Open the curve of a run that begins, or goes on, at the step `first`.

    Raises:
        ConfigError: TensorBoard is asked for and what writes its files is not installed.

    """
    cut_back(folder / LOSSES, first)
    if not tensorboard:
        yield LossCurve(folder)
        return
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        raise ConfigError(
            "--tensorboard needs the package tensorboardX, which is not installed here: "
            "`pip install tensorboardX`, or leave the option out and read losses.csv"
        ) from None
    with SummaryWriter(str(folder / "tensorboard"), purge_step=first) as events:
        yield LossCurve(folder, events)


def cut_back(path: Path, first: int) -> None:
    """Drop lines of steps from `first` on, and the one that was being written as the end came."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        header, *lines = file.read().splitlines(keepends=True) or [""]
    kept = [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) < first]
    if not kept:
        path.unlink()
        return
    part = path.with_name(f"{path.name}.part")
    with part.open("w", newline="") as file:
        file.writelines([header, *kept])
    part.replace(path)
