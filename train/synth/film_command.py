"""`python -m train film`: fill a folder with films of people who move, resumable.

    python -m train film --motion DIR --films 40 --out DIR

Every film is drawn from (seed, site, its number) alone, so the number of processes, and stops in
between, do not change what comes out.
"""

import argparse
import os
import zlib
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from edge_pose.errors import EdgePoseError, SourceError
from train.synth.anatomy import BodyModel
from train.synth.dataset import open_dataset
from train.synth.film import RATE_HZ, film_path, is_finished, shoot, write_film
from train.synth.frames import Studio
from train.synth.garments import open_wardrobe
from train.synth.mocap import Clip, MotionLibrary
from train.synth.motion import cut_stretch, move
from train.synth.renderer import Renderer
from train.synth.site import SITES, find_site
from train.synth.workers import begin_work, open_pool

RECIPE: Final = 1
"""Raised whenever the same seed gives other films than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for on the command line."""

    films: int
    out: Path
    site: str
    seed: int
    motion: Path
    seconds: float
    processes: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--motion", type=Path, required=True, help="folder with motion capture")
    parser.add_argument("--out", type=Path, required=True, help="folder to fill or to continue")
    parser.add_argument("--films", type=int, default=40, help="how many")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each is")
    parser.add_argument("--site", choices=list(SITES), default="factory", help="place to show")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other films")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="workers, one a core"
    )


def main(arguments: argparse.Namespace) -> None:
    """Shoot the films that are still missing."""
    shoot_films(
        Order(
            films=arguments.films,
            out=arguments.out,
            site=arguments.site,
            seed=arguments.seed,
            motion=arguments.motion,
            seconds=arguments.seconds,
            processes=arguments.processes,
        )
    )


def shoot_films(order: Order) -> None:
    """Shoot the films that are still missing.

    Raises:
        EdgePoseError: stopped, or no recording is long enough; what is finished is kept.

    """
    library = MotionLibrary.open(order.motion)
    open_dataset(
        order.out,
        {
            "films": RECIPE,
            "site": order.site,
            "seed": order.seed,
            "seconds": order.seconds,
            "motion": f"{order.motion.name}, {len(library.paths)} files",
        },
    )
    missing = [n for n in range(order.films) if not is_finished(film_path(order.out, n))]
    with open_pool(order.processes, _start_worker, order) as pool:
        try:
            for _ in tqdm(pool.map(_shoot, missing), total=len(missing), unit="film"):
                pass
        except BrokenProcessPool:
            raise EdgePoseError(
                "A worker died (out of memory?); films that are finished are kept, so run the same "
                "command again, perhaps with fewer --processes."
            ) from None
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise EdgePoseError("Stopped; the same command continues.") from None


class Worker:
    """What a process keeps from film to film."""

    def __init__(self, order: Order) -> None:
        """Open the body model, the wardrobe and a renderer."""
        self._order = order
        self._model = BodyModel.load()
        self._library = MotionLibrary.open(order.motion)
        wardrobe = open_wardrobe(self._model)
        self._studio = Studio(
            site=find_site(order.site),
            wardrobe=wardrobe,
            renderer=Renderer(wardrobe),
            photos=[],
            size_px=0,
        )

    def shoot(self, number: int) -> None:
        """Shoot one film and write it."""
        rng = np.random.default_rng(
            [self._order.seed, zlib.crc32(self._order.site.encode()), number]
        )
        bodies = move(self._model, self._recorded(rng), rng=rng)
        write_film(film_path(self._order.out, number), shoot(rng, self._studio, bodies))

    def _recorded(self, rng: np.random.Generator) -> Float32[np.ndarray, "moments tracked 3"]:
        """Cut a piece out of any recording that is long enough."""
        moments = max(round(self._order.seconds * RATE_HZ), 1)
        for index in rng.permutation(len(self._library.paths)):
            clip = self._library.read(index, own_bones=self._model.skeleton.labels)
            if isinstance(clip, Clip):
                stretch = cut_stretch(rng, clip, moments=moments, rate_hz=RATE_HZ)
                if stretch is not None:
                    return stretch
        raise SourceError(
            f"{self._order.motion} holds no whole body that moves for {self._order.seconds:g} s "
            f"at {RATE_HZ} moments a second or more; ask for fewer --seconds or name another folder"
        )


_worker: Worker | None = None


def _start_worker(order: Order) -> None:
    global _worker  # noqa: PLW0603  # a process of the pool has no other place to keep its studio
    begin_work()
    _worker = Worker(order)


def _shoot(number: int) -> None:
    assert _worker is not None
    _worker.shoot(number)
