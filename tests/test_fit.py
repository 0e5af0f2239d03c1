"""The training loop goes on where it was, and stops before it spoils what it has."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tensorboardX.proto.event_pb2 import Event
from torch import Tensor, nn

from edge_pose.errors import ConfigError
from train.fit import Options, Schedule, TrainingDiverged, averaged, fit
from train.gradients import OutOfMemory

SCHEDULE = Schedule(steps=12, learning_rate=0.05, warmup_steps=3, save_every=4)


class Cut(Exception):
    """The power went away."""


def batches(first: int, size: int = 8) -> Iterator[Mapping[str, Tensor]]:
    """Yield a stream that depends on nothing but the numbers of its samples."""
    for batch in count(first):
        x = torch.stack(
            [
                torch.randn(3, generator=torch.Generator().manual_seed(sample))
                for sample in range(batch * size, (batch + 1) * size)
            ]
        )
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


def train(
    folder: Path, schedule: Schedule = SCHEDULE, module: nn.Module | None = None, **chosen: Any
) -> dict[str, Tensor]:
    options = Options(**{"seed": 1, **chosen})
    return fit(module or network(), batches, losses, weigh, schedule, folder, options=options)


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor], *, atol: float = 0.0) -> bool:
    return left.keys() == right.keys() and all(
        torch.allclose(value, right[name], rtol=0, atol=atol) for name, value in left.items()
    )


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
    assert whole.keys() == {"weight", "bias"}
    assert same(averaged(broken), whole)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_an_interrupted_run_goes_on_on_a_gpu(tmp_path: Path) -> None:
    """There one launch takes a step for all parameters, and counts steps where it computes."""

    def there(stream: Iterable[Mapping[str, Tensor]]) -> Iterator[Mapping[str, Tensor]]:
        for batch in stream:
            yield {name: value.cuda() for name, value in batch.items()}

    def run(folder: Path, stream: Callable[[int], Iterable[Mapping[str, Tensor]]]) -> None:
        module = network().cuda()
        fit(module, lambda first: there(stream(first)), losses, weigh, SCHEDULE, folder)

    run(tmp_path / "whole", batches)
    with pytest.raises(Cut):
        run(tmp_path / "broken", lambda first: cut_at(10, first))
    run(tmp_path / "broken", batches)
    assert same(averaged(tmp_path / "broken"), averaged(tmp_path / "whole"))


def test_a_loss_that_is_no_number_stops_and_the_checkpoint_survives(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"step 6 .* square, total.*lower the learning rate"):
        fit(network(), lambda first: poisoned_at(6, first), losses, weigh, SCHEDULE, tmp_path)
    assert all(torch.isfinite(value).all() for value in averaged(tmp_path).values())
    fit(network(), batches, losses, weigh, SCHEDULE, tmp_path)


def test_a_gradient_that_is_no_number_is_not_saved_either(tmp_path: Path) -> None:
    """The loss sqrt(0) is 0, its slope infinite: only the gradient tells, in the step of a save."""

    def root(module: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"root": (module(batch["x"] * 0) * 0).square().sum().sqrt()}

    once = replace(SCHEDULE, steps=4)
    with pytest.raises(TrainingDiverged, match=r"step 0 .* gradient \("):
        fit(network(), batches, root, lambda terms: terms["root"], once, tmp_path)
    assert not (tmp_path / "last.safetensors").exists()


def test_what_needs_no_gradient_is_kept_as_it_is(tmp_path: Path) -> None:
    still = nn.Linear(3, 3).requires_grad_(requires_grad=False)
    frozen = nn.Sequential(still, nn.Linear(3, 1))
    before = still.weight.clone()
    fit(frozen, batches, losses, weigh, SCHEDULE, tmp_path)
    assert torch.equal(still.weight, before)
    kept = averaged(tmp_path)
    assert kept.keys() == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert torch.equal(kept["0.weight"], before)
    assert not torch.equal(kept["1.weight"], torch.zeros_like(kept["1.weight"]))


def test_a_part_that_no_loss_reaches_waits_for_the_step_that_does(tmp_path: Path) -> None:
    class Spare(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 1)
            self.spare = nn.Parameter(torch.ones(2))

    train(tmp_path, module=Spare())
    assert torch.equal(averaged(tmp_path)["spare"], torch.ones(2))
    train(tmp_path, replace(SCHEDULE, steps=14), module=Spare())


def test_the_rate_rises_to_the_top_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=1100, learning_rate=1.0, warmup_steps=100)
    assert schedule.rate(0) == pytest.approx(0.01)
    assert schedule.rate(100) == pytest.approx(1.0)
    assert schedule.rate(600) == pytest.approx(0.5)
    assert schedule.rate(1100) == pytest.approx(0.0)


def test_a_step_in_portions_is_the_step_at_once(tmp_path: Path) -> None:
    at_once = fit(network(), lambda n: batches(n, 8), losses, weigh, SCHEDULE, tmp_path / "at_once")
    portions = fit(
        network(),
        lambda n: batches(n, 2),
        losses,
        weigh,
        SCHEDULE,
        tmp_path / "portions",
        options=Options(accumulate=4),
    )
    assert same(portions, at_once, atol=1e-6)
    curves = [
        (tmp_path / name / "losses.csv").read_text().split() for name in ("at_once", "portions")
    ]
    assert curves[0] == curves[1]


def test_bfloat16_runs_and_comes_close(tmp_path: Path) -> None:
    types = []

    def watched(module: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        types.append(module(batch["x"]).dtype)
        return losses(module, batch)

    full = train(tmp_path / "full")
    options = Options(seed=1, precision="bfloat16")
    half = fit(network(), batches, watched, weigh, SCHEDULE, tmp_path / "half", options=options)
    assert set(types) == {torch.bfloat16}
    assert not same(half, full)
    assert same(half, full, atol=0.02)
    assert {value.dtype for value in half.values()} == {torch.float32}


def test_chance_in_the_losses_depends_on_the_seed_alone_and_leaves_no_trace(
    tmp_path: Path,
) -> None:
    drawn = []

    def drawing(module: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        drawn.append(float(torch.rand(())))
        return losses(module, batch)

    for run, seed in enumerate((1, 1, 2)):
        started = network()
        torch.manual_seed(run)
        before = torch.get_rng_state()
        folder, options = tmp_path / str(run), Options(seed=seed)
        fit(started, batches, drawing, weigh, replace(SCHEDULE, steps=3), folder, options=options)
        assert torch.equal(torch.get_rng_state(), before)
    assert drawn[:3] == drawn[3:6] != drawn[6:]
    assert len(set(drawn[:3])) == 3


@pytest.mark.parametrize(
    ("schedule", "chosen", "named"),
    [
        (replace(SCHEDULE, learning_rate=0.04), {}, r"learning_rate = 0\.05, now it is 0\.04"),
        (SCHEDULE, {"seed": 2}, r"seed = 1, now it is 2"),
        (SCHEDULE, {"recipe": {"rendered": "b"}}, r"rendered = a, now it is b"),
        (replace(SCHEDULE, steps=8), {}, r"12 steps, now 8; steps may grow"),
    ],
)
def test_a_run_is_not_continued_as_another(
    tmp_path: Path, schedule: Schedule, chosen: dict[str, Any], named: str
) -> None:
    first: dict[str, Any] = {"recipe": {"rendered": "a", "workers": 1, "steps": 12}}
    train(tmp_path, **first)
    kept = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=named):
        train(tmp_path, schedule, **first | chosen)
    assert (tmp_path / "last.safetensors").read_bytes() == kept
    assert '"rendered": "a"' in (tmp_path / "recipe.json").read_text()


def test_a_run_may_grow_and_change_what_leaves_its_numbers_alone(tmp_path: Path) -> None:
    train(tmp_path, recipe={"rendered": "a", "workers": 1})
    longer = replace(SCHEDULE, steps=40, save_every=5)
    train(tmp_path, longer, recipe={"rendered": "a", "workers": 2})
    assert '"step": 40' in (tmp_path / "last.json").read_text()
    steps = [line.split(",")[0] for line in (tmp_path / "losses.csv").read_text().split()]
    assert steps == ["step", "0", "20"]


def test_another_part_of_the_network_is_another_run(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(
        ConfigError, match=r"other parts of the network: weight\.0\.bias is only in"
    ):
        train(tmp_path, module=nn.Sequential(nn.Linear(3, 1)))


def test_a_checkpoint_from_before_formats_had_numbers_is_continued(tmp_path: Path) -> None:
    state = {"weight": torch.full((1, 3), 0.5), "bias": torch.zeros(1)}
    kinds = ("weight", "average", "first", "second")
    saved = {f"{kind}.{name}": value.clone() for kind in kinds for name, value in state.items()}
    save_file(saved, tmp_path / "last.safetensors", metadata={"step": "12"})
    (tmp_path / "last.json").write_text('{"step": 12, "steps": 12, "learning_rate": 0.05}')
    assert same(train(tmp_path), state)
    with pytest.raises(ConfigError, match=r"learning_rate = 0\.05, now it is 0\.1"):
        train(tmp_path, replace(SCHEDULE, learning_rate=0.1))


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no trained network"):
        averaged(tmp_path)
    path = tmp_path / "last.safetensors"
    train(tmp_path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ConfigError, match=r"last\.safetensors cannot be read .*delete it"):
        train(tmp_path)
    save_file({}, path, metadata={"run": '{"format": 3, "step": 1}'})
    with pytest.raises(ConfigError, match=r"has format 3, this program knows up to 2"):
        train(tmp_path)


def test_too_large_a_batch_names_its_size_and_keeps_the_steps_before_it(tmp_path: Path) -> None:
    calls = count()

    def hungry(module: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if next(calls) == 6:
            torch.empty(10**16)
        return losses(module, batch)

    with pytest.raises(OutOfMemory, match=r"step 6 .*8 samples at once.*--batch-size 4 .*twice"):
        fit(network(), batches, hungry, weigh, SCHEDULE, tmp_path, options=Options(seed=1))
    assert '"step": 6' in (tmp_path / "last.json").read_text()
    whole = train(tmp_path / "whole")
    assert same(train(tmp_path), whole)


def test_other_errors_of_the_losses_stay_what_they_are(tmp_path: Path) -> None:
    def wrong(module: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"square": module(batch["x"].T).sum()}

    with pytest.raises(RuntimeError, match=r"cannot be multiplied"):
        fit(network(), batches, wrong, weigh, SCHEDULE, tmp_path)


def test_tensorboard_hears_the_same_numbers(tmp_path: Path) -> None:
    train(tmp_path, tensorboard=True)
    (path,) = (tmp_path / "tensorboard").iterdir()
    values = {
        (event.step, value.tag): value.simple_value
        for event in events(path.read_bytes())
        for value in event.summary.value
    }
    header, first = (tmp_path / "losses.csv").read_text().split()
    assert header == "step,square"
    assert values[0, "loss/square"] == pytest.approx(float(first.split(",")[1]), rel=1e-5)
    assert values[0, "rate"] == pytest.approx(SCHEDULE.rate(0))


def events(data: bytes) -> Iterator[Event]:
    """Read TFRecords: length in 8 bytes, its checksum in 4, the message, its checksum in 4."""
    while data:
        size = int.from_bytes(data[:8], "little")
        yield Event.FromString(data[12 : 12 + size])
        data = data[16 + size :]
