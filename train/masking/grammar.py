"""Reads recipes of masks: text in, a checked `MaskRecipe` out.

A recipe is the name of one of `RECIPES`, or a sum of terms, worked through from left to right:

    recipe  = term { "+" term }
    term    = name "(" [ value { "," value } ] { "," key "=" value } ")"

    patches(hidden=0.6, px=16)                          random square patches
    foreground_patches(hidden=0.6, px=16, background=0.1)  the same, patches with people first
    periphery(hidden=0.8, at=centre)                    all but a disc around a fixation
    fovea(half=0.09, at=centre)                         resolution that falls with eccentricity
    fixations(hidden=0.85, looks=3, at=foreground)      a sequence of discs, each at something new
    tubes(hidden=0.9, px=16, span=0)                    the same patches through `span` frames
    second_disc(visible=0.1)                            shows the hidden foreground's peak again
    opacity(value=1)                                    1 the visible mean, 0 a blurred picture
    crop(least=0.08, most=1)                            random crop before the masks are drawn

`at` is centre, random, foreground, joint (any) or the name of a joint.  What one term hides stays
hidden, except where a later `second_disc` shows it.  Masks are opaque unless `opacity` says
otherwise; `fovea` alone blurs.
"""

import ast
from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, cast

from edge_pose.errors import ConfigError
from train.masking.crop import Crop
from train.masking.discs import Fovea
from train.masking.recipe import RECIPES, TERMS, MaskRecipe, Opacity, Term


def read_recipe(text: str) -> MaskRecipe:
    """Read a recipe, or take the one of that name; ConfigError says what nobody understands."""
    text = RECIPES.get(text, text)
    parts = [_read_term(call, text) for call in _calls(text)]
    terms = tuple(part for part in parts if not isinstance(part, Opacity | Crop))
    opacities = [part.value for part in parts if isinstance(part, Opacity)]
    crops = [part for part in parts if isinstance(part, Crop)]
    if not terms:
        raise ConfigError(f"the recipe {text!r} hides nothing; add one of {_known(TERMS)}.")
    if len(opacities) > 1 or len(crops) > 1:
        raise ConfigError(f"the recipe {text!r} has opacity or crop twice; keep one of each.")
    foveal = [isinstance(term, Fovea) for term in terms]
    if not opacities and any(foveal) and not all(foveal):
        raise ConfigError(
            f"the recipe {text!r} has a fovea, which blurs, beside masks, which are opaque; "
            "say which by adding opacity(0), a blurred picture, to opacity(1), opaque."
        )
    return MaskRecipe(
        text=text,
        terms=terms,
        opacity=opacities[0] if opacities else float(not any(foveal)),
        crop=crops[0] if crops else None,
    )


def _calls(text: str) -> list[ast.Call]:
    """Split a sum into its terms, left to right."""
    try:
        node: ast.expr = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise _unreadable(text) from error
    calls: list[ast.Call] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        calls.append(_call(node.right, text))
        node = node.left
    calls.append(_call(node, text))
    return calls[::-1]


def _call(node: ast.expr, text: str) -> ast.Call:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node
    if isinstance(node, ast.Name):
        return ast.Call(func=node, args=[], keywords=[])
    raise _unreadable(text)


def _read_term(call: ast.Call, text: str) -> Term | Opacity | Crop:
    name = cast("ast.Name", call.func).id
    if name not in TERMS:
        raise ConfigError(
            f"the recipe {text!r} has {name!r}, and nobody knows that; {_advice(name, TERMS)}"
        )
    kinds = {field.name: cast("type", field.type) for field in fields(cast("Any", TERMS[name]))}
    if len(call.args) > len(kinds):
        raise ConfigError(
            f"{name} in the recipe {text!r} has {len(call.args)} values; it takes {_known(kinds)}."
        )
    values = dict(zip(kinds, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None:
            raise _unreadable(text)
        if keyword.arg not in kinds:
            raise ConfigError(
                f"{name} in the recipe {text!r} has no {keyword.arg!r}; "
                f"{_advice(keyword.arg, kinds)}"
            )
        if keyword.arg in values:
            raise ConfigError(f"{name} in the recipe {text!r} has {keyword.arg!r} twice; keep one.")
        values[keyword.arg] = keyword.value
    return TERMS[name](
        **{key: _value(node, kinds[key], f"{name}'s {key}", text) for key, node in values.items()}
    )


def _value(node: ast.expr, kind: type, whose: str, text: str) -> float | int | str:
    if kind is str and isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant) and not isinstance(node.value, bool):
        if kind is float and isinstance(node.value, int | float):
            return float(node.value)
        if kind is int and isinstance(node.value, int):
            return node.value
    wanted = {str: "a name", int: "a whole number", float: "a number"}[kind]
    raise ConfigError(
        f"{whose} in the recipe {text!r} is {ast.unparse(node)}; {wanted} is wanted there."
    )


def _advice(name: str, known: Iterable[str]) -> str:
    hint = get_close_matches(name, known, n=1)
    return f"did you mean {hint[0]!r}?" if hint else f"known are {_known(known)}."


def _known(names: Iterable[str]) -> str:
    return ", ".join(names)


def _unreadable(text: str) -> ConfigError:
    hint = get_close_matches(text, RECIPES, n=1)
    advice = (
        f"did you mean {hint[0]!r}?" if hint else f"write, say, {RECIPES['covert attention']!r}"
    )
    return ConfigError(
        f"the recipe {text!r} is no sum of terms like name(0.5, key=value); {advice}"
    )
