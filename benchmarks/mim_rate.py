"""How well masked image modelling uses an accelerator, and whether it waits for data.

    python -m benchmarks.mim_rate --source RENDERED --target PICTURES --preset gpu

In: folders as for `python -m train pretrain`.  Out: a Markdown table: the rate of a large bf16
matrix product of random numbers on this device; steps of the training loop on one batch that stays
where it is; and steps on batches that workers make, as in training.  Shares are of the first rate.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError, EdgePoseError
from train.arithmetic import training_flops
from train.confidence import markdown_table
from train.distributed import device
from train.fit import Schedule, fit
from train.masking import read_recipe
from train.mim import WEIGHTS, MimNet
from train.mim_data import MimBatches, MimMixture
from train.mim_run import build, terms_of
from train.mim_scenes import open_scenes
from train.pose_loss import total
from train.presets import Effort, add_options, effort
from train.pretrain import PretrainSettings
from train.stream import Batch, load

_RECIPE: Final = "patches(0.6)"
_PRODUCTS: Final = 10
_WARM_UP: Final = 20
"""Steps before the clock starts; the loop reads its losses, and so waits, every 20 steps."""


@dataclass(slots=True)
class Watched(Iterator[Batch]):
    """A stream of batches that notes when it was asked, and how long the asker waited."""

    batches: Iterator[Batch]
    asked_s: list[float] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)

    def __next__(self) -> Batch:
        """Hand on the next batch."""
        self.asked_s.append(time.perf_counter())
        batch = next(self.batches)
        self.waited_s.append(time.perf_counter() - self.asked_s[-1])
        return batch

    def per_step_s(self) -> float:
        """Return the mean time of a step after the warm-up."""
        steps = self.asked_s[_WARM_UP:]
        return (steps[-1] - steps[0]) / (len(steps) - 1)

    def waiting_share(self) -> float:
        """Return the share of that time in which nothing was computed for want of a batch."""
        return sum(self.waited_s[_WARM_UP:-1]) / (self.asked_s[-1] - self.asked_s[_WARM_UP])


def matrix_flop_per_s(side: int) -> float:
    """Multiply random bf16 matrices [side, side]; the median of some products."""
    left, right = (torch.randn(side, side, device=device(), dtype=torch.bfloat16) for _ in range(2))
    times_s = []
    for _ in range(2 * _PRODUCTS):
        began_s = time.perf_counter()
        float((left @ right)[0, 0])
        times_s.append(time.perf_counter() - began_s)
    return 2 * side**3 / sorted(times_s[_PRODUCTS:])[_PRODUCTS // 2]


def steps_on(network: nn.Module, batches: Iterable[Batch], how: Effort) -> Watched:
    """Let the training loop take its steps on these batches, in a folder of no importance."""
    watched = Watched(iter(batches))

    def losses(module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        assert isinstance(module, MimNet)
        return _terms(module, batch)

    with tempfile.TemporaryDirectory() as folder:
        fit(
            network,
            lambda _: watched,
            losses,
            partial(total, weights=WEIGHTS),
            Schedule(steps=how.steps, learning_rate=1e-4, save_every=how.steps),
            Path(folder),
            options=how.options({}),
        )
    return watched


def _terms(network: MimNet, batch: Batch) -> dict[str, Tensor]:
    return terms_of(network, batch, opacity=1.0, background_weight=0.25, target="normalised")


def rows(source: Path, target: Path, how: Effort, network_name: str, side: int) -> list[list[str]]:
    """Measure, and return the lines of the table."""
    words = PretrainSettings(
        source=(source,), target=(target,), network=network_name, effort=how
    ).words()
    network = build(words).to(device())
    mixture = MimMixture(recipe=read_recipe(_RECIPE), size_px=network.input_px)
    stream = MimBatches(
        open_scenes((source,)),
        open_scenes((target,)),
        mixture=mixture,
        batch_size=how.batch_size,
        seed=how.seed,
    )
    one = next(iter(load(stream, workers=0)))
    few = {name: value[:8] for name, value in one.items()}
    flop = training_flops(lambda: _terms(network, few)["reconstruction"]) / 8
    most = matrix_flop_per_s(side)
    lines = [[f"bf16 product of {side} x {side}", "", f"{most / 1e12:.0f}", "100", ""]]
    ways: tuple[tuple[str, Callable[[], Iterable[Batch]]], ...] = (
        ("steps on one batch", lambda: repeat(one)),
        (f"steps on batches of {how.workers} workers", lambda: load(stream, workers=how.workers)),
    )
    for name, make in ways:
        watched = steps_on(network, make(), how)
        images_per_s = how.batch_size / watched.per_step_s()
        rate = images_per_s * flop
        lines.append(
            [
                f"{network_name}, {name}",
                f"{images_per_s:.0f}",
                f"{rate / 1e12:.1f}",
                f"{100 * rate / most:.1f}",
                f"{100 * watched.waiting_share():.0f}",
            ]
        )
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--network", default="base")
    parser.add_argument("--side", type=int, default=8192, help="of the matrices")
    add_options(parser, "pretrain")
    arguments = parser.parse_args()
    how = effort(arguments, "pretrain")
    if how.steps <= 2 * _WARM_UP:
        raise ConfigError(f"--steps is {how.steps}; the first {_WARM_UP} are not counted, give 100")
    found = rows(arguments.source, arguments.target, how, arguments.network, arguments.side)
    head = ["", "images/s", "TFLOP/s", "% of the product", "% waiting for data"]
    sys.stdout.write(markdown_table(head, found) + "\n")


if __name__ == "__main__":
    try:
        main()
    except EdgePoseError as error:
        sys.exit(str(error))
