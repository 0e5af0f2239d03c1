"""Does it stay as it is for hours?  Memory, threads, descriptors and latency of the appliance.

    python -m benchmarks.soak [--minutes 30] [--json FILE]

In: nothing but the machine.  Out: a Markdown table, first against last tenth.  The appliance is the
one of `benchmarks.faults`, with a network camera, a broker and a consumer that are real processes;
nothing goes wrong.  Latency is from the grab to the consumer, by the clock that both share.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.faults.rig import Rig
from edge_pose.errors import EdgePoseError
from train.confidence import markdown_table

PERIOD_S: Final = 5.0
WARM_UP_S: Final = 120.0
"""Caches and the heap fill; not counted."""
MB_AN_HOUR: Final = 1.0
_KIB_PER_MIB: Final = 1024.0
_S_PER_H: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The process at one moment."""

    at_s: float
    resident_mib: float
    threads: int
    descriptors: int


def look(pid: int, at_s: float) -> Sample:
    """Read what the kernel tells of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    return Sample(
        at_s=at_s,
        resident_mib=float(status["VmRSS"].split()[0]) / _KIB_PER_MIB,
        threads=int(status["Threads"]),
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
    )


def slope_mib_h(samples: list[Sample]) -> tuple[float, float]:
    """Return how fast memory grows, and half the width of its 95 % interval."""
    hours = np.array([sample.at_s for sample in samples]) / _S_PER_H
    memory = np.array([sample.resident_mib for sample in samples])
    centred = hours - hours.mean()
    slope = float(centred @ memory / (centred @ centred))
    left = memory - memory.mean() - slope * centred
    error = float(np.sqrt(left @ left / (len(left) - 2) / (centred @ centred)))
    return slope, 1.96 * error


def soak(minutes: float) -> tuple[list[Sample], np.ndarray]:
    """Run so long; return samples, and of each pose its arrival in seconds and latency in ms."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        rig = Rig(Path(folder), "plain")
        try:
            time.sleep(WARM_UP_S)
            rig.consumer.heard.poses.clear()
            begun_s = time.monotonic()
            while (at_s := time.monotonic() - begun_s) < minutes * 60.0:
                assert rig.appliance.child is not None
                samples.append(look(rig.appliance.child.pid, at_s))
                left_min = minutes - at_s / 60.0
                print(f"\r{left_min:5.1f} minutes left ", end="", file=sys.stderr, flush=True)
                time.sleep(PERIOD_S)
            print(file=sys.stderr)
            arrivals = np.array(rig.consumer.heard.poses, np.float64)
        finally:
            rig.close()
    wall_from_monotonic_s = time.time() - time.monotonic()
    latency_ms = (arrivals[:, 0] + wall_from_monotonic_s) * 1e3 - arrivals[:, 1]
    return samples, np.stack([arrivals[:, 0] - begun_s, latency_ms], axis=1)


def main() -> int:
    """Soak and judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    try:
        samples, poses = soak(arguments.minutes)
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    tenth_s = arguments.minutes * 6.0
    first = poses[poses[:, 0] < tenth_s, 1]
    last = poses[poses[:, 0] >= 9.0 * tenth_s, 1]
    slope, margin = slope_mib_h(samples)
    threads = [sample.threads for sample in samples]
    descriptors = [sample.descriptors for sample in samples]
    rows = [
        ("frames a second", f"{len(first) / tenth_s:.2f}", f"{len(last) / tenth_s:.2f}"),
        *(
            (
                f"grab to consumer, p{q} ms",
                *(f"{np.percentile(part, q):.1f}" for part in (first, last)),
            )
            for q in (50, 95, 99)
        ),
        ("resident MiB", f"{samples[0].resident_mib:.1f}", f"{samples[-1].resident_mib:.1f}"),
        ("threads", str(threads[0]), str(threads[-1])),
        ("descriptors", str(descriptors[0]), str(descriptors[-1])),
    ]
    print(markdown_table(("", "first tenth", "last tenth"), rows))
    print(f"\nmemory grows by {slope:.2f} ± {margin:.2f} MiB an hour")
    if arguments.json is not None:
        kept = {"samples": [asdict(sample) for sample in samples], "poses": poses.tolist()}
        arguments.json.write_text(json.dumps(kept))
    grew = (
        slope - margin > MB_AN_HOUR or threads[-1] > threads[0] or descriptors[-1] > descriptors[0]
    )
    return int(grew)


if __name__ == "__main__":
    sys.exit(main())
