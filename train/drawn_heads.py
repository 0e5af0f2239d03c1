"""What the heads that somebody drew tell of people: who has no known body, and where it may be.

In: labelled pictures.  Out: boxes of the people in them that are known, heads without a known
body, and guesses of where it is.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32

from edge_pose.boxes import overlaps
from train.labelled_image import LabelledImage

_SURE: Final = 0.5
_BODIES: Final = ((2.4, 2.2), (2.8, 4.0), (2.6, 7.0))
"""Width and height in heads of what may be seen below one: shoulders, the trunk, all of a body."""
_COVERED_IOU: Final = 0.5
_UPPER: Final = 0.5
"""Of a box: where the head of whom it shows is."""


def known_people(image: LabelledImage) -> Float32[np.ndarray, "people 4"]:
    """Return boxes of everybody of whom a teacher is sure."""
    return united(_posed(image), image.detected_px[image.detected_scores >= _SURE])


def doubted_people(image: LabelledImage) -> Float32[np.ndarray, "doubted 4"]:
    """Return boxes of whom the teacher of people is not sure."""
    return image.detected_px[image.detected_scores < _SURE]


def boxes_of_anybody(image: LabelledImage) -> Float32[np.ndarray, "boxes 4"]:
    """Return every box in which somebody is, or may be: known, doubted, drawn or guessed."""
    bodies = np.concatenate([_posed(image), image.detected_px, image.overlooked_px])
    guessed = map(bodies_below, overlooked_heads(image, bodies))
    drawn = np.array([given.box_px for given in image.given], np.float32).reshape(-1, 4)
    return np.concatenate([bodies, drawn, *guessed])


def overlooked_heads(
    image: LabelledImage, people_px: Float32[np.ndarray, "people 4"]
) -> Iterator[Float32[np.ndarray, "4"]]:
    """Yield the drawn heads that belong to none of the boxes."""
    for given in image.given:
        is_head = given.kind in {"head", "helmet"}
        if is_head and not in_upper_half(given.box_px[None], people_px).any():
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
    new = ~(overlaps(second, first) > _COVERED_IOU).any(axis=1)
    return np.concatenate([first, second[new]]).astype(np.float32)


def in_upper_half(
    heads_px: Float32[np.ndarray, "heads 4"], boxes_px: Float32[np.ndarray, "boxes 4"]
) -> Bool[np.ndarray, "heads boxes"]:
    """Tell in whose boxes' upper halves the middles of heads lie."""
    middle = (heads_px[:, None, :2] + heads_px[:, None, 2:]) / 2
    low, high = boxes_px[None, :, :2], boxes_px[None, :, 2:].copy()
    high[..., 1] = low[..., 1] + _UPPER * (high[..., 1] - low[..., 1])
    return np.asarray(((middle >= low) & (middle <= high)).all(axis=2))


def _posed(image: LabelledImage) -> Float32[np.ndarray, "people 4"]:
    """Return the boxes of those whose joints a teacher labelled."""
    return np.array([person.box_px for person in image.people], np.float32).reshape(-1, 4)
