"""The four-camera desk session as a 3D reference: where a man's upper body was.

In: a session folder (`camera_array.toml`, one `cam_<name>.mp4` a camera, frame i of each taken
together) and where a pose teacher saw the joints in every picture.  Out: joints in world metres
that at least three cameras agree on, each with its quality, and the same joints in the axes and
pixels of every camera's upright picture.

What measuring the session's own chessboard corners showed: `rotation` and `translation` bring world
points into the camera (median reprojection error 0.3 to 1.3 px; read the other way round it is
hundreds), for the picture as it is stored; `rotation_count` is the number of clockwise quarter
turns that put its head up.  Hips are hidden by the desk, so the root is the middle of the
shoulders.
"""

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import tomllib
from jaxtyping import Bool, Float64

from edge_pose.errors import SourceError
from edge_pose.skeleton import INDEX, NUM_JOINTS
from train.triangulate import Camera, in_camera, project, triangulate

UPPER_BODY: Final = tuple(
    INDEX[name]
    for name in (
        "nose",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
    )
)
SCORE_GATE: Final = 0.3
"""Below it the teacher's sighting is not used."""
MISS_GATE_M: Final = 0.04
"""A camera agrees with a point its ray passes this near; the teacher scatters by 20 mm."""
WANTED_VIEWS: Final = 3
TURNS: Final = {
    1: cv2.ROTATE_90_CLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
LOSSLESS: Final = cv2.VideoWriter.fourcc(*"FFV1")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One camera of a session; its calibration is for the picture as stored."""

    name: str
    camera: Camera
    clip: Path
    width_px: int
    height_px: int
    turns: int
    """Clockwise quarter turns that put the head up, 0 to 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Cameras that looked at the same man at the same moments."""

    name: str
    views: tuple[View, ...]
    frames: int
    spread_s: float
    """Longest time between pictures that are taken for simultaneous."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where the joints were; NaN where too few cameras agree."""

    joints_m: Float64[np.ndarray, "frames joints 3"]
    """World metres."""
    agreeing: Bool[np.ndarray, "frames joints views"]
    reprojection_px: Float64[np.ndarray, "frames joints views"]
    deviation_m: Float64[np.ndarray, "frames joints"]
    """Standard deviation of the position for one pixel of noise in each agreeing camera."""


def read_sessions(folder: Path) -> list[Session]:
    """Read every session below a folder, sorted by name."""
    found = sorted(path.parent for path in folder.rglob("camera_array.toml"))
    if not found:
        raise SourceError(
            f"{folder} holds no camera_array.toml at any depth; "
            "give the folder into which the desk sessions were unpacked"
        )
    return [read_session(path) for path in found]


def read_session(folder: Path) -> Session:
    """Read calibration and timing of one session."""
    table = tomllib.loads((folder / "camera_array.toml").read_text())["cameras"]
    frames, spread_s = _timing(folder / "calibration" / "extrinsic" / "frame_timestamps.csv")
    views = tuple(_view(folder, name, table[name]) for name in sorted(table, key=int))
    return Session(name=folder.name, views=views, frames=frames, spread_s=spread_s)


def turned_size(view: View) -> tuple[int, int]:
    """Width and height of the upright picture."""
    size = (view.width_px, view.height_px)
    return size if view.turns % 2 == 0 else size[::-1]


def upright_from_stored(view: View) -> Float64[np.ndarray, "3 3"]:
    """Homography from stored to upright pixels; its upper left corner also turns camera axes."""
    width, height = view.width_px, view.height_px
    return np.array(
        {
            0: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            1: [[0, -1, height - 1], [1, 0, 0], [0, 0, 1]],
            2: [[-1, 0, width - 1], [0, -1, height - 1], [0, 0, 1]],
            3: [[0, 1, 0], [-1, 0, width - 1], [0, 0, 1]],
        }[view.turns],
        np.float64,
    )


def turned(
    homography: Float64[np.ndarray, "3 3"], pixels_px: Float64[np.ndarray, "*points 2"]
) -> Float64[np.ndarray, "*points 2"]:
    """Apply a quarter turn to pixels."""
    return np.asarray(pixels_px @ homography[:2, :2].T + homography[:2, 2])


def upright_matrix(view: View) -> Float64[np.ndarray, "3 3"]:
    """Camera matrix of the upright picture."""
    homography = upright_from_stored(view)
    axes = np.eye(3)
    axes[:2, :2] = homography[:2, :2]
    return np.asarray(homography @ view.camera.matrix @ axes.T)


def upright_clip(view: View, cache: Path) -> Path:
    """Give a clip whose head is up: the stored one, or a lossless copy kept in the cache."""
    if view.turns == 0:
        return view.clip
    kept = cache / f"{view.clip.parent.name}_{view.name}_upright.mkv"
    if kept.is_file():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(".part.mkv")
    capture = cv2.VideoCapture(str(view.clip))
    writer = cv2.VideoWriter(
        str(unfinished), LOSSLESS, capture.get(cv2.CAP_PROP_FPS), turned_size(view)
    )
    while True:
        found, image = capture.read()
        if not found:
            break
        writer.write(cv2.rotate(image, TURNS[view.turns]))
    writer.release()
    capture.release()
    unfinished.replace(kept)
    return kept


def refer(
    session: Session,
    seen_px: Float64[np.ndarray, "views frames joints 2"],
    scores: Float64[np.ndarray, "views frames joints"],
) -> Reference:
    """Triangulate the upper body from what a teacher saw in every upright picture."""
    stored_px = np.stack(
        [
            turned(np.linalg.inv(upright_from_stored(view)), pixels)
            for view, pixels in zip(session.views, seen_px, strict=True)
        ]
    )
    usable = (scores >= SCORE_GATE) & np.stack(
        [inside(view, pixels) for view, pixels in zip(session.views, seen_px, strict=True)]
    )
    stored_px = np.where(usable[..., None], stored_px, np.nan)
    shape = (session.frames, NUM_JOINTS)
    joints_m = np.full((*shape, 3), np.nan)
    agreeing = np.zeros((*shape, len(session.views)), np.bool_)
    reprojection_px = np.full((*shape, len(session.views)), np.nan)
    deviation_m = np.full(shape, np.nan)
    cameras = [view.camera for view in session.views]
    for frame in range(session.frames):
        for joint in UPPER_BODY:
            found = triangulate(
                cameras, stored_px[:, frame, joint], gate_m=MISS_GATE_M, wanted_views=WANTED_VIEWS
            )
            if found is not None:
                joints_m[frame, joint] = found.point_m
                agreeing[frame, joint] = found.agreeing
                reprojection_px[frame, joint] = found.reprojection_px
                deviation_m[frame, joint] = found.deviation_m
    return Reference(
        joints_m=joints_m,
        agreeing=agreeing,
        reprojection_px=reprojection_px,
        deviation_m=deviation_m,
    )


def inside(
    view: View, pixels_px: Float64[np.ndarray, "frames joints 2"]
) -> Bool[np.ndarray, "frames joints"]:
    """Tell which pixels lie in the upright picture."""
    width, height = turned_size(view)
    return np.asarray(
        ((pixels_px >= 0) & (pixels_px <= np.array([width - 1, height - 1]))).all(axis=-1)
    )


def seen_by(
    view: View, joints_m: Float64[np.ndarray, "frames joints 3"]
) -> tuple[Float64[np.ndarray, "frames joints 3"], Float64[np.ndarray, "frames joints 2"]]:
    """Express world joints in the axes and pixels of the upright picture; NaN stays NaN."""
    homography = upright_from_stored(view)
    axes = np.eye(3)
    axes[:2, :2] = homography[:2, :2]
    known = np.isfinite(joints_m).all(axis=2)
    in_view_m = np.full(joints_m.shape, np.nan)
    pixels_px = np.full((*joints_m.shape[:2], 2), np.nan)
    if known.any():
        in_view_m[known] = in_camera(view.camera, joints_m[known]) @ axes.T
        pixels_px[known] = turned(homography, project(view.camera, joints_m[known]))
    return in_view_m, pixels_px


def save_reference(path: Path, reference: Reference) -> None:
    """Keep a reference; a half-written file never carries the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez(
        unfinished,
        joints_m=reference.joints_m,
        agreeing=reference.agreeing,
        reprojection_px=reference.reprojection_px,
        deviation_m=reference.deviation_m,
    )
    unfinished.replace(path)


def load_reference(path: Path) -> Reference:
    """Read what `save_reference` wrote."""
    with np.load(path) as kept:
        return Reference(**{name: kept[name] for name in kept.files})


def _view(folder: Path, name: str, table: dict[str, Any]) -> View:
    rotation = np.array(table["rotation"], np.float64)
    if rotation.shape != (3, 3):
        rotation = np.asarray(cv2.Rodrigues(rotation.reshape(3))[0], np.float64)
    translation = np.array(table["translation"], np.float64).reshape(3, 1)
    width_px, height_px = table["size"]
    return View(
        name=name,
        camera=Camera(
            matrix=np.array(table["matrix"], np.float64),
            distortion=np.array(table["distortions"], np.float64),
            camera_from_world=np.hstack([rotation, translation]),
        ),
        clip=folder / f"cam_{name}.mp4",
        width_px=width_px,
        height_px=height_px,
        turns=table["rotation_count"] % 4,
    )


def _timing(path: Path) -> tuple[int, float]:
    moments: dict[int, list[float]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            moments[int(row["sync_index"])].append(float(row["frame_time"]))
    return len(moments), max(max(times) - min(times) for times in moments.values())
