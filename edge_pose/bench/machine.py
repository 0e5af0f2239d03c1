"""Which machine this is, how it is allowed to work, and how warm it is, where that can be read.

In: the files in which Linux tells it.  Out: `Machine` and degrees; None for what nobody tells.
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")
_ABSURD_C: Final = 150.0
"""Sensors that are not wired report nonsense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What figures depend on besides the program."""

    name: str
    cores: int
    """That this process may use."""
    system: str
    python: str
    power_mode: str | None
    """NVIDIA's nvpmodel."""
    governor: str | None
    """How processor cores choose their frequency."""
    load: float
    """Processes that wanted to run in the minute before: others count too."""


def this_machine(root: Path = ROOT) -> Machine:
    """Look."""
    return Machine(
        name=_name(root),
        cores=len(os.sched_getaffinity(0)),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        power_mode=_power_mode(root),
        governor=_governor(root),
        load=round(os.getloadavg()[0], 2),
    )


def hottest_c(root: Path = ROOT) -> float | None:
    """Return the temperature of the hottest zone."""
    told = [_text(path) for path in root.glob("sys/class/thermal/thermal_zone*/temp")]
    degrees = [int(text) / 1000.0 for text in told if text and text.lstrip("-").isdigit()]
    return max((value for value in degrees if 0.0 < value < _ABSURD_C), default=None)


def _name(root: Path) -> str:
    board = _text(root / "proc/device-tree/model")
    if board:
        return board
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _power_mode(root: Path) -> str | None:
    """Return the number of the mode that holds, and its name where the table tells it."""
    status = _text(root / "var/lib/nvpmodel/status")
    number = (status or "").rpartition(":")[2].strip()
    if not number.isdigit():
        return None
    for line in (_text(root / "etc/nvpmodel.conf") or "").splitlines():
        # < POWER_MODEL ID=2 NAME=MODE_15W >
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if line.startswith("< POWER_MODEL") and words.get("ID") == str(int(number)):
            return f"{int(number)} {words.get('NAME', '')}".strip()
    return str(int(number))


def _governor(root: Path) -> str | None:
    pattern = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
    found = {text for path in root.glob(pattern) if (text := _text(path))}
    return ", ".join(sorted(found)) or None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return None
