"""A small training run as a process of its own, for tests that kill it, stop it or share it.

The network drops units at random and the data come from workers, so that a run goes on exactly only
if every random number does.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from edge_pose.errors import EdgePoseError
from train.fit import Options, Schedule, fit
from train.stream import batch_numbers, load, sample_rngs


@dataclass(frozen=True, kw_only=True)
class Sums(IterableDataset[dict[str, Tensor]]):
    """Random rows and their sums."""

    batch_size: int
    first: int
    pause_s: float = 0.0
    broken_at: int = -1
    """Batch in which somebody finds a picture that cannot be read."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for number in batch_numbers(self.first):
            if number == self.broken_at:
                raise EdgePoseError("picture 7 is broken; remove it")
            time.sleep(self.pause_s)
            rngs = sample_rngs(5, number, self.batch_size)
            rows = np.stack([rng.standard_normal(8, np.float32) for rng in rngs])
            yield {"x": torch.from_numpy(rows), "y": torch.from_numpy(rows.sum(1, keepdims=True))}


def losses(module: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    off = module(batch["x"]) - batch["y"]
    return {"square": off.square().mean(), "size": off.abs().mean()}


def weigh(terms: Mapping[str, Tensor]) -> Tensor:
    return terms["square"] + 0.1 * terms["size"]


def network(dropout: float) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 1))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--pause-s", type=float, default=0.0)
    parser.add_argument("--broken-at", type=int, default=-1)
    parser.add_argument("--most-bytes", type=int, help="of a file; more is an error, as on a disk")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (arguments.most_bytes, resource.RLIM_INFINITY))
    try:
        fit(
            network(arguments.dropout),
            lambda first: load(
                Sums(
                    batch_size=arguments.batch_size,
                    first=first,
                    pause_s=arguments.pause_s,
                    broken_at=arguments.broken_at,
                ),
                workers=arguments.workers,
            ),
            losses,
            weigh,
            Schedule(steps=arguments.steps, learning_rate=0.01, warmup_steps=5, save_every=10),
            arguments.folder,
            options=Options(seed=1, accumulate=arguments.accumulate),
        )
    except EdgePoseError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
