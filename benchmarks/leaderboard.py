"""Our tiers beside MediaPipe's three networks, on every set that none of them was trained on.

    python -m benchmarks.leaderboard --rendered OTHER DOCK --real LABELS … --desk DIR [--by-others]
        [--covered]

In: folders of `train synth` and `train label` (of these the groups held out), the unpacked desk
sessions, bundles.  Out: a Markdown table, a row a network and a column a set, with 95 % bootstrap
intervals.  Everybody sees the same squares, so networks are compared and not who finds people;
`python -m benchmarks.desk` and `benchmarks.rivals` compare whole systems.

Ours is what a bundle ships.  MediaPipe's networks are its published weights in our own graph, with
heat maps that sharpen: what they say of 25 joints is a fixed sum of what they say of their 33.
With `--covered` every person is shown once more with something before them (`train.boards`).
Real labels are the heavy network's own opinion, so that in 2D `heavy` marks its own homework; at
the desk it does not with `--by-others`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks import adapted_desk, rivals
from edge_pose.bundle import open_bundle, packaged
from edge_pose.config import Tier
from edge_pose.errors import EdgePoseError
from edge_pose.skeleton import NUM_JOINTS
from export.graph import export_pose
from train import desk
from train.calibrate import identity
from train.confidence import bootstrap_mean, markdown_table
from train.domain_errors import (
    ALIGNED,
    FLAT,
    POSITION,
    batches_of,
    crops_of,
    errors_in,
    errors_of,
)
from train.domains import held_out_domain
from train.holdout import open_network
from train.pose_augment import TrainingCrop, covered
from train.pose_data import People
from train.student import INPUT_SIZE_PX, STARTS, PoseNet

DIGITS: Final = {POSITION: 0, ALIGNED: 0, FLAT: 2}
ROUNDS: Final = 30
_CERTAIN: Final = 1e-6
_FEWEST_HIDDEN: Final = 4
_COVERS_TRIED: Final = 20
_SURE: Final = ("scores", "presence")
_SAID: Final = ("joints_px", "joints_m", "reach_px", *_SURE)

Errors = Mapping[str, Float[np.ndarray, "people joints"]]


class Shipped(nn.Module):
    """The pose network of a bundle, asked like one of the workshop."""

    def __init__(self, graph: Path) -> None:
        """Open the file."""
        super().__init__()
        self._session = open_network(graph, threads=1)
        self.here = nn.Parameter(torch.zeros(()))
        """Tells on which device pictures are wanted."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Answer pictures [batch, 3, 256, 256]; probabilities become logits again."""
        said = self._session.run(list(_SAID), {"image": image.numpy()})
        answer = {name: torch.from_numpy(value) for name, value in zip(_SAID, said, strict=True)}
        scores, presence = (answer.pop(name).logit(_CERTAIN) for name in _SURE)
        return {**answer, "score_logits": scores, "presence_logits": presence}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A network of the table, and the file that would be run."""

    name: str
    network: nn.Module
    graph: Path


def entries_of(bundles: Sequence[Path], folder: Path) -> list[Entry]:
    """Our bundles, then what MediaPipe publishes, written to files below `folder`."""
    entries = []
    for path in bundles:
        graph = open_bundle(path).path_of("pose")
        entries.append(Entry(name=path.name, network=Shipped(graph), graph=graph))
    for start in STARTS:
        graph = folder / f"{start}.onnx"
        export_pose(PoseNet(start), identity(NUM_JOINTS).table(), graph)
        entries.append(Entry(name=f"MediaPipe {start}", network=Shipped(graph), graph=graph))
    return entries


def rows_of(
    names: Sequence[str],
    found: Mapping[str, Sequence[Errors]],
    times: Mapping[str, tuple[str, ...]],
) -> str:
    """Write the table: each set's metrics under its name, then time and size."""
    first = next(iter(found.values()))
    heads = [
        f"{name}: {metric}" for name, errors in zip(names, first, strict=True) for metric in errors
    ]
    rows = []
    for entry, sets in found.items():
        cells = [
            bootstrap_mean(errors).text(DIGITS[metric])
            for of_set in sets
            for metric, errors in of_set.items()
        ]
        rows.append((entry, *cells, *times[entry]))
    return markdown_table(("network", *heads, "ms, 1 thread", "ms, 2 threads", "MB"), rows)


def times_of(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    """Time all networks in turn on ONNX Runtime; the least of many rounds, and the file's size."""
    image = np.random.default_rng(0).random((1, 3, INPUT_SIZE_PX, INPUT_SIZE_PX), np.float32)
    sessions = {
        (entry.name, threads): open_network(entry.graph, threads=threads)
        for entry in entries
        for threads in (1, 2)
    }
    least = dict.fromkeys(sessions, float("inf"))
    for _ in range(ROUNDS):
        for key, session in sessions.items():
            begin = time.perf_counter()
            session.run(None, {"image": image})
            least[key] = min(least[key], 1e3 * (time.perf_counter() - begin))
    return {
        entry.name: (
            f"{least[entry.name, 1]:.1f}",
            f"{least[entry.name, 2]:.1f}",
            f"{entry.graph.stat().st_size / 1e6:.1f}",
        )
        for entry in entries
    }


def covered_crops(people: People, most: int) -> list[TrainingCrop]:
    """Cut people as `errors_in` does and put something before each, the same for every network.

    Whom a first try hides nothing of, or too much, is tried again; who cannot be covered is left.
    """
    found = []
    for number, crop in enumerate(crops_of(people, most=most)):
        rng = np.random.default_rng(number)
        for _ in range(_COVERS_TRIED):
            tried = covered(crop, rng)
            if crop.visible.sum() - tried.visible.sum() >= _FEWEST_HIDDEN:
                found.append(tried)
                break
    return found


def table_of(entries: Sequence[Entry], arguments: argparse.Namespace) -> str:
    """Measure every network on every set, and time them all."""
    domains = [held_out_domain(path) for path in (*arguments.rendered, *arguments.real)]
    names = [domain.name for domain in domains]
    half_hidden = []
    if arguments.covered:
        names += [f"{name}, covered" for name in names]
        half_hidden = [covered_crops(domain.people, arguments.most) for domain in domains]
    scene = None
    if arguments.desk is not None:
        sessions = desk.read_sessions(arguments.desk)
        scene = adapted_desk.scene_of(sessions, rivals.prepare(), by_others=arguments.by_others)
        names.append("desk, by other cameras" if arguments.by_others else "desk")
    found: dict[str, list[Errors]] = {}
    for entry in tqdm(entries, unit="network", file=sys.stderr):
        found[entry.name] = [
            errors_in(entry.network, domain, most=arguments.most) for domain in domains
        ]
        found[entry.name] += [
            errors_of(entry.network, batches_of(crops, torch.device("cpu")))
            for crops in half_hidden
        ]
        if scene is not None:
            poses = adapted_desk.poses_of(entry.network, scene.looks)
            found[entry.name].append(adapted_desk.errors_of(poses, scene))
    return rows_of(names, found, times_of(entries))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaderboard", description=__doc__)
    parser.add_argument("--rendered", type=Path, nargs="*", default=[], help="by train synth")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="by train label")
    parser.add_argument("--desk", type=Path, help="folder of the unpacked desk sessions")
    parser.add_argument(
        "--by-others",
        action="store_true",
        help="at the desk, judge each camera by what the other ones see",
    )
    parser.add_argument(
        "--covered",
        action="store_true",
        help="show everybody once more with something before them",
    )
    parser.add_argument("--bundles", type=Path, nargs="*", help="in the place of those that ship")
    parser.add_argument("--most", type=int, default=500, help="people taken from each set")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundles = arguments.bundles or [packaged(tier) for tier in get_args(Tier)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(table_of(entries_of(bundles, Path(folder)), arguments))
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
