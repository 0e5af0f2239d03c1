"""What a pose network says about people it was not trained on, as plain arrays.

In: a pose network as ONNX (what ships is what is measured) and labelled people.  Out: `Predictions`
beside the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from jaxtyping import Bool, Float32

from train.pose_augment import EVALUATION, make_crop
from train.pose_data import People

_BATCH = 16


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
    """Run the network over undisturbed crops of the people named by `indices`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    outputs: list[list[np.ndarray]] = []
    truths = []
    for first in range(0, len(indices), _BATCH):
        crops = [
            make_crop(people.person(index), EVALUATION, rng)
            for index in indices[first : first + _BATCH]
        ]
        images = np.stack([crop.image for crop in crops]).astype(np.float32) / 255
        outputs.append(
            session.run(["joints_px", "joints_m", "scores", "presence"], {"image": images})
        )
        truths += crops
    px, metres, scores, presence = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
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
