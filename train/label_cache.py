"""Teacher labels on disk: a folder of shards that grows, and an index of what is in it.

In: `LabelledImage`s.  Out: `labels-00000.npz` … (`train.label_shard`) and `labels.json`; and back,
with `read_labels`.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_pose.errors import SourceError
from train.label_shard import read_shard, write_shard
from train.labelled_image import LabelledImage

SCHEMA: Final = 2
SHARD_PICTURES: Final = 256
INDEX_FILE: Final = "labels.json"


def is_labelled(folder: Path) -> bool:
    """Tell whether a folder holds shards of labels."""
    return bool(_shards(folder))


def groups_in(folder: Path) -> frozenset[str]:
    """Name the groups of the pictures labelled in a folder; none where there are no labels."""
    return _words(folder, "group")


class LabelFolder:
    """A folder of shards that grows; what is in it stays in it."""

    def __init__(self, folder: Path, *, teachers: Mapping[str, str]) -> None:
        """Open or create the folder; `teachers` maps the model files to their hashes."""
        self._folder = folder
        self._teachers = dict(teachers)
        self._waiting: list[LabelledImage] = []
        folder.mkdir(parents=True, exist_ok=True)
        index = folder / INDEX_FILE
        if index.exists():
            written = json.loads(index.read_text())["teachers"]
            if json.loads(index.read_text())["schema"] != SCHEMA:
                raise SourceError(
                    f"{folder} holds labels of an older form; choose another --out or delete it"
                )
            if written != self._teachers:
                raise SourceError(
                    f"{folder} holds labels of other teachers ({', '.join(sorted(written))}); "
                    "choose another --out or delete the folder"
                )

    def done(self) -> frozenset[str]:
        """Return the keys of the pictures that need no more work."""
        return _words(self._folder, "key")

    def add(self, image: LabelledImage) -> None:
        """Add a picture; every so many are written."""
        self._waiting.append(image)
        if len(self._waiting) == SHARD_PICTURES:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a shard, and the index anew."""
        if self._waiting:
            number = len(_shards(self._folder))
            write_shard(self._folder / f"labels-{number:05d}.npz", self._waiting)
            self._waiting.clear()
        part = self._folder / f"{INDEX_FILE}.part"
        part.write_text(json.dumps(self._index(), indent=2) + "\n")
        part.replace(self._folder / INDEX_FILE)

    def _index(self) -> dict[str, Any]:
        rejected: Counter[str] = Counter()
        pictures: Counter[str] = Counter()
        people: Counter[str] = Counter()
        licences: dict[str, str] = {}
        for shard in _shards(self._folder):
            with np.load(shard) as arrays:
                sources = arrays["source"]
                pictures.update(sources.tolist())
                people.update(sources[arrays["image"]].tolist())
                licences.update(zip(sources.tolist(), arrays["licence"].tolist(), strict=True))
                reasons = zip(arrays["rejected_reason"], arrays["rejected_count"], strict=True)
                for reason, count in reasons:
                    rejected[str(reason)] += int(count)
        return {
            "schema": SCHEMA,
            "teachers": self._teachers,
            "sources": {
                name: {
                    "licence": licences[name],
                    "pictures": pictures[name],
                    "people": people[name],
                }
                for name in sorted(pictures)
            },
            "rejected": dict(sorted(rejected.items())),
            "shards": len(_shards(self._folder)),
        }


def read_labels(folder: Path) -> Iterator[LabelledImage]:
    """Yield the labelled pictures of a folder, shard by shard, also while it still grows."""
    for shard in shards_of(folder):
        yield from read_shard(shard)


def shards_of(folder: Path) -> list[Path]:
    """Return the shards of a folder, in their order; a SourceError where there are none."""
    shards = _shards(folder)
    if not shards:
        raise SourceError(f"{folder} holds no labels-*.npz; make them with `python -m train label`")
    return shards


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("labels-?????.npz"))


def _words(folder: Path, name: str) -> frozenset[str]:
    """Read one array of words of all shards, and no picture."""
    found: set[str] = set()
    for shard in _shards(folder):
        with np.load(shard) as arrays:
            found.update(arrays[name].tolist())
    return frozenset(found)
