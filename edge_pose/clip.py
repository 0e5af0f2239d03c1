"""Recorded pictures: a path comes in; its pictures come out in order, each with its own time.

A path is a video, a folder of pictures or a single picture.  With feed.py the only file that opens
cv2.VideoCapture.  OpenCV scales a video whose frame size changes in the middle to its first size;
a folder may mix sizes.
"""

import logging
import re
from collections.abc import Generator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from edge_pose.clock import NS_PER_MS, NS_PER_S
from edge_pose.errors import SourceError
from edge_pose.feed import quiet

log = logging.getLogger(__name__)

PICTURES: Final = frozenset(
    (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
USUAL_FPS: Final = 30.0
"""Where a file does not say its rate, and for folders of pictures."""
_LARGEST_FPS: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture of a recording."""

    image: UInt8[np.ndarray, "height width 3"]
    own_ns: int
    """When it is shown, from the start of the recording; strictly increasing."""


Pictures = Generator[Picture, None, None]


def pictures(path: Path, fps: float | None = None) -> Pictures:
    """Give every picture; `fps` is the rate of a folder.  Nothing readable: SourceError."""
    try:
        return _pictures(path, fps)
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise SourceError(f"{path} cannot be read: {error.strerror}; check the name") from None


def _pictures(path: Path, fps: float | None) -> Pictures:
    if path.is_dir():
        return _folder(path, fps or USUAL_FPS)
    if not path.is_file():
        raise SourceError(f"There is no file or folder {path}; {_near(path)}")
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is an empty file; wanted a video or a picture")
    if path.suffix.lower() in PICTURES:
        image = _picture(path)
        return (Picture(image=image, own_ns=0) for _ in range(1))
    return _video(path)


def _near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"its folder {folder} does not exist either"
    names = sorted(entry.name for entry in folder.iterdir())
    hints = get_close_matches(path.name, names, n=3, cutoff=0.5)
    if hints:
        return f"near it are {', '.join(hints)}"
    return f"its folder {folder} holds nothing with a similar name"


def _picture(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"{path} cannot be read as a picture; it may be damaged or unfinished")
    return np.asarray(image, np.uint8)


def _folder(path: Path, fps: float) -> Pictures:
    found = sorted(
        (entry for entry in path.iterdir() if entry.suffix.lower() in PICTURES),
        key=_as_a_person_counts,
    )
    if not found:
        raise SourceError(
            f"The folder {path} holds no pictures; "
            f"wanted files ending in {', '.join(sorted(PICTURES))}"
        )
    return (
        Picture(image=_picture(entry), own_ns=round(index * NS_PER_S / fps))
        for index, entry in enumerate(found)
    )


def _as_a_person_counts(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts `img_2` before `img_10`."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _video(path: Path) -> Pictures:
    with quiet():
        capture = cv2.VideoCapture(str(path))
    if not capture.isOpened() or not capture.grab():
        capture.release()
        raise SourceError(
            f"{path} holds no video that can be read; it may be damaged or unfinished"
        )
    return _frames(capture, path)


def _frames(capture: cv2.VideoCapture, path: Path) -> Pictures:
    """Give the grabbed frame and all after it, then release."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    step_ns = round(NS_PER_S / (fps if 0 < fps <= _LARGEST_FPS else USUAL_FPS))
    promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    given, last_ns, offset_ns = 0, -step_ns, 0
    try:
        while True:
            found, image = capture.retrieve()
            if found:
                told_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * NS_PER_MS)
                if told_ns + offset_ns <= last_ns:  # time stood still or jumped back: carry on
                    offset_ns = last_ns + step_ns - told_ns
                last_ns = told_ns + offset_ns
                given += 1
                yield Picture(image=np.asarray(image, np.uint8), own_ns=last_ns)
            if not capture.grab():
                break
    finally:
        capture.release()
    if given == 0:
        raise SourceError(f"{path} opens as a video, but none of its frames can be read")
    if given < promised:
        log.warning("%s ended after %d of the %d frames it announces", path, given, promised)
