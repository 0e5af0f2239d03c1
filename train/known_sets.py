"""One reader for each known set of real pictures, with its licence.

In: the folder that a set was unpacked to.  Out: its `Stills` or `Clips`, in groups by clip, day or
scene.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from edge_pose.errors import SourceError
from train.given_points import NamedPoint, read_given_points
from train.sources import Clips, Still, Stills, files_in

WORKERS_SCENE: Final = 20
"""Photos of the workers set that follow each other often show one event: so many are a group."""


def workers(folder: Path) -> Stills:
    """Read the photos of people at work: `boxes.tsv`, `train/` and `valid/`."""
    table = folder / "boxes.tsv"
    boxes = defaultdict(list)
    for number, line in enumerate(_lines(table), start=1):
        if line.startswith("#"):
            continue
        try:
            split, image, row = line.split("\t")
            kind, *values = row.split()
            cx, cy, width, height = map(float, values)
            boxes[f"{split}/{image}"].append((int(kind), cx, cy, width, height))
        except ValueError as error:
            raise SourceError(
                f"{table}:{number} is {line!r}, expected 'split<tab>image<tab>class cx cy w h'; "
                "unpack the set again"
            ) from error
    paths = [path for split in ("train", "valid") for path in files_in(folder / split)]
    return Stills(
        name="workers",
        licence=(
            "CC0 / public domain by the data set's authors (doi:10.7910/DVN/7CBGOS); "
            "the photos were collected on the web, rights per photo unverified"
        ),
        files=tuple(
            Still(
                path=path,
                key=f"workers/{path.parent.name}/{path.name}",
                group=f"workers/{int(path.name[:6]) // WORKERS_SCENE:04d}",
                boxes=tuple(boxes[f"{path.parent.name}/{path.name}"]),
            )
            for path in paths
        ),
    )


def sitting_posture(folder: Path) -> Stills:
    """Read the desk-work pictures, and the points set in them; one day of recording is a group."""
    points: dict[str, tuple[NamedPoint, ...]] = {}
    for path in sorted(folder.glob("*.coco.json")):
        points |= read_given_points(path)
    return Stills(
        name="sitting-posture",
        licence="CC BY 4.0 (Roboflow 'sitting-posture-rofqf')",
        files=tuple(
            Still(
                path=path,
                key=f"sitting-posture/{path.name}",
                group=f"sitting-posture/{_day(path)}",
                points=points.get(path.stem, ()),
            )
            for path in files_in(folder)
        ),
    )


def sign_language(folder: Path, *, every: int = 1) -> Clips:
    """Read Intel's sign-language clips: upper bodies in an office."""
    files = files_in(folder, frozenset({".mkv"}))
    return Clips(name="sign-language", licence="CC BY 4.0 (Intel)", files=files, every=every)


def one_by_one(folder: Path, *, every: int = 1) -> Clips:
    """Read Intel's clip of persons who walk by one after another."""
    files = files_in(folder, frozenset({".mp4"}))
    return Clips(name="one-by-one", licence="CC BY 4.0 (Intel)", files=files, every=every)


def previews(folder: Path, *, every: int = 1) -> Clips:
    """Read Intel's animated previews: a factory worker, a store aisle."""
    files = files_in(folder, frozenset({".gif"}))
    return Clips(name="previews", licence="CC BY 4.0 (Intel)", files=files, every=every)


def sitting_man(folder: Path, *, every: int = 1) -> Clips:
    """Read the bodypose3d clip: a man sits down and stands up."""
    files = (folder / "media" / "cam0_test.mp4",)
    return Clips(name="sitting-man", licence="MIT (bodypose3d)", files=files, every=every)


def walking_man(folder: Path, *, every: int = 1) -> Clips:
    """Read the Sports2D demo clip: a man walks across a yard."""
    files = (folder / "Sports2D" / "Demo" / "demo.mp4",)
    return Clips(name="walking-man", licence="BSD-3-Clause (Sports2D)", files=files, every=every)


STILL_SETS: Final[Mapping[str, Callable[[Path], Stills]]] = MappingProxyType(
    {"workers": workers, "sitting-posture": sitting_posture}
)


class ClipReader(Protocol):
    """Reads the clips of one known set."""

    def __call__(self, folder: Path, *, every: int = 1) -> Clips:
        """Return the source."""


CLIP_SETS: Final[Mapping[str, ClipReader]] = MappingProxyType(
    {
        "sign-language": sign_language,
        "one-by-one": one_by_one,
        "previews": previews,
        "sitting-man": sitting_man,
        "walking-man": walking_man,
    }
)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise SourceError(f"{path} does not exist; name the folder that the archive unpacked to")
    return path.read_text().splitlines()


def _day(path: Path) -> str:
    return next((part for part in path.name.split("_") if part.isdigit()), "unknown")
