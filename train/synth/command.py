"""`python -m train synth`: fill a folder with labelled pictures, in several processes, resumable.

Every chunk is drawn from (seed, site, index of the chunk) alone, so the number of processes, and
stops in between, do not change what comes out.
"""

import argparse
import hashlib
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from edge_pose.errors import EdgePoseError, SourceError
from train.synth.dataset import chunk_path, open_dataset, pack_chunk, read_chunk, write_chunk
from train.synth.frames import HALL_SHARE, FramePlan, Studio, compose_frame, plan_frames
from train.synth.garments import open_wardrobe
from train.synth.opengl import RendererKind, open_context
from train.synth.renderer import Renderer
from train.synth.site import SITES, Mounting, find_site
from train.synth.workers import begin_work, open_pool

FRAMES_PER_CHUNK: Final = 64
RECIPE: Final = 4
"""Raised whenever the same seed gives other pictures than before."""
LONGEST_PHOTO_SIDE_PX: Final = 640
HALL_SHARES: Final = {"both": HALL_SHARE, "close": 0.0, "hall": 1.0}
"""What `--view` may name, and how many of the pictures then are whole ones of a hall."""
PHOTO_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for on the command line."""

    people: int
    out: Path
    site: str
    mounting: Mounting
    seed: int
    processes: int
    motion: Path | None
    backgrounds: Path | None
    size_px: int
    renderer: RendererKind
    view: str = "both"
    """Of `HALL_SHARES`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--people", type=int, required=True, help="how many persons to label")
    parser.add_argument("--out", type=Path, required=True, help="folder to fill or to continue")
    parser.add_argument("--site", choices=list(SITES), default="factory", help="place to show")
    for name, unit, meaning in (
        ("--camera-height", "M", "above the floor"),
        ("--field-of-view", "DEG", "across the picture"),
        ("--camera-pitch", "DEG", "below the horizon, where a hall is seen"),
        (
            "--camera-roll",
            "DEG",
            "about the camera's own axis; what is level then runs down to the right",
        ),
        ("--camera-distance", "M", "from a close camera to the person, across the floor"),
    ):
        parser.add_argument(
            name,
            type=float,
            nargs=2,
            metavar=(f"LEAST_{unit}", f"MOST_{unit}"),
            help=f"{meaning}, as the line's own cameras are mounted, in place of the site's",
        )
    parser.add_argument(
        "--view",
        choices=list(HALL_SHARES),
        default="both",
        help="windows about one person, whole pictures of a hall, or both",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, other pictures")
    parser.add_argument(
        "--processes",
        type=int,
        default=os.cpu_count() or 1,
        help="workers, one a core",
    )
    parser.add_argument("--motion", type=Path, help="folder with motion capture")
    parser.add_argument("--backgrounds", type=Path, help="folder with photos without people")
    parser.add_argument("--size", type=int, default=256, help="side of a close view in pixels")
    parser.add_argument(
        "--renderer",
        choices=("any", "gpu", "software"),
        default="any",
        help="what may draw",
    )


def main(arguments: argparse.Namespace) -> None:
    """Render until enough people are labelled."""
    render_dataset(
        Order(
            people=arguments.people,
            out=arguments.out,
            site=arguments.site,
            mounting=Mounting(
                height_m=_pair(arguments.camera_height),
                field_of_view_deg=_pair(arguments.field_of_view),
                pitch_deg=_pair(arguments.camera_pitch),
                roll_deg=_pair(arguments.camera_roll),
                distance_m=_pair(arguments.camera_distance),
            ),
            seed=arguments.seed,
            processes=arguments.processes,
            motion=arguments.motion,
            backgrounds=arguments.backgrounds,
            size_px=arguments.size,
            renderer=arguments.renderer,
            view=arguments.view,
        ),
    )


def _pair(values: list[float] | None) -> tuple[float, float] | None:
    return None if values is None else (values[0], values[1])


def render_dataset(order: Order) -> None:
    """Write the chunks that are still missing."""
    context = open_context(order.renderer)
    renderer_name = context.info["GL_RENDERER"]
    context.release()
    print(f"drawing with {renderer_name}, {order.processes} processes")
    open_dataset(order.out, _recipe(order, renderer_name))
    for leftover in order.out.glob("chunk-*.part"):
        leftover.unlink()
    done = 0
    with (
        tqdm(total=order.people, unit="person", smoothing=0.05) as bar,
        open_pool(order.processes, _start_worker, order) as pool,
    ):
        try:
            for people in _chunks_in_order(pool, order):
                done += people
                bar.update(people)
        except BrokenProcessPool:
            raise EdgePoseError(
                f"A worker died after {done} people (out of memory?); chunks that are finished are "
                "kept, so run the same command again, perhaps with fewer --processes.",
            ) from None
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise EdgePoseError(
                f"Stopped after {done} of {order.people} people; the same command continues.",
            ) from None


def _recipe(order: Order, renderer_name: str) -> dict[str, object]:
    return {
        "schema": 1,
        "recipe": RECIPE,
        "site": order.site,
        **order.mounting.words(),
        **({} if order.view == "both" else {"view": order.view}),
        "seed": order.seed,
        "size_px": order.size_px,
        "frames_per_chunk": FRAMES_PER_CHUNK,
        "motion": _fingerprint(order.motion),
        "backgrounds": _fingerprint(order.backgrounds),
        "renderer": renderer_name,
    }


def _fingerprint(folder: Path | None) -> str | None:
    """Tell folders apart by their name and by the names and sizes of their files."""
    if folder is None:
        return None
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder; name one that exists or leave the option out.")
    listing = "\n".join(
        f"{path.relative_to(folder)} {path.stat().st_size}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    return f"{folder.name} {hashlib.sha256(listing.encode()).hexdigest()[:12]}"


def _chunks_in_order(pool: ProcessPoolExecutor, order: Order) -> Iterator[int]:
    """Give the people of chunk after chunk, until they are enough; later chunks are begun ahead."""
    running: dict[int, Future[int]] = {}
    submitted, planned, done, index = 0, 0, 0, 0
    while done < order.people:
        while planned < order.people or submitted <= index:
            planned += sum(plan.people for plan in chunk_plans(order, submitted))
            if not chunk_path(order.out, submitted).exists():
                running[submitted] = pool.submit(_render_chunk, submitted)
            submitted += 1
        people = (
            running.pop(index).result()
            if index in running
            else len(read_chunk(chunk_path(order.out, index)).frame)
        )
        done += people
        index += 1
        yield people


def _rng_of(order: Order, index: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([order.seed, zlib.crc32(order.site.encode()), index, purpose])


def chunk_plans(order: Order, index: int) -> list[FramePlan]:
    """Plan the frames of one chunk."""
    share = HALL_SHARES[order.view]
    return plan_frames(_rng_of(order, index, 0), FRAMES_PER_CHUNK, hall_share=share)


class _Worker:
    """What a process keeps from chunk to chunk."""

    def __init__(self, order: Order) -> None:
        from train.synth.anatomy import BodyModel
        from train.synth.mocap import MotionLibrary

        self.order = order
        self.model = BodyModel.load()
        self.motions = MotionLibrary.open(order.motion) if order.motion else None
        wardrobe = open_wardrobe(self.model)
        self.studio = Studio(
            site=order.mounting.of(find_site(order.site)),
            wardrobe=wardrobe,
            renderer=Renderer(wardrobe, kind=order.renderer),
            photos=load_photos(order.backgrounds) if order.backgrounds else [],
            size_px=order.size_px,
        )

    def render(self, index: int) -> int:
        plans = chunk_plans(self.order, index)
        bodies = iter(
            self.model.sample_bodies(
                sum(plan.people for plan in plans),
                rng=_rng_of(self.order, index, 1),
                motions=self.motions,
            ),
        )
        frames = [
            compose_frame(self.studio, plan, [next(bodies) for _ in range(plan.people)])
            for plan in plans
        ]
        chunk = pack_chunk(frames)
        write_chunk(chunk_path(self.order.out, index), chunk)
        return len(chunk.frame)


_worker: _Worker | None = None


def _start_worker(order: Order) -> None:
    global _worker  # noqa: PLW0603  # a process of the pool has no other place to keep its studio
    begin_work()
    _worker = _Worker(order)


def _render_chunk(index: int) -> int:
    assert _worker is not None
    return _worker.render(index)


def load_photos(folder: Path) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Read all photos below a folder, RGB, made small enough to keep."""
    photos = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in PHOTO_SUFFIXES:
            continue
        photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if photo is None:
            raise SourceError(f"{path} cannot be read as a picture; remove it from the folder.")
        shrink = min(1.0, LONGEST_PHOTO_SIDE_PX / max(photo.shape))
        small = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        photos.append(np.ascontiguousarray(small[:, :, ::-1]))
    if not photos:
        raise SourceError(
            f"{folder} holds no photo ({', '.join(PHOTO_SUFFIXES)}); name another folder for "
            "--backgrounds or leave the option out.",
        )
    return photos
