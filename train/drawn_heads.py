"""What the heads that somebody drew tell of people: who has no known body, and where it may be.

In: labelled pictures.  Out: boxes of the people in them that are known, heads without a known
body, and guesses of where it is.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float32

from train.label_cache import LabelledImage

_SURE: Final = 0.5
_BODIES: Final = ((2.4, 2.2), (2.8, 4.0), (2.6, 7.0))
"""Width and height in heads of what may be seen below one: shoulders, the trunk, all of a body."""
_COVERED_IOU: Final = 0.5


def known_people(image: LabelledImage) -> Float32[np.ndarray, "people 4"]:
    """Return boxes of everybody of whom a teacher is sure."""
    posed = np.array([person.box_px for person in image.people], np.float32).reshape(-1, 4)
    return united(posed, image.detected_px[image.detected_scores >= _SURE])


def doubted_people(image: LabelledImage) -> Float32[np.ndarray, "doubted 4"]:
    """Return boxes of whom the teacher of people is not sure."""
    return image.detected_px[image.detected_scores < _SURE]


def boxes_of_anybody(image: LabelledImage) -> Float32[np.ndarray, "boxes 4"]:
    """Return every box in which somebody is, or may be: known, doubted, drawn or guessed."""
    posed = [person.box_px for person in image.people]
    bodies = np.array([*posed, *image.detected_px, *image.overlooked_px], np.float32)
    guessed = (bodies_below(head) for head in overlooked_heads(image, bodies.reshape(-1, 4)))
    drawn = np.array([given.box_px for given in image.given], np.float32)
    return np.concatenate([bodies.reshape(-1, 4), drawn.reshape(-1, 4), *guessed])


def overlooked_heads(
    image: LabelledImage, people_px: Float32[np.ndarray, "people 4"]
) -> Iterator[Float32[np.ndarray, "4"]]:
    """Yield the drawn heads that belong to none of the boxes."""
    for given in image.given:
        if given.kind in {"head", "helmet"} and not _has_body(given.box_px, people_px):
            yield given.box_px


def bodies_below(head_px: Float32[np.ndarray, "4"]) -> Float32[np.ndarray, "bodies 4"]:
    """Guess where the body of a head is, less and more of it."""
    x, top, bottom = (head_px[0] + head_px[2]) / 2, head_px[1], head_px[3]
    size = max(head_px[2] - head_px[0], bottom - top)
    bodies = [
        (x - wide * size / 2, top, x + wide * size / 2, top + high * size) for wide, high in _BODIES
    ]
    return np.array(bodies, np.float32)


def united(
    first: Float32[np.ndarray, "first 4"], second: Float32[np.ndarray, "second 4"]
) -> Float32[np.ndarray, "both 4"]:
    """Join two lists of boxes; those of the second that the first already has are dropped."""
    low = np.maximum(first[None, :, :2], second[:, None, :2])
    high = np.minimum(first[None, :, 2:], second[:, None, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    iou = common / np.maximum(areas[0][None] + areas[1][:, None] - common, 1e-6)
    new = ~(iou > _COVERED_IOU).any(axis=1)
    return np.concatenate([first, second[new]]).astype(np.float32)


def _has_body(
    head_px: Float32[np.ndarray, "4"], people_px: Float32[np.ndarray, "people 4"]
) -> bool:
    """Tell whether a head's middle lies in the upper half of a box."""
    x, y = (head_px[:2] + head_px[2:]) / 2
    return bool(
        (
            (people_px[:, 0] <= x)
            & (x <= people_px[:, 2])
            & (people_px[:, 1] <= y)
            & (y <= (people_px[:, 1] + people_px[:, 3]) / 2)
        ).any()
    )
