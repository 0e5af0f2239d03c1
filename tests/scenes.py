"""A world whose pictures tell where they were taken, and networks that read them.

Red and green of every pixel hold its place in the frame, blue holds who is there.  So the fake
networks find from the pixels of a crop alone which part of the frame it shows, and answer with the
true pose of the person in its middle: exact truth through real crops.  Everything between the frame
and the networks is the real thing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from bundles import BODY_M, MEAN, STD
from edge_pose import skeleton
from edge_pose.engines import Engines
from edge_pose.types import Frame, Intrinsics

REACH_M = 0.87
_FIRST_CODE = 60
_CODE_STEP = 30
_BACKGROUND_CODE = 20
_RIM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody in the world: where the pelvis is, which way they face, how tall."""

    root_m: tuple[float, float, float]
    yaw_deg: float = 0.0
    size: float = 1.0
    unsure: tuple[str, ...] = ()
    """Joints of which the network can only guess the place."""
    squat: float = 0.0
    """Metres by which the upper body is lower than when standing."""
    coat: bool = False
    """Whether this is a coat on a hook: somebody to the detector, nobody to the pose network."""

    @property
    def joints_m(self) -> Float64[np.ndarray, "joints 3"]:
        """Camera axes."""
        body = BODY_M.astype(np.float64) * self.size
        for name in ("left_wrist", "right_wrist", "left_toe", "right_toe", "nose"):
            body[skeleton.INDEX[name], 2] = -0.15 * self.size
        body[body[:, 1] < 0.2, 1] += self.squat
        angle = np.radians(self.yaw_deg)
        turn = np.array(
            [
                [np.cos(angle), 0.0, np.sin(angle)],
                [0.0, 1.0, 0.0],
                [-np.sin(angle), 0.0, np.cos(angle)],
            ]
        )
        body = body @ turn.T
        return body - body[skeleton.ROOT] + np.array(self.root_m)


@dataclass(slots=True)
class World:
    """Who is there now, and the camera that looks; the fake networks ask it for the truth."""

    intrinsics: Intrinsics
    people: Sequence[Person] = ()
    noise_px: float = 0.0
    noise_m: float = 0.0
    table_px: int | None = None
    """Row of the picture below which a table hides everybody."""
    least_side_px: float = 0.0
    """In squares smaller than this the pose network makes nobody out."""
    boxed_below_px: int | None = None
    """Row of the detector's picture above which it misses everything."""
    slips_after: int | None = None
    """So many looks at a frame show whom they are about, all others the first of the people."""
    looks_before: int = field(default=0, init=False)
    """At the frames before this one."""
    reach_px: float = field(default=0.0, init=False)
    """Side of the last crop that the pose network was asked about, in frame pixels."""
    looks: int = field(default=0, init=False)
    """Crops that the pose network was asked about."""
    searches: int = field(default=0, init=False)
    """Frames that the detector was asked about."""
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def frame(self, sequence: int, *, fps: float = 30.0) -> Frame:
        """Take a picture."""
        self.looks_before = self.looks
        return Frame(
            image=self._draw(),
            sequence=sequence,
            captured_ns=round(sequence * 1e9 / fps),
            captured_at_ms=1_790_000_000_000 + round(sequence * 1e3 / fps),
        )

    def joints_px(self, person: Person) -> Float64[np.ndarray, "joints 2"]:
        """Project by the pinhole formula, written out here on purpose."""
        points, matrix = person.joints_m, self.intrinsics.matrix
        return np.stack(
            [
                matrix[0, 0] * points[:, 0] / points[:, 2] + matrix[0, 2],
                matrix[1, 1] * points[:, 1] / points[:, 2] + matrix[1, 2],
            ],
            axis=1,
        )

    def _draw(self) -> UInt8[np.ndarray, "height width 3"]:
        width, height = self.intrinsics.width_px, self.intrinsics.height_px
        image = np.empty((height, width, 3), np.uint8)
        image[..., 2] = np.round(np.linspace(0, 255, width))
        image[..., 1] = np.round(np.linspace(0, 255, height))[:, None]
        who = np.full((height, width), _BACKGROUND_CODE, np.uint8)
        order = sorted(range(len(self.people)), key=lambda index: -self.people[index].root_m[2])
        for index in order:
            person = self.people[index]
            pixels = np.round(self.joints_px(person)).astype(int)
            per_metre = self.intrinsics.matrix[0, 0] / person.root_m[2]
            code = _FIRST_CODE + _CODE_STEP * index
            for parent, child in skeleton.EDGES:
                thickness = max(int(0.12 * per_metre), 1)
                cv2.line(who, pixels[parent].tolist(), pixels[child].tolist(), code, thickness)
        if self.table_px is not None:
            who[self.table_px :] = _BACKGROUND_CODE
        image[..., 0] = who
        return image


@dataclass(slots=True)
class SeeingDetector:
    """Boxes what it sees of each person."""

    world: World
    description: str = "fake detector"
    at_once: int = 1

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One anchor for each of six people."""
        self.world.searches += 1
        who = _pixels(inputs["image"])[0, 2]
        boxes, scores = np.zeros((1, 6, 4), np.float32), np.zeros((1, 6), np.float32)
        for index in range(6):
            mask = np.abs(who - _FIRST_CODE - _CODE_STEP * index) < 3
            if self.world.boxed_below_px is not None:
                mask[: self.world.boxed_below_px] = False
            # Outlines mix two codes into a third; they are one pixel thin, people are not.
            solid = mask[1:, 1:] & mask[:-1, 1:] & mask[1:, :-1] & mask[:-1, :-1]
            rows, columns = np.nonzero(solid)
            if rows.size > 20:
                boxes[0, index] = (columns.min(), rows.min(), columns.max(), rows.max())
                scores[0, index] = 0.9
        return {"boxes_px": boxes, "scores": scores}

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(slots=True)
class _Reader:
    """Finds out from the pixels of a crop who is in its middle and where it was cut."""

    world: World
    description: str = "fake network"
    at_once: int = 2

    def close(self) -> None:
        """Nothing to give back."""

    def _in_the_middle(self, who: Float32[np.ndarray, "side side"]) -> Person | None:
        side = who.shape[0]
        away = (np.arange(0, side, 2) - (side - 1) / 2.0) / (side / 6.0)
        bell = np.exp(-0.5 * np.square(away))
        weights, who = bell[:, None] * bell, who[::2, ::2]
        seen = [
            float((weights * (np.abs(who - _FIRST_CODE - _CODE_STEP * index) < 5)).sum())
            for index in range(len(self.world.people))
        ]
        if not seen or max(seen) < 5.0:
            return None
        person = self.world.people[int(np.argmax(seen))]
        return None if person.coat else person

    def _reach(self, person: Person) -> Float64[np.ndarray, "2 2"]:
        """Middle of the hips, and how far the body reaches above them; frame pixels."""
        joints_px = self.world.joints_px(person)
        hips, neck = (joints_px[skeleton.INDEX[name]] for name in ("pelvis", "neck"))
        reach_px = REACH_M * self.world.intrinsics.matrix[0, 0] / person.root_m[2]
        top = hips + reach_px * (neck - hips) / np.linalg.norm(neck - hips)
        return np.stack([hips, top])

    def _affine(self, crop: Float32[np.ndarray, "3 side side"]) -> Float64[np.ndarray, "2 3"]:
        """Fit frame place = affine * crop place to the pixels inside the frame."""
        size = np.array([self.world.intrinsics.width_px, self.world.intrinsics.height_px])
        some = crop[:, ::5, ::5]
        # Beyond the rim of the frame its outermost pixels go on.
        frame = ((some[:2] > _RIM) & (some[:2] < 255 - _RIM)).all(axis=0)
        places = np.indices(some.shape[1:]).astype(np.float64)
        rows, columns = places[0][frame] * 5.0, places[1][frame] * 5.0
        known = np.stack([columns, rows, np.ones_like(rows)], axis=1)
        seen = some[:2][:, frame].T / 255.0 * (size - 1)
        return np.asarray(np.linalg.lstsq(known, seen, rcond=None)[0].T, np.float64)


@dataclass(slots=True)
class KnowingPose(_Reader):
    """Knows the pose of whoever is in the middle of the crop."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Read each crop."""
        answers = [self._answer(crop) for crop in _pixels(inputs["image"])]
        return {
            name: np.stack([answer[name] for answer in answers]).astype(np.float32)
            for name in answers[0]
        }

    def _answer(self, crop: Float32[np.ndarray, "3 side side"]) -> dict[str, np.ndarray]:
        self.world.looks += 1
        person = self._in_the_middle(crop[2])
        slips_after = self.world.slips_after
        if slips_after is not None and self.world.looks - self.world.looks_before > slips_after:
            person = self.world.people[0]
        joints = skeleton.NUM_JOINTS
        frame_from_crop = self._affine(crop)
        side_px = float(np.linalg.norm(frame_from_crop[:, 0])) * crop.shape[1]
        if person is None or side_px < self.world.least_side_px:
            return {
                "joints_px": np.zeros((joints, 2)),
                "reach_px": np.array([[128.0, 128.0], [128.0, 26.0]]),
                "joints_m": np.zeros((joints, 3)),
                "scores": np.full(joints, 0.05),
                "presence": np.array(0.02),
            }
        crop_from_frame = np.linalg.inv(frame_from_crop[:, :2])
        self.world.reach_px = side_px
        random = self.world.random
        pixels = (self.world.joints_px(person) - frame_from_crop[:, 2]) @ crop_from_frame.T
        middle = (crop.shape[1] - 1) / 2.0
        ray = np.linalg.inv(self.world.intrinsics.matrix) @ (
            *(frame_from_crop @ (middle, middle, 1.0)),
            1.0,
        )
        turn = np.eye(3)
        turn[:2, :2] = frame_from_crop[:, :2] * np.sqrt(np.linalg.det(crop_from_frame))
        relative = person.joints_m - np.array(person.root_m)
        reach_px = self._reach(person) - frame_from_crop[:, 2]
        return {
            "reach_px": reach_px @ crop_from_frame.T,
            "joints_px": pixels + random.normal(0, 1, pixels.shape) * self.world.noise_px,
            "joints_m": relative @ _smallest_rotation(ray) @ turn
            + random.normal(0, 1, relative.shape) * self.world.noise_m,
            "scores": np.array([0.1 if name in person.unsure else 0.9 for name in skeleton.JOINTS]),
            "presence": np.array(0.95),
        }


def engines_of(world: World) -> Engines:
    """Return fake networks that all look at one world."""
    return Engines(detector=SeeingDetector(world), pose=KnowingPose(world))


def _pixels(batch: np.ndarray) -> Float32[np.ndarray, "batch 3 height width"]:
    mean = np.array(MEAN, np.float32)[:, None, None]
    std = np.array(STD, np.float32)[:, None, None]
    return np.round((batch * std + mean) * np.float32(255.0))


def _smallest_rotation(ray: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    """Turn (0, 0, 1) to the ray, by OpenCV's axis-angle formula."""
    ray = ray / np.linalg.norm(ray)
    axis = np.cross((0.0, 0.0, 1.0), ray)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        return np.eye(3)
    rotation, _ = cv2.Rodrigues(axis / sine * np.arctan2(sine, ray[2]))
    return np.asarray(rotation, np.float64)
