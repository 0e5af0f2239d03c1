"""The training loop goes on where it was, and stops before it spoils what it has."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from train.fit import Schedule, TrainingDiverged, averaged, fit

SCHEDULE = Schedule(steps=12, learning_rate=0.05, warmup_steps=3, save_every=4)


class Cut(Exception):
    """The power went away."""


def batches(first: int) -> Iterator[Mapping[str, Tensor]]:
    """Yield a stream that depends on nothing but the step."""
    for step in count(first):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        yield {"x": x, "y": x.sum(1, keepdim=True)}


def cut_at(step: int, first: int) -> Iterator[Mapping[str, Tensor]]:
    for number, batch in enumerate(batches(first), first):
        if number == step:
            raise Cut
        yield batch


def poisoned_at(step: int, first: int) -> Iterable[Mapping[str, Tensor]]:
    for number, batch in enumerate(batches(first), first):
        yield (
            {name: value * torch.nan for name, value in batch.items()} if number == step else batch
        )


def losses(module: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"square": (module(batch["x"]) - batch["y"]).square().mean()}


def weigh(terms: Mapping[str, Tensor]) -> Tensor:
    return terms["square"]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = fit(network(), batches, losses, weigh, SCHEDULE, tmp_path / "whole")
    broken = tmp_path / "broken"
    with pytest.raises(Cut):
        fit(network(), lambda first: cut_at(10, first), losses, weigh, SCHEDULE, broken)
    started = []

    def resumed(first: int) -> Iterator[Mapping[str, Tensor]]:
        started.append(first)
        return batches(first)

    fit(network(), resumed, losses, weigh, SCHEDULE, broken)
    assert started == [8]
    again = averaged(broken)
    assert again.keys() == whole.keys() == {"weight", "bias"}
    for name, value in whole.items():
        assert torch.allclose(again[name], value, atol=1e-6)


def test_a_loss_that_is_no_number_stops_and_the_checkpoint_survives(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"step 6 .*lower the learning rate"):
        fit(network(), lambda first: poisoned_at(6, first), losses, weigh, SCHEDULE, tmp_path)
    assert all(torch.isfinite(value).all() for value in averaged(tmp_path).values())
    fit(network(), batches, losses, weigh, SCHEDULE, tmp_path)


def test_what_needs_no_gradient_is_neither_moved_nor_saved(tmp_path: Path) -> None:
    still = nn.Linear(3, 3).requires_grad_(requires_grad=False)
    frozen = nn.Sequential(still, nn.Linear(3, 1))
    before = still.weight.clone()
    fit(frozen, batches, losses, weigh, SCHEDULE, tmp_path)
    assert torch.equal(still.weight, before)
    assert averaged(tmp_path).keys() == {"1.weight", "1.bias"}


def test_the_rate_rises_to_the_top_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=1100, learning_rate=1.0, warmup_steps=100)
    assert schedule.rate(0) == pytest.approx(0.01)
    assert schedule.rate(100) == pytest.approx(1.0)
    assert schedule.rate(600) == pytest.approx(0.5)
    assert schedule.rate(1100) == pytest.approx(0.0)
