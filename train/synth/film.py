"""Films of people who do not exist: one moves before a fixed camera, and every joint is known.

In: a moving body, a site, a generator of chance.  Out: pictures with their truth; on disk a film
without loss and beside it an archive of the truth.

Whoever moves keeps shape and clothes, the place its things and light, the camera its lens and
noise.  The lens is centred and as long as it takes to fill the picture, as a user would mount it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from edge_pose.errors import EdgePoseError
from train.synth.anatomy import PosedBody
from train.synth.camera import Camera, centred_matrix, look_at, project, to_camera
from train.synth.dataset import write_arrays
from train.synth.frames import Studio
from train.synth.framing import LEAST_DEPTH_M, log_uniform, roll_rad
from train.synth.person import Person, stage_person
from train.synth.photograph import photograph
from train.synth.scene import build_scene
from train.synth.site import Site
from train.synth.visibility import PersonLabel, label_people

SIZE_PX: Final = (640, 480)
RATE_HZ: Final = 15
_DISTANCE_M: Final = (1.8, 7.0)
_FILLED: Final = (0.6, 1.25)
"""How far from the middle of the picture to its rim whoever moves comes; beyond 1 they are cut."""
_OCCLUDED_SHARE: Final = 0.5
"""Of the films, in which things may stand before whoever moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmTruth:
    """What is known of a film; one row a picture."""

    joints_m: Float32[np.ndarray, "pictures joints 3"]
    """Camera axes."""
    joints_px: Float32[np.ndarray, "pictures joints 2"]
    visible: Bool[np.ndarray, "pictures joints"]
    inside: Bool[np.ndarray, "pictures joints"]
    matrix: Float64[np.ndarray, "3 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """Pictures in order, `RATE_HZ` a second, and what they show."""

    pictures: Sequence[UInt8[np.ndarray, "height width 3"]]
    """RGB."""
    truth: FilmTruth


def shoot(rng: np.random.Generator, studio: Studio, bodies: Sequence[PosedBody]) -> Film:
    """Dress somebody, stand a camera where it sees them, furnish the place, take the pictures."""
    camera = stand_camera(rng, studio.site, bodies)
    clothes, place, lens = (int(rng.integers(2**63)) for _ in range(3))
    people = [_dressed(studio, body, clothes) for body in bodies]
    scene = build_scene(
        np.random.default_rng(place),
        site=studio.site,
        camera=camera,
        people=people[:1],
        wardrobe=studio.wardrobe,
        centre_m=np.mean([person.middle_m for person in people], axis=0),
        photo=None,
        with_occluders=bool(rng.random() < _OCCLUDED_SHARE),
    )
    pictures, labels = [], []
    for person in people:
        now = replace(scene, people=[person.drawn], centre_m=person.middle_m)
        rendering = studio.renderer.render(now, camera)
        seen = label_people([person], camera, rendering, studio.renderer)
        labels.append(seen[0] if seen else _unseen(person, camera))
        taken_by = np.random.default_rng(lens)
        pictures.append(photograph(taken_by, studio.site, rendering.image, rendering.depth_m))
    truth = FilmTruth(
        joints_m=np.stack([label.joints_m for label in labels]),
        joints_px=np.stack([label.joints_px for label in labels]),
        visible=np.stack([label.visible for label in labels]),
        inside=np.stack([label.inside for label in labels]),
        matrix=camera.matrix,
    )
    return Film(pictures=pictures, truth=truth)


def stand_camera(rng: np.random.Generator, site: Site, bodies: Sequence[PosedBody]) -> Camera:
    """Stand a camera anywhere around somebody's way; now and then they are cut off."""
    joints_m = np.concatenate([body.joints_m for body in bodies])
    middle_m = ((joints_m.min(axis=0) + joints_m.max(axis=0)) / 2).astype(np.float64)
    widest = centred_matrix(
        *SIZE_PX, field_of_view_rad=float(np.radians(max(site.field_of_view_deg)))
    )
    filled = rng.uniform(*_FILLED)
    while True:
        azimuth = rng.uniform(-np.pi, np.pi)
        way = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
        position_m = middle_m + log_uniform(rng, *_DISTANCE_M) * way
        position_m[2] = rng.uniform(*site.camera_height_m)
        turned_rad = roll_rad(rng, site)
        target_m = middle_m + rng.uniform(-0.2, 0.2, 3)
        camera = Camera(
            matrix=widest,
            camera_from_world=look_at(position_m, target_m, roll_rad=turned_rad),
            width_px=SIZE_PX[0],
            height_px=SIZE_PX[1],
        )
        in_camera_m = to_camera(camera, joints_m)
        if in_camera_m[:, 2].min() > LEAST_DEPTH_M:
            break
    centre_px = widest[:2, 2]
    reach = float((np.abs(project(camera, in_camera_m) - centre_px) / centre_px).max())
    longer = max(filled / reach, 1.0)
    return replace(camera, matrix=widest * np.array([[longer, 1, 1], [1, longer, 1], [1, 1, 1]]))


def write_film(path: Path, film: Film) -> None:
    """Write a film, and beside it what is known of it, which is there only when all is.

    Raises:
        EdgePoseError: this OpenCV cannot write without loss.

    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), RATE_HZ, SIZE_PX)
    if not writer.isOpened():
        raise EdgePoseError(
            f"{path} cannot be written: this OpenCV has no FFV1, or the folder takes no files; "
            "install opencv-python-headless from the declared files, or choose another folder."
        )
    for picture in film.pictures:
        writer.write(np.ascontiguousarray(picture[:, :, ::-1]))
    writer.release()
    truth = {field.name: getattr(film.truth, field.name) for field in fields(film.truth)}
    write_arrays(path.with_suffix(".npz"), truth)


def read_film_truth(path: Path) -> FilmTruth:
    """Read what is known of a film."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        return FilmTruth(**arrays)


def film_path(folder: Path, number: int) -> Path:
    """Name a film."""
    return folder / f"film-{number:05d}.mkv"


def finished_films(folder: Path) -> list[Path]:
    """List the films of a folder of which the truth is there."""
    return [path for path in sorted(folder.glob("film-*.mkv")) if is_finished(path)]


def is_finished(path: Path) -> bool:
    """Tell whether a film is whole."""
    return path.with_suffix(".npz").is_file()


def _dressed(studio: Studio, body: PosedBody, clothes: int) -> Person:
    return stage_person(
        body,
        number=1,
        at_m=body.root_m[:2].astype(np.float64),
        wardrobe=studio.wardrobe,
        site=studio.site,
        rng=np.random.default_rng(clothes),
    )


def _unseen(person: Person, camera: Camera) -> PersonLabel:
    """Label somebody of whom no pixel shows."""
    joints_m = to_camera(camera, person.joints_m)
    nothing = np.zeros(len(joints_m), bool)
    return PersonLabel(
        number=person.number,
        joints_m=joints_m.astype(np.float32),
        joints_px=project(camera, joints_m).astype(np.float32),
        visible=nothing,
        inside=nothing,
        box_px=np.zeros(4, np.float32),
        full_box_px=np.zeros(4, np.float32),
        visible_fraction=0.0,
        activity=person.body.activity,
    )
