"""`python -m train masks`: draw what each recipe of masks hides, and what a network then sees.

In: a person, from a picture or clip looked at by the teachers, or from rendered people.  Out: one
labelled picture (matplotlib): for every recipe the crop, what is hidden of it, and the filled crop.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from edge_pose.errors import ConfigError, SourceError
from edge_pose.region import region_of_body
from train.labelled_image import LabelledImage
from train.masking.context import MaskContext
from train.masking.crop import Views
from train.masking.figure import Row, draw_rows
from train.masking.grammar import read_recipe
from train.masking.recipe import RECIPES
from train.masking.sight import fill
from train.pose_augment import Person, TrainingCrop, cut_crop
from train.pose_data import RenderedPeople
from train.sources import Picture
from train.teacher import LEAST_CONFIDENCE, Teacher
from train.weights import DEFAULT_CACHE

_DEMO: Final = Path(__file__).resolve().parents[2] / "demo" / "worker.mp4"
_FRAMES: Final = 4
"""Of the clip that a still stands for, so that masks over time have something to show."""
_LOOKS: Final = 20
_FRAMES_BETWEEN: Final = 9
"""So many frames of a clip are shown to the teachers, and so many lie between two of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--show", type=Path, required=True, metavar="OUT.png", help="draw the masks into this file"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--picture", type=Path, help="a picture or clip with a person in it")
    shown.add_argument("--rendered", type=Path, help="a folder of rendered people")
    parser.add_argument("--person", type=int, default=0, help="which of the rendered people")
    parser.add_argument(
        "--recipe",
        action="append",
        metavar="TEXT",
        help="name or text of a recipe, as in train/masking/grammar.py; may be repeated; "
        "without it all that have names",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where model files lie")


def main(arguments: argparse.Namespace) -> None:
    """Draw the recipes."""
    recipes = arguments.recipe or list(RECIPES)
    for text in recipes:
        read_recipe(text)
    if arguments.rendered is not None:
        person = _rendered(arguments.rendered, arguments.person)
    else:
        person = _labelled(arguments.picture or _DEMO, arguments.cache)
    views = _views(cut_crop(person, region_of_body(person.reach_px)))
    rows = [row for text in recipes for row in rows_of(text, views, seed=arguments.seed)]
    arguments.show.parent.mkdir(parents=True, exist_ok=True)
    draw_rows(rows, arguments.show)
    print(f"{arguments.show} shows {len(recipes)} recipes")


def rows_of(text: str, views: Views, *, seed: int) -> list[Row]:
    """Hide parts of the one picture in `views` by a recipe; a row for each look or frame."""
    recipe = read_recipe(text)
    generator = torch.Generator().manual_seed(seed)
    if recipe.crop is not None:
        views = recipe.crop.apply(views, generator)
    context = MaskContext(
        size_px=views.image.shape[-1],
        foreground=views.foreground,
        joints_px=views.joints_px,
        frames=_FRAMES,
    )
    (hidden,) = recipe.draw(context, 1, generator).hidden
    name, detail = (text, "") if text == recipe.text else (text, recipe.text)
    revealed = torch.zeros_like(hidden)
    revealed[:-1] = (hidden[:-1] - hidden[1:]).clamp(min=0)
    return [
        Row(
            title=name if len(hidden) == 1 else f"{name} {number + 1}/{len(hidden)}",
            detail=detail,
            image=_pixels(views.image),
            hidden=hidden[number].numpy(),
            revealed=revealed[number].numpy(),
            seen=_pixels(fill(views.image, hidden[number][None], recipe.opacity)),
        )
        for number in range(len(hidden))
    ]


def _views(crop: TrainingCrop) -> Views:
    assert crop.foreground is not None
    joints_px = np.where(crop.weight_2d[:, None] > LEAST_CONFIDENCE, crop.joints_px, np.nan)
    return Views(
        image=torch.from_numpy(crop.image.astype(np.float32))[None] / 255,
        foreground=torch.from_numpy(crop.foreground.astype(np.float32))[None] / 255,
        joints_px=torch.from_numpy(joints_px.astype(np.float32))[None],
    )


def _pixels(image: torch.Tensor) -> UInt8[np.ndarray, "height width 3"]:
    return (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def _rendered(folder: Path, number: int) -> Person:
    people = RenderedPeople(folder, with_foreground=True)
    if not 0 <= number < len(people):
        raise ConfigError(
            f"{folder} holds {len(people)} rendered people and no person {number}; "
            "choose another --person, or render with `python -m train synth`."
        )
    return people.person(number)


def _labelled(path: Path, cache: Path) -> Person:
    """Let the teachers find the largest person in a picture, or in the first frame with one."""
    teacher = Teacher(cache=cache)
    capture = cv2.VideoCapture(str(path))
    try:
        read, image = capture.read()
        if not read:
            raise SourceError(f"{path} cannot be read as a picture or clip; name another.")
        for _ in range(_LOOKS):
            labelled = teacher.label(_picture(image, path))
            if labelled.people:
                return _largest(labelled)
            for _ in range(_FRAMES_BETWEEN):
                capture.grab()
            read, image = capture.read()
            if not read:
                break
    finally:
        capture.release()
    raise SourceError(
        f"the teachers see nobody clearly enough in {path}; name a --picture with one person, "
        "large and unhidden, or --rendered people."
    )


def _picture(image: np.ndarray, path: Path) -> Picture:
    return Picture(
        image=np.asarray(image, np.uint8), source="own", licence="", key=path.name, group=path.name
    )


def _largest(labelled: LabelledImage) -> Person:
    label = max(labelled.people, key=lambda one: float(np.prod(one.box_px[2:] - one.box_px[:2])))
    masks: Sequence[np.ndarray] = [person.mask() for person in labelled.people]
    return Person(
        image=labelled.image(),
        box_px=label.box_px,
        reach_px=label.reach_px,
        joints_px=label.joints_px,
        weight_2d=label.confidence,
        foreground=np.maximum.reduce(masks),
    )
