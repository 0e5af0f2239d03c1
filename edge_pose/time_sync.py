"""Is the wall clock right?  The kernel is asked, whoever keeps the clock: timesyncd, chrony, ntpd.

Out: `TimeSync`, or None where the kernel does not answer.  Time stamps on the wire come from this
clock; nothing else does.
"""

import ctypes
from dataclasses import dataclass
from typing import Final

_UNSYNCHRONISED: Final = 0x40
"""STA_UNSYNC of adjtimex(2): nobody has corrected the clock for long."""
_US_PER_MS: Final = 1000.0
_MOST_ERROR_US: Final = 16_000_000
"""Here the kernel itself gives up on the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSync:
    """What the kernel knows of its clock."""

    synchronised: bool
    error_ms: float
    """How far it may be off, as far as the kernel knows."""


class _Timex(ctypes.Structure):
    """The head of the kernel's `struct timex`; what follows is of no interest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 64),
    )


def judge(status: int, max_error_us: int) -> TimeSync:
    """Read what adjtimex(2) gave."""
    good = not status & _UNSYNCHRONISED and max_error_us < _MOST_ERROR_US
    return TimeSync(synchronised=good, error_ms=max_error_us / _US_PER_MS)


def time_sync() -> TimeSync | None:
    """Ask the kernel, without changing anything; that needs no right."""
    told = _Timex()
    try:
        answer: int = ctypes.CDLL(None).adjtimex(ctypes.byref(told))
    except (AttributeError, OSError):
        return None
    return None if answer < 0 else judge(told.status, told.maxerror)
