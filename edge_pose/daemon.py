"""The process's manners: how it is asked to stop, and with which exit code it ends."""

import _thread
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from edge_pose.errors import EXIT_OK, EXIT_OPERATOR, EXIT_RESTART, EdgePoseError

log = logging.getLogger(__name__)


def guarded(command: Callable[[], int]) -> int:
    """Run a command and choose the exit code of the process; nobody sees a trace but for a bug."""
    try:
        code = command()
        sys.stdout.flush()
    except EdgePoseError as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence for the operator, not a trace
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has read enough.
        _end_output()
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_OK
    except Exception as error:
        if isinstance(error, OSError):
            _end_output()
        sentence = _for_the_operator(error)
        if sentence is None:
            log.exception("This is a bug in edge-pose; please report it with the lines below")
            return EXIT_RESTART
        log.error("%s", sentence)  # noqa: TRY400 - a sentence for the operator, not a trace
        return EXIT_OPERATOR
    return code


def _for_the_operator(error: Exception) -> str | None:
    """Say what this machine lacks; None where that is not what is wrong."""
    match error:
        case ModuleNotFoundError(name="cv2"):
            return "OpenCV is not installed; `pip install 'edge-pose[opencv]'` does it"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT, strerror=reason, filename=name):
            where = name or "Standard output or a temporary file"
            return f"{where} cannot be written: {reason}; make room there and start again"
        case _:
            return None


def _end_output() -> None:
    """Write what can be written; the rest must not be tried again when the process ends."""
    with suppress(OSError):
        sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def stop_asked() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set; asked a second time, the process ends at once."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        # This runs amid whatever the main thread does: where that is about to wait for the event,
        # it holds the event's lock, and setting it here would wait for ever.
        _thread.start_new_thread(stop.set, ())
        signal.signal(number, signal.SIG_DFL)

    former = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def reload_asked() -> Iterator[threading.Event]:
    """Give an event that SIGHUP sets, each time.

    At a terminal it means that the terminal is gone, and ends us as ever.
    """
    asked = threading.Event()
    if sys.stdin is not None and sys.stdin.isatty():
        yield asked
        return
    former = signal.signal(signal.SIGHUP, lambda _number, _frame: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, former)
