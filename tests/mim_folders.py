"""Small folders of every kind that masked image modelling reads: people are upright bars."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.skeleton import NUM_JOINTS
from train.label_cache import LabelFolder
from train.labelled_image import LabelledImage, LabelledPerson, encode_mask, encode_picture
from train.synth.camera import Camera
from train.synth.dataset import chunk_path, pack_chunk, write_chunk
from train.synth.frames import LabelledFrame
from train.synth.visibility import PersonLabel

WIDTH_PX: Final = 160
HEIGHT_PX: Final = 120
BAR_PX: Final = (60, 20, 90, 100)
"""x0, y0, x1, y1 of the person in every picture."""


def scene(seed: int, colour: tuple[int, int, int]) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a bar of one colour before a coarse pattern."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (6, 8, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    x0, y0, x1, y1 = BAR_PX
    image[y0:y1, x0:x1] = colour
    return np.asarray(image, np.uint8)


def bar_mask() -> UInt8[np.ndarray, "height width"]:
    x0, y0, x1, y1 = BAR_PX
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    mask[y0:y1, x0:x1] = 255
    return mask


def joints_px() -> Float32[np.ndarray, "joints 2"]:
    """Spread the joints over the bar."""
    x0, y0, x1, y1 = BAR_PX
    line = np.linspace(0.1, 0.9, NUM_JOINTS)
    return np.stack([x0 + (x1 - x0) * line[::-1], y0 + (y1 - y0) * line], 1).astype(np.float32)


def rendered_folder(folder: Path, count: int) -> Path:
    """Write what `train synth` writes: red people."""
    folder.mkdir(parents=True)
    frames = [rendered_frame(seed) for seed in range(count)]
    write_chunk(chunk_path(folder, 0), pack_chunk(frames))
    return folder


def rendered_frame(seed: int) -> LabelledFrame:
    matrix = np.array([[200.0, 0, 80], [0, 200, 60], [0, 0, 1]])
    pixels = joints_px()
    rays = np.linalg.solve(matrix, np.column_stack([pixels, np.ones(NUM_JOINTS)]).T).T
    mask = bar_mask()
    person = PersonLabel(
        number=1,
        joints_m=(4 * rays).astype(np.float32),
        joints_px=pixels,
        visible=np.ones(NUM_JOINTS, bool),
        inside=np.ones(NUM_JOINTS, bool),
        box_px=np.array(BAR_PX, np.float32),
        full_box_px=np.array(BAR_PX, np.float32),
        visible_fraction=1.0,
        activity="bench",
    )
    return LabelledFrame(
        image=scene(seed, (220, 30, 30)),
        person=(mask > 0).astype(np.uint8),
        soft=mask,
        depth_m=np.where(mask > 0, np.float32(4), np.float32(0)),
        camera=Camera(
            matrix=matrix, camera_from_world=np.eye(4), width_px=WIDTH_PX, height_px=HEIGHT_PX
        ),
        people=[person],
        seed=seed,
    )


def labelled_folder(folder: Path, count: int, *, group: str = "line/clip") -> Path:
    """Write what `train label` writes: green people, all of one clip."""
    labels = LabelFolder(folder, teachers={"teacher": "hash"})
    pixels = joints_px()
    hips = pixels[17]
    for number in range(count):
        person = LabelledPerson(
            joints_px=pixels,
            confidence=np.ones(NUM_JOINTS, np.float32),
            box_px=np.array(BAR_PX, np.float32),
            reach_px=np.stack([hips, hips - [0, 50]]).astype(np.float32),
            mask_png=encode_mask(bar_mask()),
            quality=1.0,
            disagreement_px=0.5,
        )
        labels.add(
            LabelledImage(
                jpeg=encode_picture(scene(number, (30, 200, 30))),
                key=f"{group}#{number:06d}",
                source="line",
                licence="none",
                group=group,
                width_px=WIDTH_PX,
                height_px=HEIGHT_PX,
                people=(person,),
                detected_px=np.array([BAR_PX], np.float32),
                detected_scores=np.ones(1, np.float32),
                given=(),
            )
        )
    labels.flush()
    return folder


def picture_folder(folder: Path, count: int) -> Path:
    """Write plain pictures: blue people."""
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03d}.png"), scene(number, (200, 40, 20)))
    return folder
