"""What data a run learns from: paths in, words for its recipe out, which differ when the data does.

In: folders of `train synth` or `train label`, pictures, videos, or single files.  Out: where they
are, and how many files of how many bytes lie there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_pose.errors import SourceError
from train.label_cache import is_labelled
from train.sources import PICTURE_ENDINGS, VIDEO_ENDINGS
from train.synth.dataset import is_rendered

_WRITTEN: Final = ("chunk-*.npz", "labels-*.npz")
"""What `train synth` and `train label` write; what else lies beside it is not learned from."""


def data_words(name: str, paths: Sequence[Path], *, out: Path) -> dict[str, str]:
    """Say where data is and how much there is, under a name that a user knows it by.

    Args:
        name: for example the option that names the data.
        paths: folders or files.
        out: of the run, whose own files do not count where it lies among the data.

    Raises:
        SourceError: a path that is not there, or without data.

    """
    folder = out.resolve()
    sizes = [
        file.stat().st_size
        for path in paths
        for file in _files(path)
        if folder not in file.resolve().parents
    ]
    return {
        name: ", ".join(str(path.resolve()) for path in paths),
        f"files of {name}": f"{len(sizes)} with {sum(sizes)} bytes",
    }


def needs_teachers(path: Path) -> bool:
    """Tell whether nobody rendered or labelled what lies there, so that the teachers label it."""
    return not is_rendered(path) and not is_labelled(path)


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise SourceError(f"there is no {path}; name a folder of pictures, or a video")
    if path.is_file():
        return [path]
    written = [file for pattern in _WRITTEN for file in path.glob(pattern)]
    seen = PICTURE_ENDINGS | VIDEO_ENDINGS
    files = written or [file for file in path.rglob("*") if file.suffix.lower() in seen]
    if not files:
        raise SourceError(f"{path} holds no pictures and no videos; name another folder")
    return files
