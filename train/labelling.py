"""The teachers go through a source: pictures in, a folder of labels out, and on from there.

In: a `Source`.  Out: shards of `train.label_cache`.
"""

from itertools import islice
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
        limit: stop after so many pictures of the source.
        most_people: labelled in a picture.
        cache: where model files lie.

    """
    folder = LabelFolder(out, teachers=TEACHERS)
    done = folder.done()
    teacher = Teacher(cache=cache, most_people=most_people)
    total = len(source) if limit is None else min(len(source), limit)
    pictures = source.pictures(skip=done)
    remaining = max(total - len(done), 0)
    try:
        for picture in tqdm(islice(pictures, remaining), total=remaining, desc=source.name):
            folder.add(teacher.label(picture))
    finally:
        folder.flush()
