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
import torch
from jaxtyping import Int64
from torch import nn

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
from train.spread import spread
from train.ssd import INPUT_PX, PAD_VALUE
from train.synth.dataset import Chunk, read_chunk

_GOLDEN_CROPS: Final = 4
_GOLDEN_FRAMES: Final = 2
_CANDIDATES: Final = 200
"""People to choose golden crops from."""
_WELL_SEEN: Final = 0.7
"""Of a body, that is in sight."""
_LEAST_SIDE: Final = 0.33
"""Of a frame's shorter side, that somebody large takes up."""


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
    pictures = golden_pictures(arguments.rendered, network)
    np.savez_compressed(arguments.out / "golden.npz", allow_pickle=False, **pictures)


def golden_pictures(rendered: Path, network: nn.Module) -> dict[str, np.ndarray]:
    """Choose crops and frames of rendered people, which nobody has rights in but us, BGR.

    The pose network is sure of its crops: about what it hardly sees each precision has a guess of
    its own, and what it is allowed to differ by would have to be so much that it told nothing.

    Returns:
        By the network that is to see them.

    """
    people = RenderedPeople(rendered)
    crops = []
    for number in spread(len(people), _CANDIDATES):
        person = people.person(number)
        crops.append(cut_crop(person, region_of_body(person.reach_px)).image)
    with torch.no_grad():
        sure = [
            float(network(torch.from_numpy(crop[None]).float() / 255)["score_logits"].mean())
            for crop in crops
        ]
    surest = np.argsort(sure)[: -_GOLDEN_CROPS - 1 : -1]
    chunk = read_chunk(min(rendered.glob("chunk-*.npz")))
    crowds = np.argsort(-_well_seen_in_frames(chunk), kind="stable")
    frames = [
        letterbox(
            np.ascontiguousarray(chunk.image(int(frame))[:, :, ::-1]),
            width_px=INPUT_PX,
            height_px=INPUT_PX,
            pad_value=float(PAD_VALUE),
        ).image
        for frame in crowds[:_GOLDEN_FRAMES]
    ]
    return {
        "pose": np.stack([crops[index][::-1].transpose(1, 2, 0) for index in surest]),
        "detector": np.stack(frames),
    }


def _well_seen_in_frames(chunk: Chunk) -> Int64[np.ndarray, "frames"]:
    """Count those in each frame who are large and hardly covered."""
    sides_px = (chunk.box_px[:, 2:] - chunk.box_px[:, :2]).max(axis=1, initial=0)
    shorter_px = min(chunk.image(0).shape[:2])
    well = (chunk.visible_fraction >= _WELL_SEEN) & (sides_px >= _LEAST_SIDE * shorter_px)
    return np.bincount(chunk.frame[well], minlength=len(chunk))
