"""Where people stand, in metres: how far the root, absolute joints and the size of bodies are off.

    python -m benchmarks.placing --rendered OTHER DOCK [--bundle BUNDLE] [--most 300]

In: folders of `train synth`, a bundle.  Out: a Markdown table, for each folder a row with the
camera known and one with it assumed, as for a picture of which only the size is known; means with
95 % bootstrap intervals.  Only whole pictures count: a window cut out of one has its axis elsewhere
than a camera can have.  Squares are known and each picture stands alone, so what the tracker learns
of a body from frame to frame is not in it.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from jaxtyping import Float

from edge_pose.bundle import open_bundle, packaged
from edge_pose.camera import assume
from edge_pose.crop import take_crop
from edge_pose.decode import decode_poses
from edge_pose.errors import EdgePoseError
from edge_pose.inference import normalise
from edge_pose.manifest import Manifest
from edge_pose.metric import root_translation
from edge_pose.region import region_of_body
from edge_pose.skeleton import EDGES, ROOT
from edge_pose.types import Intrinsics
from train.confidence import bootstrap_mean, markdown_table
from train.holdout import open_network
from train.pose_augment import Person
from train.pose_data import RenderedPeople

_OFF_AXIS_PX: Final = 1.0
HEAD: Final = (
    "folder",
    "camera",
    "people",
    "depth %",
    "depth, nearer (-) or farther %",
    "across mm",
    "absolute joints mm",
    "bones, shorter (-) or longer %",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """How far one person is off."""

    depth_share: float
    """(said - true) / true, of the pelvis along the camera's axis."""
    across_m: float
    joints_m: Float[np.ndarray, "joints"]
    bones_share: float
    """Of the sum of all bones."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.placing", description=__doc__)
    parser.add_argument("--rendered", type=Path, nargs="+", required=True)
    parser.add_argument("--bundle", type=Path, default=packaged())
    parser.add_argument("--most", type=int, default=300, help="people a folder")
    arguments = parser.parse_args(argv)
    try:
        bundle = open_bundle(arguments.bundle)
        session = open_network(bundle.path_of("pose"), threads=1)
        rows = [
            row_of(folder.name, camera, [placings[camera] for placings in found])
            for folder in arguments.rendered
            for found in [list(placed(folder, session, bundle.manifest, most=arguments.most))]
            for camera in ("known", "assumed")
        ]
    except EdgePoseError as error:
        print(f"benchmarks.placing: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown_table(HEAD, rows))
    return 0


def placed(
    folder: Path, session: onnxruntime.InferenceSession, manifest: Manifest, *, most: int
) -> Iterator[Mapping[str, Placing]]:
    """Place people of whole pictures, with the camera known and assumed."""
    people = RenderedPeople(folder)
    left = most
    for index in range(len(people)):
        person = people.person(index)
        if left and is_whole(person):
            left -= 1
            yield place(person, session, manifest)


def is_whole(person: Person) -> bool:
    """Tell whether the camera's axis goes through the middle of the picture."""
    assert person.camera_matrix is not None
    height, width = person.image.shape[:2]
    away_px = person.camera_matrix[:2, 2] - (np.array([width, height]) - 1) / 2
    return bool(np.abs(away_px).max() < _OFF_AXIS_PX)


def place(
    person: Person, session: onnxruntime.InferenceSession, manifest: Manifest
) -> Mapping[str, Placing]:
    """Look at one person as the appliance does, the square known."""
    assert person.camera_matrix is not None
    assert person.joints_m is not None
    spec = manifest.networks.pose
    crop = take_crop(person.image, region_of_body(person.reach_px), side_px=spec.width_px)
    names = [output.name for output in session.get_outputs()]
    answers = session.run(names, {spec.input.name: normalise([crop.image], spec.input)})
    outputs = dict(zip(names, answers, strict=True))
    height, width = person.image.shape[:2]
    known = Intrinsics(matrix=person.camera_matrix, width_px=width, height_px=height, assumed=False)
    found = {}
    for camera, intrinsics in (("known", known), ("assumed", assume(width, height))):
        (pose,) = decode_poses(outputs, [crop], intrinsics, reach=manifest.crop.reach)
        root_m = root_translation(
            pose.joints_m, pose.joints_px, pose.scores, intrinsics, expected_depth_m=None
        )
        found[camera] = placing_of(pose.joints_m + root_m, person.joints_m)
    return found


def placing_of(
    said_m: Float[np.ndarray, "joints 3"], true_m: Float[np.ndarray, "joints 3"]
) -> Placing:
    """Compare joints in camera axes."""
    away_m = (said_m - true_m).astype(np.float64)
    said, true = (
        float(sum(np.linalg.norm(joints_m[a] - joints_m[b]) for a, b in EDGES))
        for joints_m in (said_m, true_m)
    )
    return Placing(
        depth_share=float(away_m[ROOT, 2] / true_m[ROOT, 2]),
        across_m=float(np.linalg.norm(away_m[ROOT, :2])),
        joints_m=np.linalg.norm(away_m, axis=1),
        bones_share=said / true - 1,
    )


def row_of(folder: str, camera: str, found: Sequence[Placing]) -> tuple[str, ...]:
    """Make a row of the table."""

    def mean(values: Sequence[Float[np.ndarray, "..."] | float], scale: float, digits: int) -> str:
        table = scale * np.array(values, np.float64).reshape(len(values), -1)
        return bootstrap_mean(table).text(digits)

    return (
        folder,
        camera,
        str(len(found)),
        mean([abs(one.depth_share) for one in found], 100, 1),
        mean([one.depth_share for one in found], 100, 1),
        mean([one.across_m for one in found], 1000, 0),
        mean([one.joints_m for one in found], 1000, 0),
        mean([one.bones_share for one in found], 100, 1),
    )


if __name__ == "__main__":
    sys.exit(main())
