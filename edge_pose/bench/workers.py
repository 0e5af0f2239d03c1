"""Several cameras at once: a process each, as systemd runs them, all measuring at the same time.

In: settings, one a camera.  Out: what each measured.
"""

import multiprocessing
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

from edge_pose import log
from edge_pose.bench.measure import Measured, measure
from edge_pose.config import Config
from edge_pose.errors import EdgePoseError

_STARTS: Final = 2
"""Of the loop, and of the networks alone: nobody is measured beside what others do later."""


class WorkerLost(EdgePoseError):
    """A process ended without a word, be it for want of memory; try again with fewer cameras."""


def measure_together(configs: Sequence[Config], *, frames: int) -> list[Measured]:
    """Start together when all are ready; the first error of any ends all."""
    # Spawned, not forked: threads of the runtime and of a GPU do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in configs]
    workers = [
        context.Process(target=_work, args=(config, frames, theirs), daemon=True)
        for config, (_, theirs) in zip(configs, pipes, strict=True)
    ]
    try:
        for worker, (_, theirs) in zip(workers, pipes, strict=True):
            worker.start()
            theirs.close()
        for _ in range(_STARTS):
            for ours, _ in pipes:
                _hear(ours)
            for ours, _ in pipes:
                ours.send("go")
        answers = [_hear(ours) for ours, _ in pipes]
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()
    return [answer for answer in answers if isinstance(answer, Measured)]


def _hear(pipe: Connection) -> object:
    try:
        answer = pipe.recv()
    except EOFError:
        raise WorkerLost(
            "a measuring process ended without a word, perhaps for want of memory; "
            "try fewer --cameras"
        ) from None
    if isinstance(answer, EdgePoseError):
        raise answer
    return answer


def _work(config: Config, frames: int, pipe: Connection) -> None:
    """Measure in a process of its own; Ctrl-C is for the one that started us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.configure("warning")

    def wait() -> None:
        pipe.send("ready")
        pipe.recv()

    # Whoever listened may have been told to stop; then nobody is left who wants to know.
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            pipe.send(measure(config, frames=frames, go=wait))
        except EdgePoseError as error:
            pipe.send(error)
