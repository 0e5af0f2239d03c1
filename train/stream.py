"""The order of the data: which batch comes when, whoever makes it and wherever a run goes on.

Sample i of a run is drawn from a generator seeded with (seed, i), and batch k holds samples k b to
(k + 1) b.  So a stream can start at any batch, and neither the number of data workers nor the
number of processes, nor cutting a batch in two, changes what is seen in a step.
"""

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from types import FrameType
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from edge_pose.errors import EdgePoseError
from train.distributed import device, place

Batch = Mapping[str, Tensor]

_AHEAD: Final = 4
"""Batches that each worker keeps ready, so that one slow picture does not stop an accelerator."""
_WHITE: Final = 255
_WORKER_DIED: Final = "DataLoader worker (pid"


class DataWorkerLost(EdgePoseError):
    """A process that makes batches was killed; the system was probably short of memory."""


def batch_numbers(first: int) -> Iterator[int]:
    """Give the numbers of the batches that this data worker of this process makes, without end.

    Args:
        first: how many batches this process has had already.

    """
    worker = get_worker_info()
    here = place()
    first_turn, workers = (first, 1) if worker is None else (first + worker.id, worker.num_workers)
    return (turn * here.processes + here.rank for turn in count(first_turn, workers))


def sample_rngs(seed: int, batch: int, batch_size: int) -> list[np.random.Generator]:
    """Make a generator for each sample of a batch, from nothing but the seed and its number."""
    numbers = range(batch * batch_size, (batch + 1) * batch_size)
    return [np.random.default_rng([seed, number]) for number in numbers]


def seed_of(*numbers: int) -> int:
    """Return the seed of torch's generators that belongs to a run's seed and numbers within it."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def shown(batch: Mapping[str, Tensor], where: torch.device) -> dict[str, Tensor]:
    """Bring a batch to where a network is; pictures and masks, in bytes so far, become 0..1.

    As floats they would be four times as much to hand from a worker to an accelerator.
    """
    there = {name: value.to(where, non_blocking=True) for name, value in batch.items()}
    return {
        name: value.float() / _WHITE if value.dtype == torch.uint8 else value
        for name, value in there.items()
    }


def packed(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn what is in 0..1 into bytes for the way to `shown`; other values are left alone."""
    return {
        name: (value * _WHITE).round().to(torch.uint8) if value.is_floating_point() else value
        for name, value in batch.items()
    }


def load(stream: Iterable[Batch], *, workers: int) -> Iterable[Batch]:
    """Let workers make the batches of a stream ahead of time; give them as `shown`."""
    # A map, unlike a generator, goes on after an error that a batch raised.
    return map(partial(shown, where=device()), load_bytes(stream, workers=workers))


def load_bytes(stream: Iterable[Batch], *, workers: int) -> Iterable[Batch]:
    """Let workers make the batches of a stream ahead of time; give them as they are made.

    The order is that of `batch_numbers` however many workers there are; with none, this process
    makes each batch when it is asked for.

    Args:
        stream: an `IterableDataset` of whole batches.
        workers: how many processes make them.

    """
    assert isinstance(stream, IterableDataset)
    # A pool of threads that OpenCV has started here would not live on in a forked worker, which
    # then waits for it for ever.
    cv2.setNumThreads(1)
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_leave_the_group,
    )


class Incoming(Iterator[Batch]):
    """A stream whose errors arrive when a batch is asked for, and in their own words."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        """Start the workers, if there are any."""
        self._batches = iter(batches)
        self._deaths: list[str] = []

    def __next__(self) -> Batch:
        """Take a batch.

        Raises:
            DataWorkerLost: a process that makes batches was killed.

        """
        if self._deaths:
            raise _lost(self._deaths)
        try:
            return next(self._batches)
        except EdgePoseError as error:
            # A worker's error arrives as text: its own sentence is what stands behind its name.
            said = str(error).rsplit(f"{type(error).__name__}: ", 1)[-1]
            raise type(error)(said.strip()) from None
        except Exception as error:
            # What a worker had made goes with it: its end of the connection is closed.
            if _WORKER_DIED in str(error) or isinstance(error, ConnectionError | EOFError):
                self._deaths.append(str(error))
            if self._deaths and not isinstance(error, StopIteration):
                raise _lost(self._deaths) from None
            raise

    @contextmanager
    def deaths_noted(self) -> Iterator[None]:
        """Remember a worker's death until the next batch is asked for.

        Torch would raise it from a signal handler, between any two instructions of a step.
        """
        torchs = signal.getsignal(signal.SIGCHLD)
        if not callable(torchs):
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            try:
                torchs(number, frame)
            except RuntimeError as error:
                self._deaths.append(str(error))

        signal.signal(signal.SIGCHLD, note)
        try:
            yield
        finally:
            if not self._deaths:  # else the signal may still be on its way
                signal.signal(signal.SIGCHLD, torchs)


def _lost(deaths: list[str]) -> DataWorkerLost:
    return DataWorkerLost(
        f"a process that makes batches was killed ({deaths[0].strip()}), often because memory is "
        "short; start the same command again, with fewer --workers if it comes back"
    )


def _leave_the_group(_worker: int) -> None:
    """Let Ctrl-C reach the loop alone, which finishes its step and then ends its workers.

    A worker whose loop was killed sees that it is an orphan, and ends by itself.
    """
    os.setpgid(0, 0)
