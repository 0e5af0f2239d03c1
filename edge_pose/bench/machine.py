"""Which machine this is, how it is allowed to work, and how busy it was before: a `Machine`."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from edge_pose.device import ROOT, board, governor, power_mode


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
        name=board(root) or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        power_mode=power_mode(root),
        governor=governor(root),
        load=round(os.getloadavg()[0], 2),
    )
