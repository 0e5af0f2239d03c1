"""What a pose network says about people it was not trained on, as plain arrays.

In: a pose network and a locator as ONNX (what ships is what is measured) and labelled people.  Out:
`Predictions` beside the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from jaxtyping import Bool, Float32

from edge_pose.crop import apply_affine, take_locator_crop
from edge_pose.decode import decode_region
from edge_pose.region import REACH, Region, region_of_body, region_of_box
from train.locator import INPUT_PX as LOCATOR_PX
from train.pose_augment import Person, TrainingCrop, cut_crop
from train.pose_data import People
from train.student import INPUT_SIZE_PX

_BATCH: Final = 16
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


def predict(
    network: Path, locator: Path, people: People, indices: Sequence[int], *, threads: int
) -> Predictions:
    """Look at the people named by `indices` as the appliance does at somebody new."""
    pose, locate = _session(network, threads), _session(locator, threads)

    def look(crops: Sequence[TrainingCrop]) -> list[np.ndarray]:
        images = np.stack([crop.image for crop in crops]).astype(np.float32) / 255
        return pose.run(list(_OUTPUTS), {"image": images})

    answers: list[list[np.ndarray]] = []
    truths: list[TrainingCrop] = []
    for first in range(0, len(indices), _BATCH):
        batch = [people.person(index) for index in indices[first : first + _BATCH]]
        regions = [_locate(locate, person) for person in batch]
        for index, region in enumerate(regions):
            if region is None:
                box = region_of_box(batch[index].box_px)
                (points_px,) = look([cut_crop(batch[index], box)])[-1]
                affine = box.image_from_region(INPUT_SIZE_PX)
                regions[index] = region_of_body(apply_affine(affine, points_px))
        bodies = [region for region in regions if region is not None]
        crops = list(map(cut_crop, batch, bodies))
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


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _locate(session: onnxruntime.InferenceSession, person: Person) -> Region | None:
    crop = take_locator_crop(person.image, person.box_px, side_px=LOCATOR_PX)
    planes = crop.image[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    points_px, scores = session.run(["points_px", "scores"], {"image": planes / 127.5 - 1})
    outputs = {"points_px": points_px, "scores": scores}
    return decode_region(outputs, crop, person.box_px, reach=REACH)
