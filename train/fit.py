"""The training loop: batches in, an averaged network out; interrupted at any moment, it goes on.

In: a network, a stream of batches, a function from a batch to named losses.  Out: a checkpoint, a
loss curve and a recipe in a folder; a run found there is continued exactly, after Ctrl-C as after
kill -9.  Started by `torchrun`, the processes share each step and the first one writes.

Plain torch: what a framework would add stands in a few files here, and what this loop owes its
users, a curve without a seam whatever happens, is easier to keep in them than to configure there.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from tqdm import tqdm

from edge_pose.errors import ConfigError
from train import checkpoint, run_recipe
from train.checkpoint import averaged
from train.distributed import from_first, joined, place
from train.gradients import Gradients, Losses, Precision, Weigh
from train.interruption import asked_to_stop
from train.loss_curve import loss_curve
from train.schedule import Schedule
from train.stream import Batch, Incoming
from train.training_run import TrainingDiverged, TrainingRun

__all__ = ["Batch", "Options", "Schedule", "TrainingDiverged", "averaged", "fit"]

_WEIGHT_DECAY: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is carried out, and what it is known by."""

    recipe: Mapping[str, object] = field(default_factory=dict)
    """What made it; a run that began with another one is not continued."""
    seed: int | None = None
    """Of what the losses draw at random; None is the seed last given to torch.manual_seed."""
    accumulate: int = 1
    """Batches of one step, one after another in the memory of one."""
    precision: Precision = "float32"
    tensorboard: bool = False
    """Write event files beside losses.csv."""


def fit(
    network: nn.Module,
    batches: Callable[[int], Iterable[Batch]],
    losses: Losses,
    weigh: Weigh,
    schedule: Schedule,
    folder: Path,
    *,
    share_of_rate: Callable[[str], float] = lambda _name: 1.0,
    options: Options = Options(),
) -> dict[str, Tensor]:
    """Train the parameters that require gradients; return the averaged weights of all.

    Args:
        network: trained in place, on the device where it is.
        batches: gives the stream that follows after so many batches of this process, so that a
            resumed run sees what it would have seen; `train.stream` knows how.
        losses: named terms of one batch; torch's own random numbers are seeded anew for each.
        weigh: their weighted sum.
        schedule: how long and how fast.
        folder: where checkpoints and losses are kept; a run found there is continued.
        share_of_rate: from a parameter's name to the share of the learning rate it gets.
        options: how it is carried out.

    Raises:
        ConfigError: the folder holds a run that began with something else.
        TrainingDiverged: a loss or a gradient is not a number.
        TrainingInterrupted: SIGINT or SIGTERM came; the run was saved.

    """
    folder.mkdir(parents=True, exist_ok=True)
    device = next(network.parameters()).device
    seed = torch.initial_seed() if options.seed is None else options.seed
    network.train()
    with ExitStack() as stack:
        here = stack.enter_context(joined())
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        state = _state(network, schedule, share_of_rate)
        first = _go_on(state, schedule, folder, seed, options)
        if first == schedule.steps:
            return dict(state.average)
        run = TrainingRun(
            folder=folder,
            schedule=schedule,
            seed=seed,
            state=state,
            here=here,
            asked=stack.enter_context(asked_to_stop()),
            curve=stack.enter_context(loss_curve(folder, first, tensorboard=options.tensorboard))
            if here.leads
            else None,
        )
        gradients = Gradients(
            network,
            losses,
            weigh,
            portions=options.accumulate,
            precision=options.precision,
            seed=seed,
            here=here,
        )
        stream = Incoming(batches(first * options.accumulate))
        stack.enter_context(stream.deaths_noted())
        bar = stack.enter_context(
            tqdm(
                total=schedule.steps,
                initial=first,
                desc=folder.name,
                unit="step",
                disable=not here.leads,
            )
        )
        for step in range(first, schedule.steps):
            run.advance(step, gradients, stream)
            bar.update()
            if run.must_look(step):
                stop = run.look()
                bar.set_postfix(loss=f"{run.last_total:.3f}", refresh=False)
                if stop or schedule.is_due(step + 1):
                    run.save(step + 1)
                if stop and step + 1 < schedule.steps:
                    raise run.stopped(step + 1, stop)
    return dict(state.average)


def _state(
    network: nn.Module, schedule: Schedule, share_of_rate: Callable[[str], float]
) -> checkpoint.State:
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    groups: dict[float, list[nn.Parameter]] = {}
    for name, value in trained.items():
        groups.setdefault(share_of_rate(name), []).append(value)
    optimiser = torch.optim.AdamW(
        [{"params": values, "share": share} for share, values in groups.items()],
        lr=schedule.learning_rate,
        weight_decay=_WEIGHT_DECAY,
        # One launch for all parameters, where launches are what a small network waits for.
        fused=all(value.is_cuda for value in trained.values()),
    )
    kept = network.state_dict().keys()
    return checkpoint.State(
        trained=trained,
        average={
            name: value.detach().clone() if value.requires_grad else value
            for name, value in network.named_parameters()
        },
        buffers={name: value for name, value in network.named_buffers() if name in kept},
        optimiser=optimiser,
    )


def _go_on(
    state: checkpoint.State, schedule: Schedule, folder: Path, seed: int, options: Options
) -> int:
    """Continue what the first process finds in `folder`; return the step to begin with."""
    saved, before = from_first(lambda: (checkpoint.read(folder), run_recipe.read(folder)))
    first = 0
    if saved is not None:
        now = {"seed": seed, **asdict(schedule)}
        run_recipe.refuse_another(folder, before, options.recipe)
        run_recipe.refuse_another(
            folder, saved.words, now, free=frozenset({"steps", "save_every", "step"})
        )
        if saved.words.get("steps", 0) > schedule.steps:
            raise ConfigError(
                f"the run in {folder} was to take {saved.words['steps']} steps, now "
                f"{schedule.steps}; steps may grow, not shrink: choose a new --out folder"
            )
        state.restore(saved, folder)
        first = saved.step
    if options.recipe and place().leads:
        run_recipe.write(folder, options.recipe)
    return first
