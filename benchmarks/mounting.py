"""How far off `train mounting` is, on rendered cameras of which it is written how they hang.

In: folders of `train synth --view hall` in each of which all four ranges are one number.  Out: a
row a camera, errors with the interval's ends about the truth, first with true joints, then with
those that the networks see.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from edge_pose.bundle import open_bundle
from edge_pose.errors import SourceError
from train.mounting.estimate import NAMES, Estimate, estimate_mounting
from train.mounting.sightings import Networks, Sightings, look_at_camera
from train.synth.dataset import MANIFEST, read_chunk

_TRUE_SCORE = 0.95
_SQUARE_M = 2.3
"""Side of the square that the network looks at, at the distance of the person."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare estimated mountings with true ones.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    networks = Networks(open_bundle(), threads=arguments.threads)
    for folder in arguments.folders:
        recipe = json.loads((folder / MANIFEST).read_text())
        true = np.array([recipe[name][0] for name in NAMES])
        print(folder.name, recipe["site"], dict(zip(NAMES, true.tolist(), strict=True)), flush=True)
        sets = {
            "true joints": true_sightings(folder),
            "as seen": look_at_camera(folder, networks, every=1, most=400),
        }
        for kind, seen in sets.items():
            print(_row_or_reason(seen, kind, true, arguments.replicates), flush=True)


def _row_or_reason(seen: Sightings, kind: str, true: np.ndarray, replicates: int) -> str:
    try:
        return row(estimate_mounting(seen, kind, replicates=replicates), true)
    except SourceError as error:
        return f"  {error}"


def true_sightings(folder: Path) -> Sightings:
    """Read the true joints as if they had been seen."""
    chunks = [read_chunk(path) for path in sorted(folder.glob("chunk-*.npz"))]
    joints_px = np.concatenate([chunk.joints_px for chunk in chunks]).astype(np.float64)
    joints_m = np.concatenate([chunk.joints_m for chunk in chunks]).astype(np.float64)
    focal_px = np.concatenate([chunk.camera_matrix[chunk.frame, 0, 0] for chunk in chunks])
    starts = np.cumsum([0, *map(len, chunks)])
    frames = [chunk.frame + start for chunk, start in zip(chunks, starts, strict=False)]
    width, height = chunks[0].size[0]
    return Sightings(
        joints_px=joints_px,
        joints_m=joints_m,
        scores=np.full(joints_px.shape[:2], _TRUE_SCORE),
        side_px=_SQUARE_M * focal_px / joints_m[:, :, 2].mean(axis=1),
        frame=np.concatenate(frames).astype(np.float64),
        pictures=int(starts[-1]),
        width_px=int(width),
        height_px=int(height),
    )


def row(found: Estimate, true: np.ndarray) -> str:
    """Say how far off each number is; a star where the interval misses the truth."""
    cells = [
        f"{name} {value - truth:+.2f} [{low - truth:+.2f}, {high - truth:+.2f}]"
        + ("" if low <= truth <= high else " *")
        for name, value, low, high, truth in zip(
            NAMES, found.value, found.low, found.high, true, strict=True
        )
    ]
    return f"  {found.source} ({found.standing} stand): " + ", ".join(cells)


if __name__ == "__main__":
    main()
