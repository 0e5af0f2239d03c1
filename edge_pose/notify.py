"""The only file that knows systemd: readiness, status and watchdog over its NOTIFY_SOCKET.

Where nobody supervises us, nothing is said.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from edge_pose.clock import NS_PER_S, Clock, monotonic_ns

log = logging.getLogger(__name__)

US_PER_S: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """Who started us and how often it wants a sign of life; both None when nobody asked."""

    address: str | None
    watchdog_s: float | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Supervisor":
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID as sd_notify(3) defines them."""
        period_us = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(
            address=environ.get("NOTIFY_SOCKET") or None,
            watchdog_s=int(period_us) / US_PER_S if period_us.isdigit() and ours else None,
        )

    def tell(self, *lines: str) -> None:
        """Send assignments such as `READY=1` in one datagram."""
        if self.address is None:
            return
        # A leading @ means an abstract socket, whose name starts with a zero byte.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            try:
                line.sendto("\n".join(lines).encode(), address)
            except OSError as error:  # the work goes on; whoever wants a sign of life will act
                log.warning("The supervisor at %s does not listen: %s", self.address, error)


class Heartbeat:
    """Passes progress on to the supervisor: of the loop, and before it of opening everything again.

    A watchdog waits from the first `READY=1` on; a sign of life before that would only begin its
    waiting.
    """

    def __init__(
        self, supervisor: Supervisor, clock: Clock = monotonic_ns, *, watched: bool = False
    ) -> None:
        """`watched` says that the supervisor was told `READY=1` before."""
        self._supervisor = supervisor
        self._waits_s = supervisor.watchdog_s if watched else None
        self._clock = clock
        self._period_ns = int((supervisor.watchdog_s or 0) / 4 * NS_PER_S)
        self._beaten_ns: int | None = None
        self._told_ns: int | None = None

    def beat(self) -> None:
        """Say that the loop just did something: a pose, or a deliberate wait for the camera."""
        now_ns = self._beaten_ns = self._clock()
        if self._supervisor.watchdog_s is None:
            return
        if self._told_ns is None or now_ns - self._told_ns >= self._period_ns:
            self._told_ns = now_ns
            self._supervisor.tell("WATCHDOG=1")

    def step(self) -> None:
        """Say that opening everything again got on."""
        if self._waits_s is not None:
            self._supervisor.tell("WATCHDOG=1")

    @contextmanager
    def patience(self, limit_s: float) -> Iterator[None]:
        """Have the supervisor wait so long for what tells of no steps, and afterwards as before."""
        usual_s = self._waits_s
        if usual_s is None:
            yield
            return
        self._wait_for(limit_s)
        try:
            yield
        finally:
            self._wait_for(usual_s)

    def _wait_for(self, limit_s: float) -> None:
        self._supervisor.tell(f"WATCHDOG_USEC={limit_s * US_PER_S:.0f}", "WATCHDOG=1")

    def silence_s(self) -> float | None:
        """Tell how long ago the loop last did something; None before the first time."""
        beaten_ns = self._beaten_ns
        return None if beaten_ns is None else (self._clock() - beaten_ns) / NS_PER_S
