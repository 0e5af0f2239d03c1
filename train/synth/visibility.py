"""What of each person can be seen: per joint by rule, per person by counting pixels.

A joint is visible when a pixel under it (or next to it) shows the same person, a part of the body
that the joint belongs to, and a surface no further in front of the joint than flesh and clothes are
thick there.  The rule is stated in numbers below; for borderline joints it is a judgement, not a
measurement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32

from edge_pose import skeleton
from train.synth.camera import Camera, project, to_camera, window
from train.synth.garments import PART
from train.synth.person import Person
from train.synth.renderer import OUTLINE_SIZE, Renderer
from train.synth.rendering import Rendering
from train.synth.uniforms import NEAR_M

_HEAD: Final = ("head", "hat")
_FLESH: Final[dict[str, tuple[tuple[str, ...], float]]] = {
    "nose": (_HEAD, 0.05),
    "eye": (_HEAD, 0.05),
    "ear": (_HEAD, 0.06),
    "shoulder": (("torso", "neck", "upper_arm"), 0.13),
    "elbow": (("upper_arm", "forearm"), 0.09),
    "wrist": (("forearm", "hand"), 0.07),
    "hip": (("hips", "torso", "thigh"), 0.2),
    "knee": (("thigh", "shin"), 0.11),
    "ankle": (("shin", "foot"), 0.1),
    "pelvis": (("hips", "torso", "thigh"), 0.22),
    "spine": (("torso", "hips"), 0.24),
    "neck": (("torso", "neck", "head"), 0.16),
    "head_top": (_HEAD, 0.09),
    "heel": (("foot", "shin"), 0.08),
    "toe": (("foot",), 0.07),
}
"""Parts that may show a joint, and metres of flesh and cloth over it."""


def _rules() -> tuple[Bool[np.ndarray, "joints parts"], Float32[np.ndarray, "joints"]]:
    shows = np.zeros((skeleton.NUM_JOINTS, len(PART)), bool)
    flesh_m = np.zeros(skeleton.NUM_JOINTS, np.float32)
    for index, name in enumerate(skeleton.JOINTS):
        side, _, rest = name.partition("_")
        is_paired = side in ("left", "right")
        parts, flesh_m[index] = _FLESH[rest if is_paired else name]
        for part in parts:
            own = [f"{side}_{part}"] if is_paired else [f"left_{part}", f"right_{part}"]
            for candidate in (part, *own):
                if candidate in PART:
                    shows[index, PART[candidate]] = True
    return shows, flesh_m


_SHOWS, _FLESH_M = _rules()
_AROUND: Final = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonLabel:
    """Everything known about one person in one picture."""

    number: int
    joints_m: Float32[np.ndarray, "joints 3"]
    """Camera axes."""
    joints_px: Float32[np.ndarray, "joints 2"]
    visible: Bool[np.ndarray, "joints"]
    inside: Bool[np.ndarray, "joints"]
    box_px: Float32[np.ndarray, "4"]
    """Around the visible pixels, edge to edge: a single pixel at 7 gives 6.5 to 7.5."""
    full_box_px: Float32[np.ndarray, "4"]
    """Around the whole body, hidden parts and parts outside the picture included."""
    visible_fraction: float
    """Visible pixels over those the whole body would cover, alone and uncut."""
    activity: str


def label_people(
    people: Sequence[Person],
    camera: Camera,
    rendering: Rendering,
    renderer: Renderer,
) -> list[PersonLabel]:
    """Label everyone of whom at least one pixel can be seen."""
    labels = []
    for index, person in enumerate(people):
        mask = rendering.person == person.number
        if not mask.any():
            continue
        box_px = tight_box(mask)
        body_m = to_camera(camera, person.vertices_m)
        body_px = project(camera, body_m[body_m[:, 2] > NEAR_M])
        full_box_px = np.concatenate([body_px.min(axis=0), body_px.max(axis=0)]).astype(np.float32)
        full_box_px[:2] = np.minimum(full_box_px[:2], box_px[:2])
        full_box_px[2:] = np.maximum(full_box_px[2:], box_px[2:])
        side_px = float((full_box_px[2:] - full_box_px[:2]).max()) + 1
        outline_camera = window(
            camera,
            centre_px=(full_box_px[:2] + full_box_px[2:]).astype(np.float64) / 2,
            side_px=side_px,
            size_px=OUTLINE_SIZE,
        )
        outline_px = renderer.outline_area_px(index, outline_camera)
        whole_px = outline_px * (side_px / OUTLINE_SIZE) ** 2
        joints_m = to_camera(camera, person.joints_m)
        joints_px = project(camera, joints_m).astype(np.float32)
        size_px = np.array([camera.width_px, camera.height_px])
        inside = np.all((joints_px >= -0.5) & (joints_px < size_px - 0.5), axis=1)
        inside &= joints_m[:, 2] > NEAR_M
        labels.append(
            PersonLabel(
                number=person.number,
                joints_m=joints_m.astype(np.float32),
                joints_px=joints_px,
                visible=seen(joints_px, joints_m[:, 2], rendering, person.number) & inside,
                inside=inside,
                box_px=box_px,
                full_box_px=full_box_px,
                visible_fraction=min(float(mask.sum() / max(whole_px, 1.0)), 1.0),
                activity=person.body.activity,
            ),
        )
    return labels


def tight_box(mask: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, "4"]:
    """Give the box around the true pixels, from outer edge to outer edge."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.array(
        [columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 0.5, rows[-1] + 0.5],
        np.float32,
    )


def seen(
    joints_px: Float32[np.ndarray, "joints 2"],
    depths_m: Float[np.ndarray, "joints"],
    rendering: Rendering,
    number: int,
) -> Bool[np.ndarray, "joints"]:
    """Apply the rule of this file to every joint."""
    height, width = rendering.person.shape
    joint = np.arange(len(joints_px))
    columns, rows = np.round(np.clip(joints_px, -1e6, 1e6)).astype(int).T
    visible = np.zeros(len(joints_px), bool)
    for row_step, column_step in _AROUND:
        row = np.clip(rows + row_step, 0, height - 1)
        column = np.clip(columns + column_step, 0, width - 1)
        visible |= (
            (rendering.person[row, column] == number)
            & _SHOWS[joint, rendering.part[row, column]]
            & (np.abs(rendering.depth_m[row, column] - depths_m) < _FLESH_M)
        )
    return visible
