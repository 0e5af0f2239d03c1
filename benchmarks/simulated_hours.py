"""Eight hours of a shift, played fast: whether anything that is kept about people grows.

    python -m benchmarks.simulated_hours [--hours 8] [--fps 4]

In: nothing.  Out: a table with a row for each simulated hour.  People walk in, across and out again
all day; the networks are the stand-ins of the tests, which read the truth from coded pictures, so
that hours take minutes.  Everything between the pictures and the spool is the appliance's own, on a
clock that runs as fast as the pictures come.  What real networks, a real camera and a real broker
keep is measured by `benchmarks.soak`.
"""

import argparse
import gc
import io
import sys
import tempfile
import threading
from pathlib import Path
from random import Random
from typing import Final

from bundles import make_bundle
from edge_pose import camera
from edge_pose.bundle import open_bundle
from edge_pose.event import Event
from edge_pose.jsonl import JsonlSink
from edge_pose.level import up_in_camera
from edge_pose.people import EstimatorSettings, PoseEstimator
from edge_pose.types import Stats
from edge_pose.watch import Watch
from edge_pose.zone import read_zones
from scenes import Person, World, engines_of
from train.confidence import markdown_table

MOST_PEOPLE: Final = 4
_COMES_EVERY_S: Final = 8.0
_WALK_M_S: Final = 0.7
_EDGE_M: Final = 4.0
_MIB: Final = 1024.0
ZONES: Final = {"press": {"picture": [[0.3, 0.0], [0.7, 0.0], [0.7, 1.0], [0.3, 1.0]]}}


class Shift:
    """Who is on the floor: each comes in at one side and leaves at the other."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._walkers: list[tuple[float, float, float]] = []
        """Place across, direction of walking, distance."""

    def go_on(self, seconds: float) -> list[Person]:
        """Let time pass; give who is there."""
        self._walkers = [
            (x + way * _WALK_M_S * seconds, way, z)
            for x, way, z in self._walkers
            if abs(x + way * _WALK_M_S * seconds) < _EDGE_M
        ]
        comes = self._chance.random() < seconds / _COMES_EVERY_S
        if comes and len(self._walkers) < MOST_PEOPLE:
            way = self._chance.choice((-1.0, 1.0))
            self._walkers.append((-way * (_EDGE_M - 0.1), way, self._chance.uniform(3.0, 6.0)))
        return [Person(root_m=(x, 0.0, z)) for x, _, z in self._walkers]


def resident_mib() -> float:
    """Read how much memory this process holds."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return float(line.split()[1]) / _MIB


def play(hours: int, fps: float) -> list[tuple[str, ...]]:
    """Play the shift; a row for each hour."""
    rows: list[tuple[str, ...]] = []
    told: dict[str, int] = {}

    def hear(event: Event) -> None:
        told[event.type] = told.get(event.type, 0) + 1

    with tempfile.TemporaryDirectory(prefix="shift-") as folder:
        world = World(camera.assume(640, 480))
        estimator = PoseEstimator(
            open_bundle(make_bundle(Path(folder))),
            engines=engines_of(world),
            intrinsics_for=lambda width, height: camera.scale_to(world.intrinsics, width, height),
            settings=EstimatorSettings(),
        )
    watch = Watch([hear], cam="cam0", zones=read_zones(ZONES), up=up_in_camera(0.0, 0.0))
    lines = io.StringIO()
    sink = JsonlSink(lines, cam="cam0")
    shift = Shift(Random(7))  # noqa: S311 - people, not secrets
    stats = Stats(fps=fps, infer_ms=1.0, total_ms=1.0, skipped=0, reconnects=0)
    frames_an_hour, highest = round(3600 * fps), 0
    watch.status("online")
    for number in range(hours * frames_an_hour):
        world.people = shift.go_on(1.0 / fps)
        frame = world.frame(number, fps=fps)
        poses = estimator.process(frame)
        watch.send(frame, poses, stats)
        sink.send(frame, poses, stats)
        lines.seek(0)
        lines.truncate()
        highest = max(highest, *(pose.track for pose in poses), 0)
        if (number + 1) % frames_an_hour == 0:
            gc.collect()
            rows.append(
                (
                    str((number + 1) // frames_an_hour),
                    f"{resident_mib():.1f}",
                    str(len(gc.get_objects())),
                    str(estimator.people_held),
                    str(threading.active_count()),
                    str(highest),
                    str(told.get("zone_enter", 0)),
                    str(told.get("zone_leave", 0)),
                )
            )
            print(f"\r{len(rows)} of {hours} hours ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulated_hours")
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--fps", type=float, default=4.0)
    arguments = parser.parse_args()
    head = (
        "hour", "resident MiB", "objects", "people held", "threads", "numbers given",
        "entered the zone", "left it",
    )  # fmt: skip
    print(markdown_table(head, play(arguments.hours, arguments.fps)))


if __name__ == "__main__":
    main()
