"""The process ends with the code that tells its supervisor what to do."""

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable

import pytest

from edge_pose.daemon import guarded, stop_asked
from edge_pose.errors import BundleError, CameraLost, ConfigError, SourceError


def failing(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a sentence"), 78),
        (BundleError("a sentence"), 78),
        (SourceError("a sentence"), 78),
        (CameraLost("a sentence"), 1),
    ],
)
def test_what_the_operator_must_mend_is_78_and_what_a_restart_mends_is_1(
    error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert guarded(failing(error)) == code
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info) == ("a sentence", None)


def test_a_bug_leaves_its_trace_in_the_log_and_asks_for_a_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert guarded(failing(ZeroDivisionError("bug"))) == 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_machine_without_opencv_is_told_how_to_get_it(caplog: pytest.LogCaptureFixture) -> None:
    missing = ModuleNotFoundError("No module named 'cv2'", name="cv2")
    assert guarded(failing(missing)) == 78
    assert "edge-pose[opencv]" in caplog.text


@pytest.mark.usefixtures("capfd")
def test_a_full_disk_is_no_bug_but_for_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert guarded(failing(full)) == 78
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.ERROR, None)
    assert "No space left on device" in record.getMessage()


@pytest.mark.usefixtures("capfd")
def test_any_other_error_of_the_system_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    assert guarded(failing(OSError(errno.EBADF, os.strerror(errno.EBADF)))) == 1
    assert "This is a bug" in caplog.text


def test_a_closed_pipe_is_a_quiet_end(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert guarded(failing(BrokenPipeError())) == 0
    assert (caplog.text, capfd.readouterr().err) == ("", "")
    assert guarded(lambda: 0) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_would_kill(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_asked() as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(10)
        assert signal.getsignal(number) is signal.SIG_DFL
    assert signal.getsignal(number) is before
    assert "edge_pose.daemon" in sys.modules


@pytest.mark.timeout(20)
def test_a_signal_that_comes_while_the_wait_begins_is_heard() -> None:
    """`edge-pose view` was asked to stop in that moment, and waited for ever."""
    with stop_asked() as stop:
        with stop._cond:  # type: ignore[attr-defined]  # noqa: SLF001 - as whoever begins to wait
            signal.raise_signal(signal.SIGTERM)
        assert stop.wait(10)
