"""Pictures of what a network does: reconstructions, attention, and what a unit answers to.

In: pictures [n, 3, height, width] in 0..1 RGB with what the network made of them.  Out: figures,
and with `save` a PNG each.  What to look for is said in the docstring of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from train.probes import as_map

_CELL_IN: Final = 1.5
_LABEL_IN: Final = 1.1
_DOTS_PER_INCH: Final = 110
_INK: Final = "#16202b"
_MARK: Final = "#ffb84d"
_HEAT_SHARE: Final = 0.55

Pictures = Float32[np.ndarray, "n 3 height width"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strongest:
    """The pictures to which each unit answers most, strongest first, and where in them."""

    picture: Int[np.ndarray, "units top"]
    row: Int[np.ndarray, "units top"]
    column: Int[np.ndarray, "units top"]
    response: Float[np.ndarray, "units top"]


def strongest(responses: Float[np.ndarray, "n units rows columns"], top: int) -> Strongest:
    """Find for each unit the `top` pictures with the largest response anywhere in the picture."""
    count, units, _, columns = responses.shape
    flat = responses.reshape(count, units, -1)
    place = flat.argmax(axis=2)
    peaks = np.take_along_axis(flat, place[..., None], axis=2)[..., 0]
    order = np.argsort(-peaks, axis=0, kind="stable")[:top].T
    unit = np.arange(units)[:, None]
    where = place[order, unit]
    return Strongest(
        picture=order,
        row=where // columns,
        column=where % columns,
        response=peaks[order, unit],
    )


def reconstructions(images: Pictures, seen: Pictures, rebuilt: Pictures) -> Figure:
    """Draw one column a picture: itself, what the network saw of it, what it made of that.

    A network that learnt something puts limbs where they belong; one that did not, gives a blur.
    """
    figure, grid = _grid(("picture", "seen", "rebuilt"), len(images))
    for axes, pictures in zip(grid, (images, seen, rebuilt), strict=True):
        for cell, picture in zip(axes, pictures, strict=True):
            cell.imshow(_rows(picture))
    return figure


def attention_over(images: Pictures, heat: Float[np.ndarray, "n rows columns"]) -> Figure:
    """Draw one column a picture: itself, and where attention goes, each at its own brightest.

    Attention on the person is what pose needs; on marks of the hall it is a warning.
    """
    figure, grid = _grid(("picture", "attention"), len(images))
    for number, picture in enumerate(images):
        rows = _rows(picture)
        grid[0][number].imshow(rows)
        low, high = float(heat[number].min()), float(heat[number].max())
        level = (heat[number] - low) / max(high - low, 1e-12)
        size = (rows.shape[1], rows.shape[0])
        smooth = cv2.resize(level.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        grey = np.repeat(rows.mean(axis=2, keepdims=True), 3, axis=2)
        grid[1][number].imshow(grey)
        grid[1][number].imshow(
            smooth, cmap="inferno", alpha=_HEAT_SHARE, vmin=0, vmax=1, interpolation="nearest"
        )
    return figure


def rollout_heat(flow: Tensor) -> Float[np.ndarray, "n rows columns"]:
    """How much of each place arrives, of `train.attention.rollout` [n, places, places], as a grid.

    Rows of `flow` receive and columns give; places are a square grid in reading order.
    """
    given = as_map(flow.detach().mean(1)[..., None])[:, 0]
    return given.cpu().numpy().astype(np.float64)


def unit_responses(
    images: Pictures,
    responses: Float[np.ndarray, "n units rows columns"],
    units: Sequence[int],
    *,
    top: int = 6,
) -> Figure:
    """Draw one row a unit: the pictures to which it answers most, its place in each marked.

    Responses are a feature map, or tokens laid out by `train.probes.as_map`.
    The mark is the cell of the response in the grid of tokens or of the feature map; what the unit
    really sees is wider.
    """
    found = strongest(responses[:, list(units)], top)
    shown = found.picture.shape[1]
    figure, grid = _grid([f"unit {unit}" for unit in units], shown)
    height_px = images.shape[2] / responses.shape[2]
    width_px = images.shape[3] / responses.shape[3]
    for unit, axes in enumerate(grid):
        for place, cell in enumerate(axes):
            cell.imshow(_rows(images[found.picture[unit, place]]))
            corner = (
                found.column[unit, place] * width_px - 0.5,
                found.row[unit, place] * height_px - 0.5,
            )
            cell.add_patch(
                Rectangle(corner, width_px, height_px, fill=False, edgecolor=_MARK, lw=1.8)
            )
            cell.set_xlabel(f"{found.response[unit, place]:.2f}", fontsize=7, labelpad=2)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG that has the same bytes whenever it shows the same."""
    figure.savefig(path, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})


def _grid(labels: Sequence[str], columns: int) -> tuple[Figure, list[list[Axes]]]:
    size = (_LABEL_IN + _CELL_IN * columns, _CELL_IN * len(labels) + 0.1)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    cells = figure.subplots(len(labels), columns, squeeze=False)
    for axes, label in zip(cells, labels, strict=True):
        for cell in axes:
            cell.set(xticks=[], yticks=[])
            for spine in cell.spines.values():
                spine.set_visible(False)
        axes[0].set_ylabel(label, fontsize=9, color=_INK)
    return figure, [list(axes) for axes in cells]


def _rows(picture: Float32[np.ndarray, "3 height width"]) -> Float32[np.ndarray, "height width 3"]:
    """Turn planes into pixels that can be drawn."""
    return np.clip(picture.transpose(1, 2, 0), 0, 1)
