"""What the appliance costs on a CPU: memory, time to the first message, milliseconds a frame.

    python -m benchmarks.appliance --data DIR [--rounds 3]

In: folders of clips, or clips.  Out: a Markdown table.  Each clip is run by `edge-pose run` as a
user would run it, in a new process each time; memory is the largest resident set the kernel saw,
shared libraries included.
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import Any, Final

import cv2

from benchmarks import ours
from benchmarks.clip_poses import run_and_time
from benchmarks.rivals import clips_below, keep_to_cores
from edge_pose.errors import EdgePoseError
from train.confidence import markdown_table

HEAD: Final = (
    "clip",
    "size",
    "frames",
    "with a person %",
    "ids",
    "first message s",
    "ms/frame min",
    "ms/frame median",
    "peak MiB",
)


def people_in(lines: list[dict[str, Any]]) -> tuple[float, int]:
    """Tell in what share of the frames somebody was seen, and how many ids were given out."""
    seen = [[person for person in line["persons"] if not person.get("stale")] for line in lines]
    ids = {person["id"] for people in seen for person in people}
    return sum(map(bool, seen)) / len(seen), len(ids)


def row_of(clip: Path, rounds: int, options: list[str]) -> tuple[str, ...]:
    """Run a clip several times."""
    capture = cv2.VideoCapture(str(clip))
    size = (
        f"{capture.get(cv2.CAP_PROP_FRAME_WIDTH):.0f}x{capture.get(cv2.CAP_PROP_FRAME_HEIGHT):.0f}"
    )
    capture.release()
    runs = [run_and_time(ours.command_for(clip, *options)) for _ in range(rounds)]
    share, ids = people_in(runs[-1][0])
    costs = [cost for _, cost in runs]
    return (
        clip.name,
        size,
        str(costs[0].frames),
        f"{100 * share:.1f}",
        str(ids),
        f"{median(cost.first_message_s for cost in costs):.2f}",
        f"{min(cost.ms_per_frame for cost in costs):.1f}",
        f"{median(cost.ms_per_frame for cost in costs):.1f}",
        f"{max(cost.peak_memory_mib for cost in costs):.0f}",
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.appliance", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, nargs="+", help="folders, or clips")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--bundle", help="model bundle, if not the one that ships")
    arguments = parser.parse_args()
    keep_to_cores(arguments.cores)
    options = ["--bundle", arguments.bundle] if arguments.bundle else []
    try:
        rows = [
            row_of(clip, arguments.rounds, options)
            for folder in arguments.data
            for clip in clips_below(folder)
        ]
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(markdown_table(HEAD, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
