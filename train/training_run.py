"""A run between its first step and its last: what moves, what was looked at, what is kept.

In: gradients, step by step.  Out: moved and averaged weights, lines of the loss curve, checkpoints;
a loss that is no number ends the run before anything is kept of it.
"""

import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from edge_pose.errors import ConfigError, EdgePoseError
from train import checkpoint
from train.distributed import Place, mean_of_all
from train.gradients import Gradients
from train.interruption import Asked, TrainingInterrupted
from train.loss_curve import LossCurve
from train.schedule import Schedule
from train.stream import Batch, DataWorkerLost

_REPORT_EVERY: Final = 20
_GRADIENT_LIMIT: Final = 5.0


class TrainingDiverged(ConfigError):
    """The loss is not a number; the last checkpoint is still good."""


@dataclass(slots=True, kw_only=True)
class TrainingRun:
    """Everything that a step changes, and where it is kept."""

    folder: Path
    schedule: Schedule
    seed: int
    state: checkpoint.State
    here: Place
    asked: Asked
    curve: LossCurve | None
    """Only in the process that writes."""
    last_total: float = float("nan")
    _unseen: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    """Numbers of the last steps, left on the accelerator until somebody needs them."""

    def advance(self, step: int, gradients: Gradients, stream: Iterator[Batch]) -> None:
        """Take one step; where its gradients cannot be had, keep the steps before it."""
        try:
            terms = gradients(step, stream)
        except EdgePoseError as error:
            if self.here.processes == 1 and step:
                self.look()
                self.save(step)
            if self.asked.number and isinstance(error, DataWorkerLost):
                # A supervisor asks every process of a service to stop, data workers too.
                raise self.stopped(step, self.asked.number) from None
            raise
        self._unseen[step] = terms | {"gradient": self._move(step)}

    def must_look(self, step: int) -> bool:
        """Tell whether the numbers of this step are wanted now; an accelerator waits for that.

        Several processes must answer alike, so that none of them waits for another in vain.
        """
        return (
            self.seen_at_once
            or step % _REPORT_EVERY == 0
            or self.schedule.is_due(step + 1)
            or (self.here.processes == 1 and bool(self.asked.number))
        )

    @property
    def seen_at_once(self) -> bool:
        """Tell whether numbers are where they can be read without waiting."""
        return all(value.device.type == "cpu" for value in self.state.average.values())

    def look(self) -> int:
        """Read the numbers since the last look; return the signal that asked to stop, or 0.

        Raises:
            TrainingDiverged: one of them is not finite.

        """
        if not self._unseen:
            return self.asked.number
        names = list(next(iter(self._unseen.values())))
        rows = torch.stack(
            [torch.stack([terms[name] for name in names]) for terms in self._unseen.values()]
        )
        asked = rows.new_full((len(rows), 1), float(self.asked.number > 0))
        numbers = mean_of_all(torch.cat([rows, asked], 1)).tolist()
        for step, row in zip(self._unseen, numbers, strict=True):
            self._read(step, dict(zip(names, row[:-1], strict=True)))
        self._unseen.clear()
        return (self.asked.number or signal.SIGTERM) if numbers[-1][-1] else 0

    def save(self, done: int) -> None:
        """Keep everything from which the run goes on after so many steps."""
        if self.curve is not None:
            self.curve.keep()
            words = {"step": done, "seed": self.seed, **asdict(self.schedule)}
            checkpoint.write(self.folder, self.state.tensors(), words)

    def stopped(self, done: int, number: int) -> TrainingInterrupted:
        """Say that a signal ended the run after so many steps, and how to go on."""
        return TrainingInterrupted(
            f"{signal.Signals(number).name} stopped the run after step {done} of "
            f"{self.schedule.steps}, saved in {self.folder}; the same command goes on from there",
            number,
        )

    def _move(self, step: int) -> Tensor:
        for group in self.state.optimiser.param_groups:
            group["lr"] = group["share"] * self.schedule.rate(step)
        trained = self.state.trained
        norm = nn.utils.clip_grad_norm_(trained.values(), _GRADIENT_LIMIT)
        self.state.optimiser.step()
        self.state.optimiser.zero_grad(set_to_none=True)
        lag_behind = get_ema_multi_avg_fn(self.schedule.decay(step))  # type: ignore[no-untyped-call]
        lag_behind([self.state.average[name] for name in trained], list(trained.values()), None)
        return norm

    def _read(self, step: int, numbers: dict[str, float]) -> None:
        bad = [name for name, value in numbers.items() if not abs(value) < float("inf")]
        if bad:
            raise TrainingDiverged(
                f"step {step} of {self.folder} gave no finite number for {', '.join(bad)} "
                f"({', '.join(f'{name} {value:.4g}' for name, value in numbers.items())}); lower "
                "the learning rate and choose a new folder, or look at the data; the checkpoint "
                "before it is good"
            )
        self.last_total = numbers["total"]
        if step % _REPORT_EVERY == 0 and self.curve is not None:
            others = {name: numbers.pop(name) for name in ("total", "gradient")}
            self.curve.add(step, numbers, others | {"rate": self.schedule.rate(step)})
