"""Several processes as one: who this one is among those that torchrun started, and what all agree.

In: the environment that `torchrun` leaves for each process (rank, number of processes, address of
the first).  Out: a place among them, a device, and sums over all; alone, everything is a no-op.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which of how many processes this is, on all machines and on its own."""

    rank: int = 0
    processes: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Tell whether this process is the one that writes."""
        return self.rank == 0


def place() -> Place:
    """Read the place of this process, or of the one that started this data worker."""
    if "WORLD_SIZE" not in os.environ or "RANK" not in os.environ:
        return Place()
    return Place(
        rank=int(os.environ["RANK"]),
        processes=int(os.environ["WORLD_SIZE"]),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
    )


def device() -> torch.device:
    """Return this process's own accelerator, or the CPU where there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", place().local_rank)
    return torch.device("cpu")


@contextmanager
def joined() -> Iterator[Place]:
    """Speak with the other processes meanwhile; inside another `joined`, or alone, do nothing."""
    here = place()
    if here.processes == 1 or distributed.is_initialized():
        yield here
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(here.local_rank)
        distributed.init_process_group("nccl", device_id=torch.device("cuda", here.local_rank))
    else:
        distributed.init_process_group("gloo")
    try:
        yield here
    finally:
        distributed.destroy_process_group()


def from_first(make: Callable[[], T]) -> T:
    """Let the first process make something, and give it to all; call it inside `joined`."""
    here = place()
    if here.processes == 1:
        return make()
    made: list[T | None] = [make() if here.leads else None]
    distributed.broadcast_object_list(made, src=0, device=device())
    (given,) = made
    return given  # type: ignore[return-value] # the first process has put a T there


def mean_of_all(values: Tensor) -> Tensor:
    """Average over the processes; alone, return `values` themselves."""
    count = place().processes
    if count == 1:
        return values
    summed = values.clone()
    distributed.all_reduce(summed)
    return summed / count
