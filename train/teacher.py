"""Teacher labels for a real picture: who is in it, where their joints are, what is foreground.

In: a `Picture`.  Out: a `LabelledImage` of at most 640 pixels, with labels for the largest people
that pass every rule of `turn_down`, and a count of the reasons for which others did not.

Labels are opinions.  The confidence of a joint is (probability that it is visible) · (agreement
of two opinions), and 0 where the teacher has no such joint (spine, neck, head top), where it lies
outside the picture, or below 0.1.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from edge_pose.skeleton import INDEX, LIMBS_12, NUM_JOINTS
from train.labelled_image import LabelledImage, LabelledPerson, encode_mask, encode_picture
from train.sources import GivenBox, Picture
from train.teacher_people import People, PeopleTeacher, iou
from train.teacher_pose import PoseTeacher, Sighting, reach_of_region
from train.weights import PEOPLE_SSD, POSE_DETECTION, POSE_FULL, POSE_HEAVY, fetch

TEACHERS: Final = {
    model.name: model.sha256 for model in (PEOPLE_SSD, POSE_DETECTION, POSE_FULL, POSE_HEAVY)
}

LANDMARK_OF: Final = {
    "nose": 0,
    "left_eye": 2,
    "right_eye": 5,
    "left_ear": 7,
    "right_ear": 8,
    "left_shoulder": 11,
    "right_shoulder": 12,
    "left_elbow": 13,
    "right_elbow": 14,
    "left_wrist": 15,
    "right_wrist": 16,
    "left_hip": 23,
    "right_hip": 24,
    "left_knee": 25,
    "right_knee": 26,
    "left_ankle": 27,
    "right_ankle": 28,
    "left_heel": 29,
    "right_heel": 30,
    "left_toe": 31,
    "right_toe": 32,
}
"""Which of the teacher's 33 landmarks are joints of ours; the pelvis is the middle of its hips."""

KEPT_SIDE_PX: Final = 640
LEAST_PERSON: Final = 0.7
LEAST_CONFIDENCE: Final = 0.1
SURE: Final = 0.5
LEAST_JOINTS: Final = 7
LEAST_LIMBS: Final = 2
"""A face and two shoulders are enough, as in a portrait."""
SMALLEST_PX: Final = 64
AGREEMENT_FRACTION: Final = 0.03
"""Of the region's side, about 1.25 body heights: so far apart costs 40 % of confidence."""
MOST_APART_FRACTION: Final = 0.035
LEAST_BOX_OVERLAP: Final = 0.3
MASK_MARGIN: Final = 0.3
"""Of the larger side of the box of the sure joints: so far around it the mask is this person's."""
MASK_REACH: Final = 4
"""Within the box of the people teacher, so many times farther: a portrait shows few joints."""
HEAD_MARGIN: Final = 0.5
SAME_PERSON_OKS: Final = 0.5
_SIGMA_OF_PAIRS: Final = (0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089)
OKS_SIGMAS: Final = np.array([0.026, *np.repeat(_SIGMA_OF_PAIRS, 2)])
"""Object keypoint similarity of the COCO keypoint challenge, cocodataset.org/#keypoints-eval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """A sighting in the terms of our skeleton, in pixels of the picture the teacher saw."""

    joints_px: Float32[np.ndarray, "25 2"]
    confidence: Float32[np.ndarray, "25"]
    box_px: Float32[np.ndarray, "4"]
    reach_px: Float32[np.ndarray, "2 2"]
    mask: UInt8[np.ndarray, "height width"]
    person: float
    disagreement_px: float
    disagreement: float
    """The same as a fraction of the region's side."""

    @property
    def quality(self) -> float:
        """One number to rank labels by."""
        agreement = float(np.exp(-0.5 * (self.disagreement / AGREEMENT_FRACTION) ** 2))
        return self.person * agreement


class Teacher:
    """Looks at pictures with the people teacher and the pose teacher."""

    def __init__(self, *, cache: Path, most_people: int = 3) -> None:
        """Fetch the teachers' networks into `cache` and load them."""
        self._people = PeopleTeacher(fetch(PEOPLE_SSD, cache))
        self._pose = PoseTeacher(
            detector=fetch(POSE_DETECTION, cache),
            first=fetch(POSE_FULL, cache),
            final=fetch(POSE_HEAVY, cache),
        )
        self._most_people = most_people

    def label(self, picture: Picture) -> LabelledImage:
        """Label one picture."""
        found = self._people.find(picture.image)
        rejected: Counter[str] = Counter()
        opinions: list[Opinion] = []
        for box_px in _proposals(found, picture.boxes)[: self._most_people]:
            if np.max(box_px[2:] - box_px[:2]) < SMALLEST_PX:
                rejected["small"] += 1
                continue
            sighting = self._pose.see(picture.image, box_px, least_person=SURE)
            if sighting is None:
                rejected["nobody"] += 1
                continue
            opinion = opinion_of(sighting, box_px, picture.image.shape[:2])
            reason = turn_down(opinion, box_px, picture.boxes)
            if reason is None:
                opinions.append(opinion)
            else:
                rejected[reason] += 1
        kept = distinct(opinions)
        rejected["duplicate"] += len(opinions) - len(kept)
        return at_kept_size(picture, found, kept, +rejected)


def opinion_of(
    sighting: Sighting, box_px: Float32[np.ndarray, "4"], shape: tuple[int, int]
) -> Opinion:
    """Translate a sighting of the person in a box to our joints, for a picture (height, width)."""
    height, width = shape
    joints_px = np.zeros((NUM_JOINTS, 2), np.float32)
    confidence = np.zeros(NUM_JOINTS, np.float32)
    side = sighting.region.side_px
    agreement = np.exp(-0.5 * (sighting.apart_px / (AGREEMENT_FRACTION * side)) ** 2)
    inside = np.all(
        (sighting.landmarks_px >= -0.5) & (sighting.landmarks_px <= [width - 0.5, height - 0.5]),
        axis=1,
    )
    sure = np.where(inside, sighting.visibility * agreement, 0)
    for name, landmark in LANDMARK_OF.items():
        joints_px[INDEX[name]] = sighting.landmarks_px[landmark]
        confidence[INDEX[name]] = sure[landmark]
    hips = [INDEX["left_hip"], INDEX["right_hip"]]
    joints_px[INDEX["pelvis"]] = joints_px[hips].mean(axis=0)
    confidence[INDEX["pelvis"]] = confidence[hips].min()
    confidence[confidence < LEAST_CONFIDENCE] = 0
    seen = sighting.visibility > SURE
    apart = float(np.median(sighting.apart_px[seen])) if seen.any() else side
    mask = sighting.mask_in_picture(width, height)
    return Opinion(
        joints_px=joints_px,
        confidence=confidence,
        box_px=_visible_box(joints_px[confidence > SURE], box_px, mask),
        reach_px=reach_of_region(sighting.region),
        mask=mask,
        person=sighting.person,
        disagreement_px=apart,
        disagreement=apart / side,
    )


def turn_down(
    opinion: Opinion, box_px: Float32[np.ndarray, "4"], given: Sequence[GivenBox]
) -> str | None:
    """Return the first rule that the opinion breaks, or None for a good label."""
    if opinion.person < LEAST_PERSON:
        return "nobody"
    sure = opinion.confidence > SURE
    if sure[:17].sum() < LEAST_JOINTS or sure[list(LIMBS_12)].sum() < LEAST_LIMBS:
        return "few joints"
    if opinion.disagreement > MOST_APART_FRACTION:
        return "opinions apart"
    if iou(box_px, opinion.box_px[None])[0] < LEAST_BOX_OVERLAP:
        return "box elsewhere"
    heads = [box.box_px for box in given if box.kind in ("head", "helmet")]
    if heads and not _has_head(opinion, heads):
        return "head elsewhere"
    return None


def distinct(opinions: Sequence[Opinion]) -> list[Opinion]:
    """Keep the best opinion about each person."""
    kept: list[Opinion] = []
    for opinion in sorted(opinions, key=lambda one: -one.quality):
        if all(similarity(opinion, other) < SAME_PERSON_OKS for other in kept):
            kept.append(opinion)
    return kept


def similarity(one: Opinion, other: Opinion) -> float:
    """Return the object keypoint similarity over the COCO joints both opinions are sure of."""
    both = (one.confidence[:17] > SURE) & (other.confidence[:17] > SURE)
    if not both.any():
        return 0.0
    area = float(np.prod(one.box_px[2:] - one.box_px[:2]))
    distance = np.sum((one.joints_px[:17] - other.joints_px[:17])[both] ** 2, axis=1)
    return float(np.mean(np.exp(-distance / (2 * area * (2 * OKS_SIGMAS[both]) ** 2 + 1e-9))))


def _proposals(found: People, given: Sequence[GivenBox]) -> list[Float32[np.ndarray, "4"]]:
    """Return where to look, largest first: the boxes found and those drawn by a person."""
    boxes = list(found.boxes_px)
    for box in given:
        if box.kind == "person" and (
            not boxes or iou(box.box_px, np.stack(boxes)).max() < LEAST_BOX_OVERLAP
        ):
            boxes.append(box.box_px)
    return sorted(boxes, key=lambda box: -float(np.prod(box[2:] - box[:2])))


def _visible_box(
    joints_px: Float32[np.ndarray, "sure 2"],
    box_px: Float32[np.ndarray, "4"],
    mask: UInt8[np.ndarray, "height width"],
) -> Float32[np.ndarray, "4"]:
    """Return the tight box of the sure joints and of the mask near them or in the person's box."""
    if not len(joints_px):
        return np.zeros(4, np.float32)
    low, high = joints_px.min(axis=0), joints_px.max(axis=0)
    margin = MASK_MARGIN * float(np.max(high - low))
    first = np.minimum(low - margin, np.maximum(box_px[:2], low - MASK_REACH * margin))
    last = np.maximum(high + margin, np.minimum(box_px[2:], high + MASK_REACH * margin))
    height, width = mask.shape
    x0, y0 = np.maximum(np.floor(first), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(last) + 1, [width, height]).astype(int)
    rows, columns = np.nonzero(mask[y0:y1, x0:x1] > 127)
    if len(rows):
        low = np.minimum(low, [x0 + columns.min() - 0.5, y0 + rows.min() - 0.5])
        high = np.maximum(high, [x0 + columns.max() + 0.5, y0 + rows.max() + 0.5])
    return np.concatenate([low, high]).astype(np.float32)


def _has_head(opinion: Opinion, heads: Sequence[Float32[np.ndarray, "4"]]) -> bool:
    """Tell whether the face lies in one of the heads that a person drew, or no face is seen."""
    face = list(range(INDEX["nose"], INDEX["right_ear"] + 1))
    weights = opinion.confidence[face]
    if weights.sum() == 0:
        return True
    x, y = np.average(opinion.joints_px[face], axis=0, weights=weights)
    for x0, y0, x1, y1 in heads:
        across, down = HEAD_MARGIN * (x1 - x0), HEAD_MARGIN * (y1 - y0)
        if x0 - across <= x <= x1 + across and y0 - down <= y <= y1 + down:
            return True
    return False


def at_kept_size(
    picture: Picture, found: People, opinions: Sequence[Opinion], rejected: Counter[str]
) -> LabelledImage:
    """Make a picture, and what is said about it, as small as it is kept."""
    height, width = picture.image.shape[:2]
    scale = min(1.0, KEPT_SIDE_PX / max(width, height))
    size = (round(width * scale), round(height * scale))
    ratio = np.array(size) / [width, height]
    image = picture.image
    if scale < 1:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return LabelledImage(
        jpeg=encode_picture(image),
        key=picture.key,
        source=picture.source,
        licence=picture.licence,
        group=picture.group,
        width_px=size[0],
        height_px=size[1],
        people=tuple(_person(opinion, size, ratio) for opinion in opinions),
        detected_px=_scaled(found.boxes_px, np.tile(ratio, 2)),
        detected_scores=found.scores,
        given=tuple(
            GivenBox(kind=box.kind, box_px=_scaled(box.box_px, np.tile(ratio, 2)))
            for box in picture.boxes
        ),
        rejected=rejected,
    )


def _person(
    opinion: Opinion, size: tuple[int, int], ratio: Float64[np.ndarray, "2"]
) -> LabelledPerson:
    mask = cv2.resize(opinion.mask, size, interpolation=cv2.INTER_AREA)
    return LabelledPerson(
        joints_px=_scaled(opinion.joints_px, ratio),
        confidence=opinion.confidence,
        box_px=_scaled(opinion.box_px, np.tile(ratio, 2)),
        reach_px=_scaled(opinion.reach_px, ratio),
        mask_png=encode_mask(np.asarray(mask, np.uint8)),
        quality=opinion.quality,
        disagreement_px=opinion.disagreement_px * float(ratio.mean()),
    )


def _scaled(
    points_px: Float32[np.ndarray, "... axes"], ratio: Float64[np.ndarray, "axes"]
) -> Float32[np.ndarray, "... axes"]:
    """Move points to a resized picture, pixel centres at integers."""
    return ((points_px + 0.5) * ratio - 0.5).astype(np.float32)
