"""Real pictures, one after another, from files and from clips.

In: files, and what is known about them.  Out: a `Source`, which knows its licence and its size and
yields `Picture`s, each with a stable key (for caches) and a group: pictures of one group show the
same clip, day or scene, so a split into training and validation must go by group.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.errors import SourceError
from train.given_points import NamedPoint
from train.picture_runs import RUN_PICTURES, run_of

PICTURE_ENDINGS: Final = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
VIDEO_ENDINGS: Final = frozenset({".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})

BoxKind = Literal["head", "helmet", "person"]
BOX_KINDS: Final[tuple[BoxKind, ...]] = ("head", "helmet", "person")
"""In the order of the class numbers in the workers set's `boxes.tsv`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBox:
    """A box that came with the picture, drawn by a person."""

    kind: BoxKind
    box_px: Float32[np.ndarray, "4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPoint:
    """A point that came with the picture, set by a person."""

    name: str
    """As the set calls it."""
    place_px: Float32[np.ndarray, "2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One real picture."""

    image: UInt8[np.ndarray, "height width 3"]
    """BGR."""
    source: str
    licence: str
    key: str
    """Unique over all sources, the same in every run."""
    group: str
    boxes: tuple[GivenBox, ...] = ()
    points: tuple[GivenPoint, ...] = ()


@runtime_checkable
class Source(Protocol):
    """A set of real pictures under one licence."""

    @property
    def name(self) -> str:
        """Short name, the first part of every key."""

    @property
    def licence(self) -> str:
        """The licence as its authors state it, with what is uncertain about it."""

    def __len__(self) -> int:
        """Count the pictures, as far as that can be told without reading them."""

    def groups(self) -> frozenset[str]:
        """Name the groups; of runs of one clip the first two stand for all."""

    def pictures(
        self, skip: AbstractSet[str] = frozenset(), *, limit: int | None = None
    ) -> Iterator[Picture]:
        """Yield the pictures in a fixed order.

        Args:
            skip: keys of those to leave out.
            limit: look only at so many from the first on, left out or not.

        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A picture file and what is known about it before it is opened."""

    path: Path
    key: str
    group: str
    boxes: tuple[tuple[int, float, float, float, float], ...] = ()
    """Class number, centre x and y, width, height; fractions of the picture."""
    points: tuple[NamedPoint, ...] = ()

    def points_in(self, width_px: int, height_px: int) -> tuple[GivenPoint, ...]:
        """Place the points in a picture of this size, pixel centres at integers."""
        return tuple(
            GivenPoint(
                name=name,
                place_px=np.array([x * width_px - 0.5, y * height_px - 0.5], np.float32),
            )
            for name, x, y in self.points
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stills:
    """A source made of picture files."""

    name: str
    licence: str
    files: tuple[Still, ...]
    in_runs: bool = False
    """Whether runs of neighbours are the groups of the pictures."""

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.files)

    def groups(self) -> frozenset[str]:
        """Name the groups."""
        return frozenset(self._group(number) for number in range(len(self)))

    def pictures(
        self, skip: AbstractSet[str] = frozenset(), *, limit: int | None = None
    ) -> Iterator[Picture]:
        """Read the pictures one by one."""
        for number, still in enumerate(self.files[:limit]):
            if still.key in skip:
                continue
            image = cv2.imread(str(still.path), cv2.IMREAD_COLOR)
            if image is None:
                raise SourceError(
                    f"{still.path} cannot be read as a picture; remove it or save it again as JPEG"
                )
            height, width = image.shape[:2]
            yield Picture(
                image=image,
                source=self.name,
                licence=self.licence,
                key=still.key,
                group=self._group(number),
                boxes=tuple(_in_pixels(row, width, height) for row in still.boxes),
                points=still.points_in(width, height),
            )

    def _group(self, number: int) -> str:
        whole = self.files[number].group
        return run_of(whole, number) if self.in_runs else whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """A source made of video files; each clip is a group, or several."""

    name: str
    licence: str
    files: tuple[Path, ...]
    every: int
    """1 for every frame, 4 for every fourth."""
    in_runs: bool = False
    """Whether runs of neighbours are the groups of a clip."""

    def __len__(self) -> int:
        """Count the frames to come, by what the files' headers promise."""
        return sum(-(-_promised_frames(path) // self.every) for path in self.files)

    def groups(self) -> frozenset[str]:
        """Name the groups; of runs of one clip the first two stand for all."""
        if self.in_runs:
            # A header may promise anything, so the frames themselves are looked at.
            return frozenset(picture.group for picture in self.pictures(limit=RUN_PICTURES + 1))
        return frozenset(self._whole(path) for path in self.files)

    def pictures(
        self, skip: AbstractSet[str] = frozenset(), *, limit: int | None = None
    ) -> Iterator[Picture]:
        """Decode the clips one by one."""
        for capture, path, number in islice(self._grabbed(), limit):
            whole = self._whole(path)
            key = f"{whole}#{number:06d}"
            if key not in skip:
                yield Picture(
                    image=_decoded(capture, path, number),
                    source=self.name,
                    licence=self.licence,
                    key=key,
                    group=run_of(whole, number // self.every) if self.in_runs else whole,
                )

    def _grabbed(self) -> Iterator[tuple[cv2.VideoCapture, Path, int]]:
        """Stop at every frame to be had, ready to be decoded."""
        for path in self.files:
            capture = _open_video(path)
            number = 0
            while capture.grab():
                if number % self.every == 0:
                    yield capture, path, number
                number += 1
            capture.release()
            if not number:
                raise SourceError(
                    f"no frame of {path} can be read; convert it to MP4 and repeat, or remove it"
                )

    def _whole(self, path: Path) -> str:
        return f"{self.name}/{path.stem}"


def files_in(folder: Path, endings: AbstractSet[str] = PICTURE_ENDINGS) -> tuple[Path, ...]:
    """Return the files of a folder that end so, in the order of their names.

    Raises:
        SourceError: there are none.

    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder; unpack the set and name the folder it made")
    paths = tuple(path for path in sorted(folder.iterdir()) if path.suffix.lower() in endings)
    if not paths:
        raise SourceError(f"{folder} holds no {', '.join(sorted(endings))} files; name another")
    return paths


def _in_pixels(row: tuple[int, float, float, float, float], width: int, height: int) -> GivenBox:
    kind, cx, cy, w, h = row
    corners = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    box = corners * [width, height, width, height] - 0.5
    return GivenBox(kind=BOX_KINDS[kind], box_px=box.astype(np.float32))


def _open_video(path: Path) -> cv2.VideoCapture:
    if not path.is_file():
        raise SourceError(f"{path} does not exist; name a video file")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise SourceError(f"{path} cannot be read as a video; convert it to MP4 and repeat")
    return capture


def _promised_frames(path: Path) -> int:
    capture = _open_video(path)
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return max(frames, 0)


def _decoded(capture: cv2.VideoCapture, path: Path, number: int) -> UInt8[np.ndarray, "h w 3"]:
    success, image = capture.retrieve()
    if not success:
        raise SourceError(f"frame {number} of {path} cannot be decoded; convert the file again")
    return np.asarray(image, np.uint8)
