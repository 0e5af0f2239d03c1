"""The teachers go through a source: pictures in, a folder of labels out, and on from there.

In: a `Source`.  Out: shards of `train.label_cache`.
"""

from pathlib import Path
from typing import Final

from tqdm import tqdm

from train.label_cache import LabelFolder
from train.sources import Source
from train.teacher import TEACHERS, Teacher
from train.weights import DEFAULT_CACHE

MOST_PEOPLE: Final = 3
"""Labelled in a picture, if nobody says otherwise."""


def label_source(
    source: Source,
    out: Path,
    *,
    limit: int | None = None,
    most_people: int = MOST_PEOPLE,
    cache: Path = DEFAULT_CACHE,
) -> None:
    """Label what is not labelled yet.

    Args:
        source: pictures.
        out: folder of labels, new or to be continued.
        limit: stop after so many pictures of the source, labelled before or now.
        most_people: labelled in a picture.
        cache: where model files lie.

    Raises:
        SourceError: a file of the source cannot be read, or the folder holds other labels.

    """
    folder = LabelFolder(out, teachers=TEACHERS)
    done = folder.done()
    teacher = Teacher(cache=cache, most_people=most_people)
    total = len(source) if limit is None else min(len(source), limit)
    # A guess for the bar alone: headers promise wrongly, and what is done may be gone by now.
    remaining = max(total - sum(key.startswith(f"{source.name}/") for key in done), 0)
    pictures = source.pictures(skip=done, limit=limit)
    try:
        for picture in tqdm(pictures, total=remaining or None, desc=source.name):
            folder.add(teacher.label(picture))
    finally:
        folder.flush()
