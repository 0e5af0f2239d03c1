"""What Linux tells about the machine: warmth, load, throttling, memory, disk, power mode, board.

In: a root folder, for tests another one.  Out: numbers; None or nothing for what nobody tells.  No
daemon, no rights and no vendor's tool are needed: a Jetson and a PC tell all of it in files.
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")
_ABSURD_C: Final = 150.0
"""Sensors that are not wired report nonsense."""
_MILLI: Final = 1000.0
_BYTES_PER_KIB: Final = 1024
_GPU_LOADS: Final = (
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/platform/17000000.g*/load",
    "sys/devices/platform/bus@0/17000000.g*/load",
    "sys/devices/17000000.g*/load",
)
"""Where JetPack 4 to 7 say how busy the GPU is, in thousandths."""
_OVER_CURRENT: Final = re.compile(r"oc\d+(?=_event_cnt$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Main memory; a Jetson's GPU lives in the same."""

    total_bytes: int
    available_bytes: int
    """What a process could still get without swapping."""


def temperatures_c(root: Path = ROOT) -> dict[str, float]:
    """Give every zone of the processor or board that reports, the hottest of those of one name."""
    found: dict[str, float] = {}
    for folder in _sorted(root, "sys/class/thermal/thermal_zone*"):
        told = _number(folder / "temp")
        if told is None or not 0.0 < told / _MILLI < _ABSURD_C:
            continue
        name = text(folder / "type") or folder.name
        found[name] = max(found.get(name, 0.0), told / _MILLI)
    return found


def hottest_c(root: Path = ROOT) -> float | None:
    """Give the temperature of the hottest zone."""
    return max(temperatures_c(root).values(), default=None)


def gpu_load(root: Path = ROOT) -> float | None:
    """Tell which share of the time a Jetson's GPU is busy, 0 to 1."""
    for pattern in _GPU_LOADS:
        for path in _sorted(root, pattern):
            told = _number(path)
            if told is not None:
                return told / _MILLI
    return None


def throttle_events(root: Path = ROOT) -> dict[str, int]:
    """Count since the start of the machine how often it slowed down to protect itself.

    A Jetson counts too little voltage and too much current (oc1, oc2, ...), a PC heat (package).
    """
    found: dict[str, int] = {}
    for path in _sorted(root, "sys/class/hwmon/hwmon*/oc*_event_cnt"):
        (name,) = _OVER_CURRENT.findall(path.name) or ("",)
        count = _number(path)
        if name and count is not None:
            found[name] = found.get(name, 0) + count
    pattern = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/package_throttle_count"
    heat = [count for path in _sorted(root, pattern) if (count := _number(path)) is not None]
    return found | ({"package": max(heat)} if heat else {})


def memory(root: Path = ROOT) -> Memory | None:
    """Tell how much memory there is, and how much of it is left."""
    told = dict(line.split(":", 1) for line in _lines(root / "proc/meminfo") if ":" in line)
    try:
        total_kib, available_kib = (
            int(told[name].split()[0]) for name in ("MemTotal", "MemAvailable")
        )
    except (KeyError, ValueError, IndexError):
        return None
    return Memory(
        total_bytes=total_kib * _BYTES_PER_KIB, available_bytes=available_kib * _BYTES_PER_KIB
    )


def disk_free_bytes(folder: Path) -> int | None:
    """Tell how much can still be written where a folder is, or will be."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return None


def board(root: Path = ROOT) -> str | None:
    """Name the board, or else the processor."""
    model = text(root / "proc/device-tree/model")
    if model:
        return model
    for line in _lines(root / "proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return None


def power_mode(root: Path = ROOT) -> str | None:
    """Give the number of nvpmodel's mode that holds, and its name where the table tells it."""
    number = (text(root / "var/lib/nvpmodel/status") or "").rpartition(":")[2].strip()
    if not number.isdigit():
        return None
    for line in _lines(root / "etc/nvpmodel.conf"):
        # < POWER_MODEL ID=2 NAME=MODE_15W >
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if line.startswith("< POWER_MODEL") and words.get("ID") == str(int(number)):
            return f"{int(number)} {words.get('NAME', '')}".strip()
    return str(int(number))


def governor(root: Path = ROOT) -> str | None:
    """Tell how processor cores choose their frequency."""
    pattern = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
    found = {told for path in root.glob(pattern) if (told := text(path))}
    return ", ".join(sorted(found)) or None


def resident_bytes(root: Path = ROOT) -> int | None:
    """Tell how much memory this process holds."""
    fields = (text(root / "proc/self/statm") or "").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else None


def text(path: Path) -> str | None:
    """Read what a file of the kernel says; None where it says nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return None


def _lines(path: Path) -> list[str]:
    return (text(path) or "").splitlines()


def _number(path: Path) -> int | None:
    try:
        return int(text(path) or "")
    except ValueError:
        return None


def _sorted(root: Path, pattern: str) -> Iterator[Path]:
    return iter(sorted(root.glob(pattern)))
