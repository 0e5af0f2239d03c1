"""Recipes are read strictly: what is understood, and what is said about what is not."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge_pose.errors import ConfigError, SourceError
from train.masking import RECIPES, Crop, MaskContext, MaskRecipe, grammar, read_recipe
from train.masking import command as masks_command
from train.masking.discs import Fovea, Periphery, SecondDisc
from train.masking.figure import Row, draw_rows, veiled
from train.masking.patches import ForegroundPatches, Patches
from train.masking.recipe import TERMS


def test_a_recipe_is_read_from_left_to_right_with_values_and_keys() -> None:
    assert read_recipe(" periphery(0.7, at=left_wrist) +second_disc(visible=0.1) + patches ") == (
        MaskRecipe(
            text=" periphery(0.7, at=left_wrist) +second_disc(visible=0.1) + patches ",
            terms=(Periphery(0.7, "left_wrist"), SecondDisc(0.1), Patches()),
            opacity=1.0,
            crop=None,
        )
    )


def test_a_name_stands_for_its_text() -> None:
    assert read_recipe("covert attention") == read_recipe(RECIPES["covert attention"])


def test_opacity_and_crop_are_kept_apart_from_what_hides() -> None:
    recipe = read_recipe("crop(0.3, 0.9) + patches(0.5, px=4) + opacity(0.25)")
    assert recipe.terms == (Patches(0.5, 4),)
    assert recipe.opacity == 0.25
    assert recipe.crop == Crop(0.3, 0.9)


def test_a_fovea_blurs_unless_told_otherwise() -> None:
    assert read_recipe("fovea").opacity == 0
    assert read_recipe("fovea + opacity(0.5)").opacity == 0.5
    assert read_recipe("fovea + patches + opacity(1)").terms == (Fovea(), Patches())


@pytest.mark.parametrize(
    ("text", "foreground", "joints"),
    [
        ("patches", False, False),
        ("periphery(at=centre)", False, False),
        ("periphery(at=foreground)", True, False),
        ("periphery + second_disc", True, False),
        ("foreground_patches", True, False),
        ("fovea(at=joint)", False, True),
        ("fixations(at=joint)", False, True),
        ("periphery(at=nose)", False, True),
    ],
)
def test_a_recipe_knows_what_it_needs(text: str, *, foreground: bool, joints: bool) -> None:
    recipe = read_recipe(text)
    assert recipe.needs_foreground == foreground
    assert recipe.needs_joints == joints


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patchs(0.5)", "did you mean 'patches'"),
        ("patches(0.5, pix=3)", "did you mean 'px'"),
        ("patches(1.5)", "between 0 and 1"),
        ("patches(0)", "between 0 and 1"),
        ("patches(px=1.5)", "a whole number is wanted"),
        ("patches(hidden=True)", "a number is wanted"),
        ("patches(0.5, 16, 3)", "it takes hidden, px"),
        ("patches(0.5, hidden=0.3)", "'hidden' twice"),
        ("patches(px=0)", "from 1"),
        ("foreground_patches(background=0)", "above 0"),
        ("periphery(0.8, at=foregrund)", "did you mean foreground"),
        ("periphery(0.8, at=0.3)", "a name is wanted"),
        ("fixations(at=centre)", "cannot look at=centre"),
        ("fixations(looks=1)", "at least 2"),
        ("fovea(half=2)", "between 0 and 1"),
        ("tubes(span=-1)", "number is wanted"),
        ("opacity(2) + patches", "no opacity"),
        ("crop(0.5, 0.2) + patches", "least <= most"),
        ("crop()", "hides nothing"),
        ("patches + opacity(0) + opacity(1)", "twice"),
        ("fovea + patches", "say which by adding opacity"),
        ("patches(0.5) +", "did you mean 'patches'"),
        ("periphery blured", "did you mean 'periphery, blurred'"),
        ("__import__('os').getcwd()", "no sum of terms"),
        ("patches(**{})", "no sum of terms"),
        ("", "no sum of terms"),
    ],
)
def test_what_nobody_understands_is_said_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_recipe(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_that_need_something_say_so_where_it_is_missing(name: str) -> None:
    recipe = read_recipe(name)
    context = MaskContext(size_px=32)
    if recipe.needs_foreground or recipe.needs_joints:
        with pytest.raises(ConfigError, match=r"needs (foreground|joints)"):
            recipe.draw(context, 1, torch.Generator())
    else:
        recipe.draw(context, 1, torch.Generator())


def test_two_kinds_of_sequence_do_not_go_together() -> None:
    context = MaskContext(size_px=32, frames=4)
    for text in ("fixations(at=random) + tubes", "tubes + fixations(at=random)"):
        with pytest.raises(ConfigError, match="use one of the two"):
            read_recipe(text).draw(context, 1, torch.Generator())


def test_the_defaults_of_the_grammar_are_those_of_the_terms() -> None:
    """The docstring of the grammar promises defaults; they are executed."""
    assert grammar.__doc__ is not None
    promised = [
        line.split(")")[0].strip() + ")"
        for line in grammar.__doc__.splitlines()
        if line.split("(")[0].strip() in TERMS
    ]
    assert {text.split("(")[0] for text in promised} == set(TERMS)
    for text in promised:
        name = text.split("(")[0]
        others = "" if name not in ("opacity", "crop") else " + patches"
        assert read_recipe(text + others).terms == read_recipe(name + others).terms
        assert read_recipe(text + others).crop == read_recipe(name + others).crop
        assert read_recipe(text + others).opacity == read_recipe(name + others).opacity
    assert read_recipe("foreground_patches").terms == (ForegroundPatches(0.6, 16, 0.1),)


def shown(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    masks_command.add_arguments(parser)
    return parser.parse_args(words)


def test_the_veil_shows_what_is_hidden_and_what_is_seen_next() -> None:
    grey = np.full((2, 3, 3), 100, np.uint8)
    hidden = np.array([[0, 1, 1]] * 2, np.float32)
    revealed = np.array([[0, 0, 1]] * 2, np.float32)
    row = Row(title="", detail="", image=grey, hidden=hidden, revealed=revealed, seen=grey)
    left, middle, right = veiled(row)[0].astype(int)
    assert (left == 100).all()
    assert middle[0] > 100 > middle[2]  # red over what is hidden
    assert right[2] > 100 > right[0]  # blue over what comes next


def test_rows_are_drawn_into_a_picture_that_shows_their_crops(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 64, 3), np.uint8)
    nothing = np.zeros((64, 64), np.float32)
    red = np.zeros_like(image)
    red[..., 0] = 255
    row = Row(title="red", detail="x" * 60, image=image, hidden=nothing, revealed=nothing, seen=red)
    draw_rows([row, row, row], tmp_path / "rows.png")
    drawn = cv2.imread(str(tmp_path / "rows.png"))
    assert drawn is not None
    is_red = (drawn == (0, 0, 255)).all(axis=2)
    assert cv2.connectedComponents(is_red.astype(np.uint8))[0] - 1 == 3


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no picture")
    arguments = shown("--show", "out.png", "--picture", str(tmp_path / "note.txt"))
    with pytest.raises(SourceError, match=r"note\.txt cannot be read"):
        masks_command.main(arguments)


def test_a_wrong_recipe_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tubes'"):
        masks_command.main(shown("--show", "out.png", "--recipe", "tube(0.5)"))
