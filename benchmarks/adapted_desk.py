"""How far adapted networks are off on the four-camera desk session, all in the same squares.

    python -m benchmarks.adapted_desk --data DIR --runs OUT [OUT2 …] [--student RUN …] [--published]

In: the unpacked sessions of `benchmarks.desk`; folders made by `python -m train adapt`; runs of
`train student`, or bundles.  Out: Markdown tables, a row a method and a row a seed.

Reference, joints and root are those of `benchmarks.desk`.  A square is not the network's own but
known: where MediaPipe heavy, the reference's teacher, saw hips and body in that very picture, but
for squares that cannot be right.  So networks are compared and not detectors; and every student
answers by regression alone, without the heat maps that sharpen what ships.  A joint counts if the
reference has it inside picture and square; a picture, if three do.

The change is against `source_only` of the same folder and the same seeds, whose errors are averaged
first; its interval is a 95 % bootstrap over whole seconds and knows nothing of seeds.  For these
stands ±, their standard deviation.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import nn
from tqdm import tqdm

from benchmarks import rivals
from benchmarks.clip_poses import ClipPoses
from benchmarks.desk import CACHE, Truth, measure, reference_of, truth_by_others, truth_of
from edge_pose.crop import take_crop
from edge_pose.decode import decode_poses
from edge_pose.errors import ConfigError, EdgePoseError, SourceError
from edge_pose.region import REACH, Region, region_of_body
from edge_pose.skeleton import INDEX, NUM_JOINTS
from edge_pose.types import Crop, Intrinsics
from train import desk, run_recipe
from train.adapt_stage import RECORD
from train.checkpoint import WORDS
from train.confidence import LEVEL, RESAMPLES, Interval, markdown_table
from train.domain_errors import ALIGNED, FLAT, POSITION
from train.fit import averaged
from train.metrics import mean_error
from train.mim_run import NETWORKS, STUDENT
from train.reach import reach_of
from train.report_results import SOURCE_ONLY
from train.student import INPUT_SIZE_PX, LANDMARKS
from train.workflow_stages import new_network

FEWEST_JOINTS: Final = 3
STEEPEST_RAD: Final = math.pi / 4
"""The man sat upright.  Of 320 squares 303 are turned by less than 30 degrees; 17 by 76 to 167,
where the teacher mistook his arms, or what stood on the desk, for the lower half of him.
"""
AT_ONCE: Final = 16
ALONE: Final = "-"
"""In the place of an adaptation's folder: a network that belongs to none."""

Errors = Mapping[str, Float[np.ndarray, "pictures joints"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A trained network and its place in the tables."""

    out: str
    """The folder of its adaptation, or `ALONE`."""
    method: str
    seed: int | None
    folder: Path | None
    """None: as it was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one camera shows of the man in known squares."""

    intrinsics: Intrinsics
    crops: tuple[Crop, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All cameras' looks, one after another, and the truth, a row a crop."""

    looks: tuple[Look, ...]
    sides_px: Float64[np.ndarray, "pictures"]
    truth: Truth


def runs_of(out: Path) -> list[Run]:
    """List the second stages of an adaptation, all finished."""
    folders = sorted(path.parent for path in (out / "second").glob(f"*/{RECORD}"))
    if not folders:
        raise ConfigError(
            f"{out} holds no second stage of an adaptation: there is no second/NAME-seedS/{RECORD} "
            "in it; name the --out folder of `python -m train adapt`"
        )
    runs = []
    for folder in folders:
        recipe, words = run_recipe.read(folder), folder / WORDS
        missing = [key for key in ("variant", "seed", "network") if key not in recipe]
        if missing:
            raise ConfigError(
                f"{folder / run_recipe.RECIPE} names no {missing[0]}, wanted one as `train adapt` "
                "writes it; move that folder out of the way, or adapt again"
            )
        said = json.loads(words.read_text()) if words.is_file() else {"step": 0, "steps": "all"}
        if said["step"] != said["steps"]:
            raise ConfigError(
                f"the run in {folder} has taken {said['step']} of {said['steps']} steps and would "
                "be measured half trained; start its `train adapt` again and let it end"
            )
        runs.append(
            Run(out=str(out), method=recipe["variant"], seed=int(recipe["seed"]), folder=folder)
        )
    return runs


def network_of(run: Run) -> nn.Module:
    """Build the network of a run, averaged and ready to answer."""
    if run.folder is None or run.out == ALONE:
        return new_network(STUDENT, run.folder).eval()
    name = run_recipe.read(run.folder)["network"]
    if name not in NETWORKS:
        raise ConfigError(
            f"{run.folder / run_recipe.RECIPE} says network = {name}, wanted one of "
            f"{', '.join(NETWORKS)}; adapt again with this version"
        )
    network = new_network(name, run.folder if name == STUDENT else None)
    unknown = network.load_state_dict(averaged(run.folder), strict=False).unexpected_keys
    if unknown:
        raise ConfigError(
            f"the run in {run.folder} trained {unknown[0]}, which the network {name} does not "
            "have; measure it with the version that trained it"
        )
    return network.eval()


def square_of(
    seen_px: Float64[np.ndarray, "joints 2"], seen_m: Float64[np.ndarray, "joints 3"]
) -> Region:
    """Return the square about a body that MediaPipe saw; joints it does not offer are derived."""
    place = {landmark: INDEX[name] for name, landmark in rivals.LANDMARKS.items()}
    shares = np.zeros((NUM_JOINTS, NUM_JOINTS))
    for name, parts in LANDMARKS.items():
        for landmark, share in parts.items():
            shares[INDEX[name], place[landmark]] = share
    whole_px, whole_m = (shares @ np.nan_to_num(seen) for seen in (seen_px, seen_m))
    return region_of_body(reach_of(whole_px.astype(np.float32), whole_m.astype(np.float32)))


def held_by(
    region: Region, joints_px: Float64[np.ndarray, "joints 2"]
) -> Bool[np.ndarray, "joints"]:
    """Tell which known joints lie in a square; none, where it is turned as no body was."""
    if abs(region.turn_rad) > STEEPEST_RAD:
        return np.zeros(len(joints_px), np.bool_)
    affine = region.image_from_region(INPUT_SIZE_PX)
    within = (joints_px - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T
    return np.asarray(((within >= 0) & (within <= INPUT_SIZE_PX - 1)).all(axis=1))


def intrinsics_of(view: desk.View) -> Intrinsics:
    """Describe the lens for the upright picture; what is tangential in it turns like an arrow."""
    k1, k2, p1, p2, k3 = view.camera.distortion
    p2, p1 = desk.upright_from_stored(view)[:2, :2] @ (p2, p1)
    width_px, height_px = desk.turned_size(view)
    return Intrinsics(
        matrix=desk.upright_matrix(view),
        width_px=width_px,
        height_px=height_px,
        assumed=False,
        distortion=np.array([k1, k2, p1, p2, k3]),
    )


def scene_of(sessions: list[desk.Session], interpreter: Path, *, by_others: bool = False) -> Scene:
    """Cut every square that the teacher knows and that shows enough of the reference.

    `by_others`: in each camera, of what the other cameras agree on (`truth_by_others`).
    """
    if by_others:
        truth = truth_by_others(sessions, interpreter)
    else:
        truth = truth_of(sessions, [reference_of(session, interpreter) for session in sessions])
    looks, sides_px, rows, counted = [], [], [], []
    first = 0
    for frames, view in [(session.frames, view) for session in sessions for view in session.views]:
        clip = desk.upright_clip(view, CACHE)
        seen = rivals.watch_cached(interpreter, clip, "heavy", anew=True)
        crops = []
        for number, image in enumerate(_pictures(clip)):
            if not seen.found[number]:
                continue
            row = first + number
            region = square_of(seen.joints_px[number], seen.joints_m[number])
            inside = truth.counted[row] & held_by(region, truth.joints_px[row])
            if inside.sum() >= FEWEST_JOINTS:
                crops.append(take_crop(image, region))
                sides_px.append(region.side_px)
                rows.append(row)
                counted.append(inside)
        looks.append(Look(intrinsics=intrinsics_of(view), crops=tuple(crops)))
        first += frames
    if not rows:
        raise SourceError(
            f"none of {first} pictures shows {FEWEST_JOINTS} joints of the reference in a square, "
            "wanted some hundred; `python -m benchmarks.desk` says how good the reference is"
        )
    return Scene(
        looks=tuple(looks),
        sides_px=np.array(sides_px),
        truth=Truth(
            joints_m=truth.joints_m[rows],
            joints_px=truth.joints_px[rows],
            counted=np.stack(counted),
            seconds=truth.seconds[rows],
        ),
    )


@torch.no_grad()
def poses_of(network: nn.Module, looks: Sequence[Look]) -> ClipPoses:
    """Let a network answer every crop; turn its joints from the crop's ray to the camera's axes."""
    device = next(network.parameters()).device
    poses = []
    for look in looks:
        for first in range(0, len(look.crops), AT_ONCE):
            crops = look.crops[first : first + AT_ONCE]
            bgr = torch.from_numpy(np.stack([crop.image for crop in crops]))
            answer = network(bgr.flip(-1).permute(0, 3, 1, 2).to(device).float() / 255)
            answer["scores"] = answer["score_logits"].sigmoid()
            answer["presence"] = answer["presence_logits"].sigmoid()
            outputs = {name: value.cpu().numpy() for name, value in answer.items()}
            poses += decode_poses(outputs, crops, look.intrinsics, reach=REACH)
    return ClipPoses(
        found=np.ones(len(poses), np.bool_),
        joints_px=np.stack([pose.joints_px for pose in poses]).astype(np.float64),
        joints_m=np.stack([pose.joints_m for pose in poses]).astype(np.float64),
        scores=np.stack([pose.scores for pose in poses]).astype(np.float64),
    )


def errors_of(poses: ClipPoses, scene: Scene) -> Errors:
    """Measure answers by the desk's rules, 2D in % of the square's side."""
    found = measure([poses], scene.truth)
    return {
        POSITION: found.rooted_mm,
        ALIGNED: found.aligned_mm,
        FLAT: found.picture_px / scene.sides_px[:, None] * 100,
    }


def change_percent(
    ours: Float[np.ndarray, "pictures joints"],
    theirs: Float[np.ndarray, "pictures joints"],
    seconds: Int[np.ndarray, "pictures"],
) -> Interval:
    """Tell by how many % our mean error differs from theirs; seconds are redrawn for both."""
    known = np.isfinite(ours) & np.isfinite(theirs)
    names, place = np.unique(seconds[known.any(axis=1)], return_inverse=True)
    mine, other = (
        np.bincount(place, weights=np.where(known, errors, 0).sum(axis=1)[known.any(axis=1)])
        for errors in (ours, theirs)
    )
    count = len(names)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    changes = 100 * (drawn @ mine) / (drawn @ other) - 100
    low, high = np.quantile(changes, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = 100 * float(mine.sum() / other.sum()) - 100
    return Interval(
        mean=mean, low=float(low), high=float(high), groups=count, measured=int(known.sum())
    )


def method_table(found: Mapping[Run, Errors], seconds: Int[np.ndarray, "pictures"]) -> str:
    """Write a row a method: mean and deviation of its seeds, and the change to `source_only`."""
    methods: dict[tuple[str, str], dict[int | None, Errors]] = {}
    for run, errors in found.items():
        methods.setdefault((run.out, run.method), {})[run.seed] = errors
    rows = []
    for (out, method), seeds in methods.items():
        plain = {} if method == SOURCE_ONLY else methods.get((out, SOURCE_ONLY), {})
        shared = [seed for seed in seeds if seed in plain]
        cells = []
        for metric in (POSITION, ALIGNED, FLAT):
            means = [mean_error(errors[metric]) for errors in seeds.values()]
            spread = f" ± {np.std(means, ddof=1):.2f}" if len(means) > 1 else ""
            change = "-"
            if shared:
                ours, theirs = (
                    np.mean([of_seed[seed][metric] for seed in shared], axis=0)
                    for of_seed in (seeds, plain)
                )
                change = change_percent(ours, theirs, seconds).text()
            cells += [f"{np.mean(means):.2f}{spread}", change]
        rows.append((out, method, str(len(seeds)), *cells))
    heads = [head for metric in (POSITION, ALIGNED, FLAT) for head in (metric, "change %")]
    return markdown_table(("runs", "method", "seeds", *heads), rows)


def seed_table(found: Mapping[Run, Errors]) -> str:
    """Write a row a network."""
    rows = [
        (
            run.out,
            run.method,
            "-" if run.seed is None else str(run.seed),
            *(f"{mean_error(errors[metric]):.2f}" for metric in (POSITION, ALIGNED, FLAT)),
        )
        for run, errors in found.items()
    ]
    return markdown_table(("runs", "method", "seed", POSITION, ALIGNED, FLAT), rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapted_desk", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the unpacked sessions")
    parser.add_argument(
        "--runs", type=Path, nargs="+", default=[], metavar="OUT", help="made by train adapt"
    )
    parser.add_argument(
        "--student", type=Path, nargs="+", default=[], help="runs of train student, or bundles"
    )
    parser.add_argument("--published", action="store_true", help="also the student as published")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    paths = [*arguments.student, *([None] if arguments.published else [])]
    try:
        runs = [run for out in arguments.runs for run in runs_of(out)]
        runs += [
            Run(
                out=ALONE, method="published" if path is None else str(path), seed=None, folder=path
            )
            for path in paths
        ]
        if not runs:
            raise ConfigError(
                "there is no network to measure; name --runs, --student or --published"
            )
        scene = scene_of(desk.read_sessions(arguments.data), rivals.prepare())
        found = {
            run: errors_of(poses_of(network_of(run), scene.looks), scene)
            for run in tqdm(runs, unit="network", file=sys.stderr)
        }
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    seconds, joints = scene.truth.seconds, scene.truth.counted.sum()
    print(f"{len(seconds)} pictures of {len(np.unique(seconds))} seconds, {joints} joints\n")
    print(f"{method_table(found, seconds)}\n\n{seed_table(found)}")
    return 0


def _pictures(clip: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(clip))
    while True:
        found, image = capture.read()
        if not found:
            break
        yield image
    capture.release()


if __name__ == "__main__":
    sys.exit(main())
