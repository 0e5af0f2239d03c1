"""Worker processes that render: one thread each, and none outlives whoever started it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import cv2

_Order = TypeVar("_Order")


def open_pool(
    processes: int, start: Callable[[_Order], None], order: _Order
) -> ProcessPoolExecutor:
    """Open so many processes, each of which begins with `start(order)`."""
    os.environ.update(LP_NUM_THREADS="1", OMP_NUM_THREADS="1")
    return ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start,
        initargs=(order,),
    )


def begin_work() -> None:
    """Keep to one thread, end at once on an interrupt, and leave with the parent."""
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """Wait for the parent to end: a killed one cannot say so."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
