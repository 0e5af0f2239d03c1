"""What the primary host says of itself: the bytes of a STATE message in, its meaning out."""

import json
from dataclasses import dataclass

from edge_pose.errors import PayloadError


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """Whether the host application is there, and since when it says so."""

    online: bool
    timestamp_ms: int


def read_host_state(data: bytes) -> HostState:
    """Read a STATE message; whatever is none is a PayloadError."""
    try:
        said = json.loads(data)
        online, timestamp_ms = said["online"], said["timestamp"]
    except (ValueError, KeyError, TypeError, RecursionError):
        online = timestamp_ms = None
    if type(online) is not bool or type(timestamp_ms) is not int:
        raise PayloadError(
            f"{data[:60]!r} is no STATE of a Sparkplug host; wanted "
            '{"online": true, "timestamp": milliseconds}'
        )
    return HostState(online=online, timestamp_ms=timestamp_ms)
