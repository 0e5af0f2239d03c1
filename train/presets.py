"""How much a stage does on which kind of machine: one table, and the options that depart from it.

In: `--preset`, and options that say otherwise.  Out: the `Effort` of a stage.  `tiny` is for
continuous integration and takes minutes; `cpu` is for a machine without an accelerator, hours to a
day a stage; `gpu-quick` and `gpu` for one with, minutes and hours.
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final, get_args

from edge_pose.errors import ConfigError
from train.distributed import place
from train.fit import Options
from train.gradients import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How long a stage is, and how many samples a process computes at once."""

    steps: int
    batch_size: int
    accumulate: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What suits a kind of machine: the teacher's size, the arithmetic, and each stage's extent."""

    network: str
    """One of `train.mim_run.NETWORKS`; without an accelerator the student itself, which begins with
    what it knows: a transformer from nothing does not come near it in days."""
    workers: int
    """Processes that make batches, for each process that trains."""
    precision: Precision
    pretrain: Extent
    adapt: Extent
    distil: Extent
    student: Extent
    detector: Extent
    lift: Extent


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "tiny": Preset(
            network="nano",
            workers=1,
            precision="float32",
            pretrain=Extent(steps=60, batch_size=16),
            adapt=Extent(steps=40, batch_size=16),
            distil=Extent(steps=20, batch_size=8),
            student=Extent(steps=20, batch_size=8),
            detector=Extent(steps=20, batch_size=8),
            lift=Extent(steps=20, batch_size=64),
        ),
        "cpu": Preset(
            network="student",
            workers=1,
            precision="float32",
            pretrain=Extent(steps=1500, batch_size=32),
            adapt=Extent(steps=3000, batch_size=32),
            distil=Extent(steps=3000, batch_size=32),
            student=Extent(steps=3000, batch_size=32),
            detector=Extent(steps=1000, batch_size=16),
            lift=Extent(steps=12_000, batch_size=256),
        ),
        "gpu-quick": Preset(
            network="student",
            workers=4,
            precision="bfloat16",
            pretrain=Extent(steps=160, batch_size=256),
            adapt=Extent(steps=300, batch_size=128),
            distil=Extent(steps=500, batch_size=256),
            student=Extent(steps=4000, batch_size=256),
            detector=Extent(steps=1000, batch_size=64),
            lift=Extent(steps=13_000, batch_size=1024),
        ),
        "gpu": Preset(
            network="base",
            workers=14,
            precision="bfloat16",
            pretrain=Extent(steps=40_000, batch_size=256),
            adapt=Extent(steps=10_000, batch_size=128),
            distil=Extent(steps=20_000, batch_size=256),
            student=Extent(steps=20_000, batch_size=256),
            detector=Extent(steps=10_000, batch_size=64),
            lift=Extent(steps=13_000, batch_size=1024),
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What one stage does in this run, and how."""

    preset: Preset
    steps: int
    batch_size: int
    accumulate: int
    workers: int
    precision: Precision
    seed: int
    tensorboard: bool

    @property
    def samples_a_step(self) -> int:
        """Count the samples of a step; while this stays, the portions may change in a run."""
        return self.batch_size * self.accumulate * place().processes

    def options(self, recipe: Mapping[str, object]) -> Options:
        """Return what the loop wants to know, with what made the run besides."""
        chosen = {key: value for key, value in asdict(self).items() if key != "preset"}
        return Options(
            recipe={**recipe, **chosen, "samples_a_step": self.samples_a_step},
            seed=self.seed,
            accumulate=self.accumulate,
            precision=self.precision,
            tensorboard=self.tensorboard,
        )


def add_options(parser: argparse.ArgumentParser, stage: str) -> None:
    """Declare the options that every training command has; `stage` is a field of `Preset`."""
    usual = ", ".join(
        f"{name} {extent.steps} of {extent.batch_size * extent.accumulate}"
        for name, extent in ((name, getattr(preset, stage)) for name, preset in PRESETS.items())
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="for what machine")
    parser.add_argument("--steps", type=positive, help=f"steps and their samples: {usual}")
    parser.add_argument("--batch-size", type=positive, help="samples at once, in each process")
    parser.add_argument(
        "--accumulate", type=positive, help="batches of one step, for when memory is short"
    )
    parser.add_argument("--workers", type=int, help="processes that make batches")
    parser.add_argument(
        "--precision", choices=get_args(Precision), help="of the network's arithmetic"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--tensorboard", action="store_true", help="write event files for TensorBoard too"
    )


def effort(arguments: argparse.Namespace, stage: str) -> Effort:
    """Take what the options say, and the rest from the preset.

    Raises:
        ConfigError: the seed or the number of workers is negative.

    """
    for name in ("seed", "workers"):
        value = getattr(arguments, name)
        if value is not None and value < 0:
            raise ConfigError(f"--{name} is {value}; it must be 0 or more")
    preset = PRESETS[arguments.preset]
    extent: Extent = getattr(preset, stage)
    return Effort(
        preset=preset,
        steps=arguments.steps or extent.steps,
        batch_size=arguments.batch_size or extent.batch_size,
        accumulate=arguments.accumulate or extent.accumulate,
        workers=preset.workers if arguments.workers is None else arguments.workers,
        precision=arguments.precision or preset.precision,
        seed=arguments.seed,
        tensorboard=arguments.tensorboard,
    )


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def share(text: str) -> float:
    """Read a share; the name stands in what argparse says of another text."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{value:g} is not a share, above 0 and up to 1")
    return value
