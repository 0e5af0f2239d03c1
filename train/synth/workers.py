"""Manners of a worker process: it ends when it is told to, and when whoever started it is gone."""

import multiprocessing
import os
import signal
import threading


def mind_parent() -> None:
    """End at once on an interrupt, and leave with the parent: a killed parent cannot say so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
