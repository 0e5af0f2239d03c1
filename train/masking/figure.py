"""Draws masks for people to look at: rows of crops in, one labelled picture out (matplotlib)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_PANEL_INCHES: Final = 1.15
_TITLE_INCHES: Final = 2.3
_HEAD_INCHES: Final = 0.35
_VEIL: Final = np.array([0.92, 0.36, 0.10])
_NEXT: Final = np.array([0.15, 0.45, 0.85])
"""The colours over what is hidden, and over what of it the next look shows."""
_DENSEST: Final = 0.75
_DETAIL_LETTERS: Final = 38
_HEADS: Final = ("picture", "hidden (blue: seen next)", "what is seen")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One look at one picture."""

    title: str
    detail: str
    image: UInt8[np.ndarray, "height width 3"]
    hidden: Float32[np.ndarray, "height width"]
    revealed: Float32[np.ndarray, "height width"]
    """What the next look of a sequence shows and this one does not."""
    seen: UInt8[np.ndarray, "height width 3"]


def draw_rows(rows: Sequence[Row], path: Path) -> None:
    """Draw the rows in two columns."""
    halves = 1 if len(rows) == 1 else 2
    deep = -(-len(rows) // halves)
    block = _TITLE_INCHES + len(_HEADS) * _PANEL_INCHES
    figure = Figure(figsize=(halves * block, deep * _PANEL_INCHES + _HEAD_INCHES), dpi=110)
    FigureCanvasAgg(figure)
    width, height = figure.get_size_inches()
    for number, row in enumerate(rows):
        left = number // deep * block
        top = height - _HEAD_INCHES - number % deep * _PANEL_INCHES
        middle = (top - _PANEL_INCHES / 2) / height
        right = (left + _TITLE_INCHES - 0.1) / width
        figure.text(right, middle, row.title, ha="right", va="bottom", fontsize=9, weight="bold")
        detail = "\n".join(wrap(row.detail, _DETAIL_LETTERS))
        figure.text(right, middle - 0.04 / height, detail, ha="right", va="top", fontsize=6.5)
        for column, panel in enumerate((row.image, veiled(row), row.seen)):
            x = left + _TITLE_INCHES + column * _PANEL_INCHES
            if number % deep == 0:
                centre = (x + _PANEL_INCHES / 2) / width
                figure.text(centre, 1 - 0.2 / height, _HEADS[column], ha="center", fontsize=7)
            size = 0.96 * _PANEL_INCHES
            axes = figure.add_axes(
                (x / width, (top - size) / height, size / width, size / height), frameon=False
            )
            axes.imshow(panel)
            axes.set_axis_off()
    figure.savefig(path)


def veiled(row: Row) -> UInt8[np.ndarray, "height width 3"]:
    """Lay a coloured veil over a grey picture: what is hidden, and what the next look shows."""
    grey = (row.image.mean(axis=2, keepdims=True) / 255).repeat(3, axis=2)
    share = _DENSEST * row.hidden[:, :, None]
    colour = _VEIL + (_NEXT - _VEIL) * row.revealed[:, :, None]
    return np.asarray(np.rint(255 * (grey * (1 - share) + colour * share)), np.uint8)
