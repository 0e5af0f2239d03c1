"""docs/benchmarks.md, made of what `edge-pose bench --json FILE` kept on one or more machines.

    python -m benchmarks.bench_page FILE... [--out docs/benchmarks.md]

In: results, the newest release of each machine.  Out: one Markdown page.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_pose.bench.measure import WARM_UP
from edge_pose.bench.results import Results, read
from edge_pose.bench.table import (
    case_title,
    machine_lines,
    overhead_verdict,
    stages,
    summary,
)
from edge_pose.errors import EdgePoseError

OUT: Final = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
HEAD: Final = f"""# Benchmarks

Made by `python -m benchmarks.bench_page benchmarks/results/*.json` of what `edge-pose bench --json
FILE` wrote; measure and run it again instead of editing.

* Frames are 1280 x 720 Motion JPEG at 30 fps: the golden pictures of the bundle on plain grey, one
  a person, swaying a little; or a recording that `--camera` names. They are worked through as fast
  as they go, by the loop of `edge-pose run`, after {WARM_UP} frames that are not counted.
* Every camera is a process of its own with its own networks, as systemd runs them; all measure at
  the same time, and the rate is that of all their frames until the last is done.
* Percentiles of a stage are over the frames in which it ran: the detector runs once a second while
  everybody is well in sight and nothing changes elsewhere, five times a second otherwise. Means
  are over all frames and sum up to the whole. A network that works
  beside the loop is counted by what the loop waits for it, and so is a recording's decoder.
* **networks alone** repeats the same runs of the networks with nothing between them, those of a
  frame as many at a time as the engine takes; the ratio of the rates is what everything else
  leaves of it. Above 1, looks at somebody new waited for each other in the loop and not there.
* **overhead**, or **outside**, is the frame less capture and networks. A live camera is captured by
  a thread of its own, beside the loop. What the networks are given is prepared in the stages
  detect and pose, and counts as overhead.
* **message** and **publish** are a line of JSON to a file that keeps nothing; with `--broker`
  handing over to the MQTT thread is part of **publish**.
* **load before** is how many processes wanted to run in the minute before the measurement. Well
  above 0 the machine was shared, and the figures are worse than the machine.
"""


def page(found: Sequence[Results]) -> str:
    """Write a section a machine."""
    return HEAD + "".join(map(_section, found))


def _section(results: Results) -> str:
    verdict = overhead_verdict(results)
    notes = [*machine_lines(results), *([verdict] if verdict else [])]
    cases = "".join(
        f"\n### {case_title(case)} ({case.source}, {case.frames} frames)\n\n{stages(case)}\n"
        for case in results.cases
    )
    listed = "\n".join(f"* {note}" for note in notes)
    return f"\n## {results.machine.name}\n\n{listed}\n\n{summary(results)}\n{cases}"


def main(words: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_page", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args(words)
    try:
        text = page([read(path) for path in arguments.results])
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
