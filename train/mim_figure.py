"""A picture of what masked image modelling has learned.

In: a network and a batch.  Out: a PNG with a column for each sample: the crop, what is asked for,
what the network is given, its guess, and the guess put into what it saw.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from train.masking import fill
from train.mim import MimNet, Target, pixels_of
from train.vit import fit_size

ROWS: Final = ("picture", "asked for", "seen", "guess", "together")
_CAPTION_PX: Final = 96
_GAP_PX: Final = 2
_INK: Final = (40, 40, 40)


@torch.no_grad()
def reconstructions(
    network: MimNet, batch: dict[str, Tensor], *, opacity: float, target: Target
) -> tuple[Tensor, ...]:
    """Return the rows of the picture, [batch, 3, S, S] in 0..1 each, in the order of `ROWS`."""
    device = next(network.parameters()).device
    hidden, counted = batch["hidden"].to(device), batch["counted"].to(device)[:, None]
    image = fit_size(batch["input"].to(device), network.input_px)
    seen = fill(image, hidden, opacity)
    guess = pixels_of(network(seen, hidden), image, network.patch_px, target)
    together = torch.lerp(seen, guess, counted)
    return image, counted.expand_as(image), seen, guess, together


def draw(rows: Sequence[Tensor], path: Path) -> None:
    """Write rows of pictures with their captions."""
    bands = [
        np.hstack([_caption(name, row.shape[-1]), *(_framed(picture) for picture in row)])
        for name, row in zip(ROWS, rows, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = cv2.imencode(path.suffix, np.vstack(bands))[1]
    path.write_bytes(content.tobytes())


def _framed(picture: Tensor) -> UInt8[np.ndarray, "height width 3"]:
    """Turn [3, S, S] into BGR pixels with a gap to the neighbours."""
    pixels = (255 * picture.float().cpu()).round().to(torch.uint8).permute(1, 2, 0).numpy()
    gap = ((0, _GAP_PX), (_GAP_PX, 0), (0, 0))
    return np.pad(pixels[:, :, ::-1], gap, constant_values=255)


def _caption(text: str, side_px: int) -> UInt8[np.ndarray, "height width 3"]:
    space = np.full((side_px + _GAP_PX, _CAPTION_PX, 3), 255, np.uint8)
    place = (6, side_px // 2 + 4)
    cv2.putText(space, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    return space
