"""What several runs look at, made once: batches whose pictures have gone through a stem.

In: a stream of batches and a frozen stem.  Out: the same batches with what the stem made of each
picture in its place, kept in memory for the next run that wants them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from train.distributed import device
from train.stream import Batch
from train.student import Regressor

_PICTURES: Final = 4
"""Axes of a tensor of pictures; nothing else in a batch has so many."""
_MASK: Final = "foreground"
"""How the names of masks end: in pixels, they fit what a stem makes no more."""
_ROOM_BYTES: Final[Mapping[str, int]] = MappingProxyType({"cpu": 3 << 30, "cuda": 12 << 30})
"""What one stream keeps in memory at most; later batches are made anew for every run."""


class PreparedBatches:
    """Batches that are drawn when a run first asks for them, and handed out again to the next."""

    def __init__(self, draw: Callable[[int], Iterable[Batch]], stem: nn.Module) -> None:
        """Keep what makes batches.

        Args:
            draw: gives the stream that follows after so many batches.
            stem: frozen; the first thing it answers takes the place of a picture.

        """
        self._draw = draw
        self._stem = stem
        self._kept: dict[int, Batch] = {}
        self._room_bytes = _ROOM_BYTES[device().type]

    def __call__(self, first: int) -> Iterator[Batch]:
        """Give the stream that follows after so many batches."""
        number = first
        while number in self._kept:
            yield _whole(self._kept[number])
            number += 1
        for drawn in self._draw(number):
            batch = self._prepared(drawn)
            self._room_bytes -= sum(value.nbytes for value in batch.values())
            if self._room_bytes > 0:
                self._kept[number] = batch
            yield _whole(batch)
            number += 1

    @torch.no_grad()
    def _prepared(self, batch: Batch) -> Batch:
        return {
            name: self._stem(value)[0].half() if value.ndim == _PICTURES else value
            for name, value in batch.items()
            if not name.endswith(_MASK)
        }


def on_prepared(network: Regressor) -> Regressor:
    """Return the same network, its weights shared, for pictures that went through its stem."""
    return Regressor(_Through(), network.tower, network.head, network.reach)


class _Through(nn.Module):
    """Stands where a stem stood."""

    def forward(self, prepared: Tensor) -> list[Tensor]:
        return [prepared]


def _whole(batch: Batch) -> Batch:
    """Return a batch in single precision; half of it keeps twice as many in memory."""
    return {
        name: value.float() if value.dtype == torch.float16 else value
        for name, value in batch.items()
    }
