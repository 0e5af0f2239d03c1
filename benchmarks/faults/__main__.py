"""Does every fault as often as it says, and prints what came of it: a row a fault."""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.faults.catalogue import FAULTS, Fault
from benchmarks.faults.rig import Rig
from edge_pose.clock import utc_ms
from edge_pose.errors import EdgePoseError
from train.confidence import markdown_table

RECOVERY_S: Final = 10.0
_PATIENCE_S: Final = 60.0
_SETTLED_S: Final = 2.5
"""Longer than two summaries are apart, and than what waits takes to be sent."""
HEAD: Final = (
    "fault", "times", "back after s, median", "longest", "events", "lost", "summaries", "lost",
    "came twice",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of one fault."""

    fault: str
    back_s: list[float | None]
    """From the end of the cause to a pose that was grabbed after it; None: it never came."""
    events: int
    lost_events: int
    summaries: int
    lost_summaries: int
    repeated: int

    @property
    def is_good(self) -> bool:
        """Tell whether nothing was lost and all came back in time."""
        in_time = all(back_s is not None and back_s <= RECOVERY_S for back_s in self.back_s)
        return in_time and self.lost_events == 0 and self.lost_summaries == 0

    def row(self) -> tuple[str, ...]:
        """Write it down."""
        known = sorted(back_s for back_s in self.back_s if back_s is not None)
        never = len(self.back_s) - len(known)
        return (
            self.fault,
            str(len(self.back_s)),
            f"{known[len(known) // 2]:.1f}" if known else "never",
            f"{never} never" if never else f"{known[-1]:.1f}",
            str(self.events),
            str(self.lost_events),
            str(self.summaries),
            str(self.lost_summaries),
            str(self.repeated),
        )


def try_out(rig: Rig, fault: Fault, times: int, chance: Random) -> Outcome:
    """Do a fault again and again, and count."""
    heard = rig.consumer.heard
    heard.events.clear()
    heard.summaries.clear()
    begun_ms = utc_ms()
    back_s: list[float | None] = []
    for number in range(times):
        print(f"\r{fault.name}: {number + 1} of {times}   ", end="", file=sys.stderr, flush=True)
        fault.harm(rig, chance)
        ended_s, ended_ms = time.monotonic(), utc_ms()
        back_s.append(rig.consumer.wait_for_poses(ended_s, ended_ms, _PATIENCE_S))
        if fault.settles:
            rig.consumer.wait_until_caught_up(_PATIENCE_S)
    rig.consumer.wait_until_caught_up(_PATIENCE_S)
    time.sleep(_SETTLED_S)
    print(file=sys.stderr)
    return Outcome(
        fault=fault.name,
        back_s=back_s,
        events=len(set(heard.events)),
        lost_events=heard.lost_events(),
        summaries=len(set(heard.summaries)),
        lost_summaries=0 if fault.explains_summaries else heard.lost_summaries(begun_ms),
        repeated=heard.repeated(),
    )


def main() -> int:
    """Try them all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="each once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    chance = Random(arguments.seed)  # noqa: S311 - moments, not secrets
    chosen = [fault for fault in FAULTS if fault.name in arguments.only]
    for reason in {fault.name: fault.why_not() for fault in chosen}.items():
        if reason[1]:
            print(f"{reason[0]}: not tried: {reason[1]}", file=sys.stderr)
    chosen = [fault for fault in chosen if fault.why_not() is None]
    try:
        for kind in dict.fromkeys(fault.kind for fault in chosen):
            with tempfile.TemporaryDirectory(prefix="faults-") as folder:
                rig = Rig(Path(folder), kind)
                try:
                    for fault in chosen:
                        if fault.kind == kind:
                            times = 1 if arguments.quick else fault.times
                            outcomes.append(try_out(rig, fault, times, chance))
                            _keep(outcomes, arguments.json)
                finally:
                    rig.close()
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(markdown_table(HEAD, [outcome.row() for outcome in outcomes]))
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _keep(outcomes: list[Outcome], path: Path | None) -> None:
    if path is not None:
        path.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))


if __name__ == "__main__":
    sys.exit(main())
