"""The teachers go through a source: pictures in, a folder of labels out, and on from there.

In: a `Source`.  Out: shards of `train.label_cache`.  Of pictures of an empty place, a line at
night for example, no teacher is asked: whoever filmed it knows that nobody is there.
"""

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from train.label_cache import LabelFolder
from train.labelled_image import LabelledImage, no_boxes
from train.sources import Picture, Source
from train.teacher import TEACHERS, Teacher, at_kept_size
from train.teacher_people import People
from train.weights import DEFAULT_CACHE

MOST_PEOPLE: Final = 3
"""Labelled in a picture, if nobody says otherwise."""
_TOLD: Final = {"nobody": "told by whoever filmed it"}
"""Stands where the teachers and their hashes do."""


def label_source(
    source: Source,
    out: Path,
    *,
    limit: int | None = None,
    most_people: int = MOST_PEOPLE,
    nobody: bool = False,
    cache: Path = DEFAULT_CACHE,
) -> None:
    """Label what is not labelled yet.

    Args:
        source: pictures.
        out: folder of labels, new or to be continued.
        limit: stop after so many pictures of the source, labelled before or now.
        most_people: labelled in a picture.
        nobody: whether it is known that the pictures show nobody.
        cache: where model files lie.

    Raises:
        SourceError: a file of the source cannot be read, or the folder holds other labels.

    """
    folder = LabelFolder(out, teachers=_TOLD if nobody else TEACHERS)
    done = folder.done()
    label = empty if nobody else Teacher(cache=cache, most_people=most_people).label
    total = len(source) if limit is None else min(len(source), limit)
    # A guess for the bar alone: headers promise wrongly, and what is done may be gone by now.
    remaining = max(total - sum(key.startswith(f"{source.name}/") for key in done), 0)
    pictures = source.pictures(skip=done, limit=limit)
    try:
        for picture in tqdm(pictures, total=remaining or None, desc=source.name):
            folder.add(label(picture))
    finally:
        folder.flush()


def empty(picture: Picture) -> LabelledImage:
    """Label a picture without anybody in it."""
    nobody = People(boxes_px=no_boxes(), scores=np.zeros(0, np.float32))
    return at_kept_size(picture, nobody, [], Counter())
