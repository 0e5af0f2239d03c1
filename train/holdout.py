"""What a pose network says about people it was not trained on, as plain arrays.

In: a pose network as ONNX (what ships is what is measured) and labelled people.  Out: `Predictions`
beside the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from jaxtyping import Bool, Float32

from edge_pose.crop import apply_affine
from edge_pose.engines.onnx import WHOLE_SUMS
from edge_pose.errors import ConfigError
from edge_pose.region import FIRST_LOOKS, region_of_body, region_of_box
from train.pose_augment import TrainingCrop, cut_crop
from train.pose_data import People
from train.student import INPUT_SIZE_PX

_BATCH: Final = 16
_ERRORS_ONLY: Final = 3
_OUTPUTS: Final = ("joints_px", "joints_m", "scores", "presence", "reach_px")


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Predictions and truth of the same people: crop pixels, metres in axes of the crop's ray."""

    joints_px: Float32[np.ndarray, "people joints 2"]
    joints_m: Float32[np.ndarray, "people joints 3"]
    scores: Float32[np.ndarray, "people joints"]
    presence: Float32[np.ndarray, "people"]
    true_px: Float32[np.ndarray, "people joints 2"]
    true_m: Float32[np.ndarray, "people joints 3"]
    weight_2d: Float32[np.ndarray, "people joints"]
    visible: Bool[np.ndarray, "people joints"]


def predict(network: Path, people: People, indices: Sequence[int], *, threads: int) -> Predictions:
    """Look at the people named by `indices` as the appliance does at somebody new."""
    pose = open_network(network, threads=threads)

    def look(crops: Sequence[TrainingCrop]) -> list[np.ndarray]:
        images = np.stack([crop.image for crop in crops]).astype(np.float32) / 255
        return pose.run(list(_OUTPUTS), {"image": images})

    answers: list[list[np.ndarray]] = []
    truths: list[TrainingCrop] = []
    for first in range(0, len(indices), _BATCH):
        batch = [people.person(index) for index in indices[first : first + _BATCH]]
        regions = [region_of_box(person.box_px) for person in batch]
        for _ in range(FIRST_LOOKS):
            places = look(list(map(cut_crop, batch, regions)))[-1]
            regions = [
                region_of_body(apply_affine(region.image_from_region(INPUT_SIZE_PX), points_px))
                for region, points_px in zip(regions, places, strict=True)
            ]
        crops = list(map(cut_crop, batch, regions))
        answers.append(look(crops))
        truths += crops
    px, metres, scores, presence, _ = (np.concatenate(a) for a in zip(*answers, strict=True))
    return Predictions(
        joints_px=px,
        joints_m=metres,
        scores=scores,
        presence=presence,
        true_px=np.stack([crop.joints_px for crop in truths]),
        true_m=np.stack([crop.joints_m for crop in truths]),
        weight_2d=np.stack([crop.weight_2d for crop in truths]),
        visible=np.stack([crop.visible for crop in truths]),
    )


def open_network(path: Path, *, threads: int) -> onnxruntime.InferenceSession:
    """Open an ONNX file for the CPU.

    Raises:
        ConfigError: there is no such file.

    """
    if not path.is_file():
        raise ConfigError(f"there is no network {path}; `python -m export graph` makes one")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry(*WHOLE_SUMS)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
