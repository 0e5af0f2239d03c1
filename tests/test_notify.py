"""A supervisor hears that we are ready and that the loop makes progress; nobody else is told."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_pose.clock import NS_PER_S
from edge_pose.notify import Heartbeat, Supervisor


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)  # noqa: FBT003
        yield listening


def heard(listener: socket.socket) -> list[str]:
    """Everything that has arrived."""
    messages = []
    with suppress(BlockingIOError):
        while True:
            messages.append(listener.recv(4096).decode())
    return messages


def test_assignments_arrive_in_one_datagram(listener: socket.socket) -> None:
    supervisor = Supervisor.from_environment({"NOTIFY_SOCKET": listener.getsockname()})
    supervisor.tell("READY=1", "STATUS=30 frames/s")
    assert heard(listener) == ["READY=1\nSTATUS=30 frames/s"]


def test_an_abstract_socket_is_reached_too() -> None:
    name = f"edge-pose-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        Supervisor.from_environment({"NOTIFY_SOCKET": f"@{name}"}).tell("READY=1")
        assert listening.recv(4096) == b"READY=1"


def test_without_a_supervisor_nothing_is_said() -> None:
    supervisor = Supervisor.from_environment({})
    supervisor.tell("READY=1")
    Heartbeat(supervisor).beat()


def test_a_supervisor_that_went_away_does_not_stop_the_work(tmp_path: Path) -> None:
    Supervisor(address=str(tmp_path / "gone"), watchdog_s=None).tell("READY=1")


def test_the_watchdog_is_told_of_progress_four_times_a_period(listener: socket.socket) -> None:
    now_ns = 0
    environ = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "20000000"}
    heartbeat = Heartbeat(Supervisor.from_environment(environ), clock=lambda: now_ns)
    for _ in range(401):
        heartbeat.beat()
        now_ns += NS_PER_S // 20
    assert heard(listener) == ["WATCHDOG=1"] * 5


def test_opening_again_tells_of_its_steps_and_asks_for_patience_where_it_has_none(
    listener: socket.socket,
) -> None:
    environ = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "20000000"}
    heartbeat = Heartbeat(Supervisor.from_environment(environ), watched=True)
    heartbeat.step()
    assert heard(listener) == ["WATCHDOG=1"]
    with suppress(KeyError), heartbeat.patience(1800.0):
        assert heard(listener) == ["WATCHDOG_USEC=1800000000\nWATCHDOG=1"]
        raise KeyError
    assert heard(listener) == ["WATCHDOG_USEC=20000000\nWATCHDOG=1"]
    assert heartbeat.silence_s() is None, "the loop has not begun"


def test_before_it_was_ready_the_watchdog_is_left_alone(listener: socket.socket) -> None:
    """It does not wait yet, and what it is told would begin its waiting."""
    environ = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "20000000"}
    heartbeat = Heartbeat(Supervisor.from_environment(environ))
    heartbeat.step()
    with heartbeat.patience(1800.0):
        pass
    unwatched = Supervisor.from_environment({"NOTIFY_SOCKET": listener.getsockname()})
    with Heartbeat(unwatched, watched=True).patience(1800.0):
        pass
    assert heard(listener) == []


def test_a_watchdog_that_waits_for_another_process_is_not_ours(listener: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "1000000"}
    ours = Supervisor.from_environment({**environ, "WATCHDOG_PID": str(os.getpid())})
    other = Supervisor.from_environment({**environ, "WATCHDOG_PID": str(os.getpid() + 1)})
    assert (ours.watchdog_s, other.watchdog_s) == (1.0, None)
