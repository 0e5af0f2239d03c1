"""Everybody whom the appliance's own networks see in the pictures of one fixed camera.

In: a folder of pictures or of `train synth` (its truth is not read), or a video; a bundle.  Out:
joints, scores and shape of each person in each picture, in the order of the pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt8
from tqdm import tqdm

from edge_pose.bundle import Bundle
from edge_pose.camera import assume
from edge_pose.crop import take_crop
from edge_pose.decode import decode_poses
from edge_pose.detect import DetectSettings, find_people
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import SourceError
from edge_pose.inference import infer
from edge_pose.region import region_of_box
from edge_pose.skeleton import NUM_JOINTS
from edge_pose.sweep import views_of
from edge_pose.types import RelativePose
from train.own_footage import own_footage
from train.sources import PICTURE_ENDINGS
from train.synth.dataset import is_rendered, read_chunk

_LEAST_PRESENCE: Final = 0.5
_LOOKS: Final = 6
"""More than the appliance's three: the network draws bodies too upright in their squares, and each
look turns the square by what is left; with three a camera's roll came out a third too small.
"""

Image = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """People in the pictures of one camera, a row each time that somebody is seen."""

    joints_px: Float64[np.ndarray, "seen joints 2"]
    joints_m: Float64[np.ndarray, "seen joints 3"]
    """About the pelvis; used for the shape alone, since the network knows its tilt least."""
    scores: Float64[np.ndarray, "seen joints"]
    side_px: Float64[np.ndarray, "seen"]
    """Of the square in which each was looked at; scores are about 5 % of it."""
    frame: Float64[np.ndarray, "seen"]
    pictures: int
    width_px: int
    height_px: int


@runtime_checkable
class Looks(Protocol):
    """Whoever can say who is in a picture."""

    def people_in(self, image: Image) -> list[RelativePose]:
        """See everybody in a BGR picture."""
        ...


class Networks:
    """The detector and the pose network of a bundle."""

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        """Open both on the CPU."""
        self._manifest = bundle.manifest
        self._detector = OnnxEngine(bundle.path_of("detector"), threads=threads)
        self._pose = OnnxEngine(bundle.path_of("pose"), threads=threads)

    def people_in(self, image: Image) -> list[RelativePose]:
        """Look at one picture as the appliance does at the first of a camera."""
        height, width = image.shape[:2]
        found = find_people(
            self._detector,
            self._manifest.networks.detector,
            image,
            views_of(width, height),
            DetectSettings(),
        )
        padding = self._manifest.crop.padding
        regions = [region_of_box(person.box_px, padding) for person in found]
        poses: list[RelativePose] = []
        network = self._manifest.networks.pose
        for _ in range(_LOOKS if regions else 0):
            crops = [take_crop(image, region, side_px=network.width_px) for region in regions]
            outputs = infer(self._pose, network, [crop.image for crop in crops])
            poses = decode_poses(
                outputs, crops, assume(width, height), reach=self._manifest.crop.reach
            )
            regions = [pose.region for pose in poses]
        return [pose for pose in poses if pose.presence >= _LEAST_PRESENCE]


def look_at_camera(path: Path, networks: Looks, *, every: int, most: int) -> Sightings:
    """See everybody in the pictures of one camera.

    Args:
        path: a folder of pictures, of videos or of `train synth`, or a video.
        networks: who looks.
        every: of a video, every n-th frame.
        most: pictures that are looked at, spread over all where there are more.

    Raises:
        SourceError: there are no pictures, or they are not all of one size.

    """
    size: tuple[int, int] | None = None
    rows: list[tuple[int, RelativePose]] = []
    number = -1
    for number, image in enumerate(tqdm(_pictures(path, every, most), unit="picture", leave=False)):
        height, width = image.shape[:2]
        if size is not None and size != (width, height):
            raise SourceError(
                f"picture {number} of {path} is {width} x {height} and those before it are "
                f"{size[0]} x {size[1]}, so not of one fixed camera; name a folder a camera"
            )
        size = (width, height)
        rows += [(number, pose) for pose in networks.people_in(image)]
    if size is None:
        raise SourceError(f"{path} holds no pictures; name a folder of pictures, or a video")
    return _stack(rows, number + 1, size)


def _stack(rows: list[tuple[int, RelativePose]], pictures: int, size: tuple[int, int]) -> Sightings:
    poses = [pose for _, pose in rows]
    joints = [pose.joints_px for pose in poses]
    shapes = [pose.joints_m for pose in poses]
    return Sightings(
        joints_px=np.array(joints, np.float64).reshape(-1, NUM_JOINTS, 2),
        joints_m=np.array(shapes, np.float64).reshape(-1, NUM_JOINTS, 3),
        scores=np.array([pose.scores for pose in poses], np.float64).reshape(-1, NUM_JOINTS),
        side_px=np.array([pose.region.side_px for pose in poses], np.float64),
        frame=np.array([frame for frame, _ in rows], np.float64),
        pictures=pictures,
        width_px=size[0],
        height_px=size[1],
    )


def _pictures(path: Path, every: int, most: int) -> Iterator[Image]:
    """Yield BGR pictures, in order."""
    if path.is_dir() and is_rendered(path):
        yield from _rendered(path, most)
        return
    if path.is_file() and path.suffix.lower() in PICTURE_ENDINGS:
        raise SourceError(f"{path} is one picture; name the folder of all that its camera took")
    footage = own_footage(path, name=path.stem, licence="the user's own", every=every)
    yield from _spread((picture.image for picture in footage.pictures()), len(footage), most)


def _rendered(path: Path, most: int) -> Iterator[Image]:
    chunks = [read_chunk(file) for file in sorted(path.glob("chunk-*.npz"))]
    images = (chunk.image(index)[:, :, ::-1] for chunk in chunks for index in range(len(chunk)))
    yield from _spread(map(np.ascontiguousarray, images), sum(map(len, chunks)), most)


def _spread(images: Iterator[Image], count: int, most: int) -> Iterator[Image]:
    """Take as many as are wanted, all along."""
    yield from islice(islice(images, 0, None, max(-(-count // most), 1)), most)
