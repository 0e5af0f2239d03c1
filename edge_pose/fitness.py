"""Is this machine fit for the work?  Each look makes a finding: verdict, detail, next step."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge_pose import device
from edge_pose.address import Broker
from edge_pose.clock import utc_ms
from edge_pose.config import MetricsConfig
from edge_pose.time_sync import TimeSync

Verdict = Literal["ok", "note", "FAIL"]
WARM_C: Final = 85.0
"""Boards and processors slow down some ten degrees above this."""
LEAST_MEMORY_BYTES: Final = 500_000_000
LEAST_DISK_BYTES: Final = 500_000_000
LEAST_DAYS: Final = 30.0
_CONNECT_S: Final = 5.0
_MB: Final = 1e6
_S_PER_DAY: Final = 86400.0
_MS_PER_S: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    thing: str
    verdict: Verdict
    detail: str
    step: str | None = None
    """What to do about it."""


def clock(sync: TimeSync | None) -> Finding:
    """Judge whether time stamps can be believed."""
    if sync is None:
        return Finding(thing="clock", verdict="note", detail="the kernel does not tell how good")
    if sync.synchronised:
        detail = f"kept right, to within {sync.error_ms:.0f} ms"
        return Finding(thing="clock", verdict="ok", detail=detail)
    return Finding(
        thing="clock",
        verdict="note",
        detail="nobody keeps it right: time stamps may be off by any amount",
        step="start systemd-timesyncd or chrony",
    )


def heat(root: Path = device.ROOT) -> Finding:
    """Judge how warm the machine is, and whether it had to slow down."""
    hottest_c, events = device.hottest_c(root), device.throttle_events(root)
    happened = ", ".join(f"{name} {count} times" for name, count in events.items() if count)
    detail = "the machine does not tell" if hottest_c is None else f"{hottest_c:.0f} °C at most"
    if happened:
        return Finding(
            thing="heat",
            verdict="note",
            detail=f"{detail}; since its start it slowed down to protect itself: {happened}",
            step="oc1 to oc3 want a stronger power supply, package wants better cooling",
        )
    if hottest_c is not None and hottest_c >= WARM_C:
        return Finding(
            thing="heat",
            verdict="note",
            detail=f"{detail}; soon it will slow down",
            step="cool it better, or let it do less",
        )
    return Finding(thing="heat", verdict="ok", detail=detail)


def ram(root: Path = device.ROOT) -> Finding:
    """Judge how much memory is left; a Jetson's GPU works in the same."""
    memory = device.memory(root)
    if memory is None:
        return Finding(thing="ram", verdict="note", detail="the machine does not tell")
    enough = memory.available_bytes >= LEAST_MEMORY_BYTES
    return Finding(
        thing="ram",
        verdict="ok" if enough else "note",
        detail=f"{memory.available_bytes / _MB:.0f} of {memory.total_bytes / _MB:.0f} MB left",
        step=None if enough else f"leave {LEAST_MEMORY_BYTES / _MB:.0f} MB to each camera",
    )


def disk(folder: Path) -> Finding:
    """Judge whether there is room for engines and what must not be forgotten."""
    free = device.disk_free_bytes(folder)
    if free is None:
        return Finding(thing="disk", verdict="note", detail=f"nobody tells where {folder} is")
    enough = free >= LEAST_DISK_BYTES
    return Finding(
        thing="disk",
        verdict="ok" if enough else "note",
        detail=f"{free / _MB:.0f} MB left for {folder}",
        step=None if enough else f"leave {LEAST_DISK_BYTES / _MB:.0f} MB",
    )


def figures(metrics: MetricsConfig) -> Finding:
    """Try whether the figures could be served."""
    place = f"{metrics.host}:{metrics.port}"
    if not metrics.enabled:
        detail = "not served; metrics.enabled = true serves figures and health on loopback"
        return Finding(thing="figures", verdict="note", detail=detail)
    family = socket.AF_INET6 if ":" in metrics.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((metrics.host, metrics.port))
        except OSError as error:
            return Finding(
                thing="figures",
                verdict="note",
                detail=f"{place} cannot be taken now: {error.strerror}",
                step="fine where this camera already runs; else choose another metrics.port",
            )
    return Finding(thing="figures", verdict="ok", detail=f"{place} is free")


def certificate(broker: Broker) -> Finding:
    """Judge how long the broker's certificate still holds; one that does not raises OSError."""
    context = ssl.create_default_context(cafile=broker.ca_file)
    if broker.cert_file is not None:
        context.load_cert_chain(broker.cert_file, broker.key_file)
    with (
        socket.create_connection((broker.host, broker.port), _CONNECT_S) as line,
        context.wrap_socket(line, server_hostname=broker.host) as secured,
    ):
        told = secured.getpeercert()
    assert told
    return ends(str(told["notAfter"]), now_s=utc_ms() / _MS_PER_S)


def ends(not_after: str, *, now_s: float) -> Finding:
    """Judge the end of a certificate as its text says it."""
    days = (ssl.cert_time_to_seconds(not_after) - now_s) / _S_PER_DAY
    return Finding(
        thing="tls",
        verdict="ok" if days >= LEAST_DAYS else "note",
        detail=f"the broker's certificate holds until {not_after}, {days:.0f} days from now",
        step=None if days >= LEAST_DAYS else "renew it: from then on nothing is published",
    )
