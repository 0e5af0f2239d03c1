"""Where people stand, in metres: how far the root, absolute joints and the size of bodies are off.

    python -m benchmarks.placing --rendered OTHER DOCK [--desk DIR] [--bundle BUNDLE] [--most 300]

In: folders of `train synth`, the unpacked desk sessions, a bundle.  Out: a Markdown table, for each
folder a row with the camera known and one with it assumed, as for a picture of which only the size
is known; means with 95 % bootstrap intervals.  Only whole pictures count: a window cut out of one
has its axis elsewhere than a camera can have.  At the desk the middle of the shoulders stands for
the pelvis, which nobody sees there, and bones are those between joints that the reference has.
Squares are known and each picture stands alone, so what the tracker learns of a body from frame to
frame is not in it.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from jaxtyping import Bool, Float

from benchmarks import adapted_desk, rivals
from edge_pose.bundle import open_bundle, packaged
from edge_pose.camera import assume
from edge_pose.crop import take_crop
from edge_pose.decode import decode_poses
from edge_pose.errors import EdgePoseError
from edge_pose.inference import normalise
from edge_pose.manifest import Manifest
from edge_pose.metric import root_translation
from edge_pose.region import region_of_body
from edge_pose.skeleton import EDGES, INDEX, ROOT
from edge_pose.types import Crop, Intrinsics
from train import desk
from train.confidence import bootstrap_mean, markdown_table
from train.holdout import open_network
from train.pose_augment import Person
from train.pose_data import RenderedPeople

_OFF_AXIS_PX: Final = 1.0
_SHOULDERS: Final = (INDEX["left_shoulder"], INDEX["right_shoulder"])
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
    """(said - true) / true, of the pelvis, or what stands for it, along the camera's axis."""
    across_m: float
    joints_m: Float[np.ndarray, "joints"]
    bones_share: float
    """Of the sum of all bones."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.placing", description=__doc__)
    parser.add_argument("--rendered", type=Path, nargs="*", default=[])
    parser.add_argument("--desk", type=Path, help="the unpacked desk sessions")
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
        if arguments.desk is not None:
            scene = adapted_desk.scene_of(desk.read_sessions(arguments.desk), rivals.prepare())
            rows.append(row_of("desk", "known", placed_at(scene, session, bundle.manifest)))
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
    crop = take_crop(
        person.image, region_of_body(person.reach_px), side_px=manifest.networks.pose.width_px
    )
    height, width = person.image.shape[:2]
    known = Intrinsics(matrix=person.camera_matrix, width_px=width, height_px=height, assumed=False)
    everything = np.ones(len(person.joints_m), bool)
    return {
        camera: placing_of(
            absolute_m(crop, intrinsics, session, manifest), person.joints_m, everything
        )
        for camera, intrinsics in (("known", known), ("assumed", assume(width, height)))
    }


def placed_at(
    scene: adapted_desk.Scene, session: onnxruntime.InferenceSession, manifest: Manifest
) -> list[Placing]:
    """Place the man at the desk, as each calibrated camera sees him."""
    crops = [(crop, look.intrinsics) for look in scene.looks for crop in look.crops]
    truth = scene.truth
    return [
        placing_of(absolute_m(crop, intrinsics, session, manifest), true_m, counted)
        for (crop, intrinsics), true_m, counted in zip(
            crops, truth.joints_m, truth.counted, strict=True
        )
        if counted[list(_SHOULDERS)].all()
    ]


def absolute_m(
    crop: Crop, intrinsics: Intrinsics, session: onnxruntime.InferenceSession, manifest: Manifest
) -> Float[np.ndarray, "joints 3"]:
    """Look at one crop and place what is seen, nothing being known beforehand."""
    spec = manifest.networks.pose
    names = [output.name for output in session.get_outputs()]
    answers = session.run(names, {spec.input.name: normalise([crop.image], spec.input)})
    outputs = dict(zip(names, answers, strict=True))
    (pose,) = decode_poses(outputs, [crop], intrinsics, reach=manifest.crop.reach)
    return pose.joints_m + root_translation(
        pose.joints_m, pose.joints_px, pose.scores, intrinsics, expected_depth_m=None
    )


def placing_of(
    said_m: Float[np.ndarray, "joints 3"],
    true_m: Float[np.ndarray, "joints 3"],
    counted: Bool[np.ndarray, "joints"],
) -> Placing:
    """Compare joints in camera axes, those that count."""
    middle = [ROOT] if counted[ROOT] else list(_SHOULDERS)
    true_middle_m = true_m[middle].mean(0)
    away_m = said_m[middle].mean(0) - true_middle_m
    said, true = (
        sum(
            float(np.linalg.norm(joints_m[a] - joints_m[b]))
            for a, b in EDGES
            if counted[a] and counted[b]
        )
        for joints_m in (said_m, true_m)
    )
    return Placing(
        depth_share=float(away_m[2] / true_middle_m[2]),
        across_m=float(np.linalg.norm(away_m[:2])),
        joints_m=np.where(counted, np.linalg.norm(said_m - true_m, axis=1), np.nan),
        bones_share=said / true - 1 if true else np.nan,
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
