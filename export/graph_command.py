"""`python -m export graph`: write the ONNX files and golden pictures that a bundle is packed from.

In: run folders of `train student` and `train detector` (published weights where none is given), a
calibration from `train evaluate --fit-scores`, and a rendered folder for the golden pictures.  Out:
`detector.onnx`, `pose.onnx` and `golden.npz` in one folder.
"""

import argparse
import json
from pathlib import Path
from typing import Final

import numpy as np

from edge_pose import skeleton
from edge_pose.crop import letterbox
from edge_pose.region import region_of_body
from export.graph import export_detector, export_pose
from train import ensemble
from train.begin import student_from
from train.calibrate import identity
from train.detector import DetectorNet
from train.detector_command import load_detector
from train.pose_augment import cut_crop
from train.pose_data import RenderedPeople
from train.ssd import INPUT_PX, PAD_VALUE
from train.synth.dataset import read_chunk

_GOLDEN_CROPS: Final = 4
_GOLDEN_FRAMES: Final = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--student", type=Path, required=True, help="run folder of train student")
    parser.add_argument(
        "--detector", type=Path, help="run folder of train detector; published weights if left out"
    )
    parser.add_argument("--calibration", type=Path, help="from train evaluate --fit-scores")
    parser.add_argument("--rendered", type=Path, required=True, help="folder for golden pictures")
    ensemble.add_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")


def main(arguments: argparse.Namespace) -> None:
    """Write the networks and the golden pictures."""
    calibration = identity(skeleton.NUM_JOINTS).table()
    if arguments.calibration is not None:
        calibration = json.loads(arguments.calibration.read_text())
    network = ensemble.from_options(student_from(arguments.student), arguments).cpu()
    export_pose(network, calibration, arguments.out / "pose.onnx")
    run = arguments.detector
    detector = DetectorNet() if run is None else load_detector(run)
    export_detector(detector, arguments.out / "detector.onnx")
    pictures = golden_pictures(arguments.rendered)
    np.savez_compressed(arguments.out / "golden.npz", allow_pickle=False, **pictures)


def golden_pictures(rendered: Path) -> dict[str, np.ndarray]:
    """Choose crops and frames of rendered people, which nobody has rights in but us, BGR.

    By the network that is to see them.
    """
    people = RenderedPeople(rendered)
    step = max(len(people) // _GOLDEN_CROPS, 1)
    chosen = [people.person(number * step) for number in range(_GOLDEN_CROPS)]
    crops = [
        cut_crop(person, region_of_body(person.reach_px)).image[::-1].transpose(1, 2, 0)
        for person in chosen
    ]
    chunk = read_chunk(min(rendered.glob("chunk-*.npz")))
    crowds = np.argsort(-np.bincount(chunk.frame, minlength=len(chunk)), kind="stable")
    frames = [
        letterbox(
            np.ascontiguousarray(chunk.image(int(frame))[:, :, ::-1]),
            width_px=INPUT_PX,
            height_px=INPUT_PX,
            pad_value=PAD_VALUE,
        ).image
        for frame in crowds[:_GOLDEN_FRAMES]
    ]
    return {
        "pose": np.ascontiguousarray(np.stack(crops)),
        "detector": np.stack(frames),
    }
