"""The training loop: batches in, an averaged network out; interrupted at any moment, it goes on.

In: a network, a stream of batches, a function from a batch to named losses.  Out:
`last.safetensors` (weights, averaged weights and optimiser state) with `last.json` beside it, and a
line of `losses.csv` every few steps.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

Batch = Mapping[str, Tensor]

_REPORT_EVERY: Final = 20
_WEIGHT_DECAY: Final = 0.01
_GRADIENT_LIMIT: Final = 5.0


class TrainingDiverged(RuntimeError):
    """The loss is not a number; the last checkpoint is still good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast."""

    steps: int
    learning_rate: float
    warmup_steps: int = 100
    average_decay: float = 0.998
    save_every: int = 200

    def rate(self, step: int) -> float:
        """Rise linearly, then fall by a half cosine (Loshchilov, Hutter 2017, arXiv:1608.03983)."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def fit(
    network: nn.Module,
    batches: Callable[[int], Iterable[Batch]],
    losses: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
    weigh: Callable[[Mapping[str, Tensor]], Tensor],
    schedule: Schedule,
    folder: Path,
    *,
    share_of_rate: Callable[[str], float] = lambda _name: 1.0,
) -> dict[str, Tensor]:
    """Train the parameters that require gradients; return the averaged weights.

    Args:
        network: trained in place.
        batches: gives the stream that starts at a step, so that a resumed run sees new pictures.
        losses: named terms of one batch.
        weigh: their weighted sum.
        schedule: how long and how fast.
        folder: where checkpoints and losses are kept; a run found there is continued.
        share_of_rate: from a parameter's name to the share of the learning rate it gets.

    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(
        [{"params": [value], "share": share_of_rate(name)} for name, value in trained.items()],
        lr=schedule.learning_rate,
        weight_decay=_WEIGHT_DECAY,
    )
    average = {name: value.detach().clone() for name, value in trained.items()}
    first = _resume(folder, trained, average, optimiser)
    network.train()
    bar = tqdm(total=schedule.steps, initial=first, desc=folder.name, unit="step")
    stream = iter(batches(first))
    for step in range(first, schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = group["share"] * schedule.rate(step)
        terms = losses(network, next(stream))
        loss = weigh(terms)
        if not torch.isfinite(loss):
            names = {name: float(value.detach()) for name, value in terms.items()}
            raise TrainingDiverged(
                f"step {step} of {folder} gave the loss {float(loss.detach())} ({names}); "
                "lower the learning rate"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained.values(), _GRADIENT_LIMIT)
        optimiser.step()
        decay = min(schedule.average_decay, (step + 1) / (step + 10))
        for name, value in trained.items():
            average[name].lerp_(value.detach(), 1 - decay)
        bar.update()
        if step % _REPORT_EVERY == 0:
            bar.set_postfix(loss=f"{float(loss.detach()):.3f}")
            _report(folder, step, terms)
        if (step + 1) % schedule.save_every == 0 or step + 1 == schedule.steps:
            _save(folder, step + 1, trained, average, optimiser, schedule)
    bar.close()
    return average


def averaged(folder: Path) -> dict[str, Tensor]:
    """Return the averaged weights of the run in `folder`."""
    saved = load_file(folder / "last.safetensors")
    return {
        name.removeprefix("average."): value
        for name, value in saved.items()
        if name.startswith("average.")
    }


def _report(folder: Path, step: int, terms: Mapping[str, Tensor]) -> None:
    path = folder / "losses.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", *terms])
        writer.writerow([step, *(f"{float(value.detach()):.5f}" for value in terms.values())])


def _save(
    folder: Path,
    step: int,
    trained: Mapping[str, Tensor],
    average: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
) -> None:
    tensors: dict[str, Tensor] = {}
    for name, value in trained.items():
        tensors[f"weight.{name}"] = value.detach().contiguous()
        tensors[f"average.{name}"] = average[name].contiguous()
        state = optimiser.state[value]
        tensors[f"first.{name}"] = state["exp_avg"].contiguous()
        tensors[f"second.{name}"] = state["exp_avg_sq"].contiguous()
    part = folder / "last.part"
    save_file(tensors, part, metadata={"step": str(step)})
    part.replace(folder / "last.safetensors")
    (folder / "last.json").write_text(json.dumps({"step": step, **asdict(schedule)}, indent=1))


def _resume(
    folder: Path,
    trained: Mapping[str, Tensor],
    average: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
) -> int:
    path = folder / "last.safetensors"
    if not path.exists():
        return 0
    saved = load_file(path)
    with safe_open(path, framework="pt") as file:
        step = int(file.metadata()["step"])
    with torch.no_grad():
        for name, value in trained.items():
            value.copy_(saved[f"weight.{name}"])
            average[name].copy_(saved[f"average.{name}"])
            optimiser.state[value] = {
                "step": torch.tensor(float(step)),
                "exp_avg": saved[f"first.{name}"],
                "exp_avg_sq": saved[f"second.{name}"],
            }
    return step
