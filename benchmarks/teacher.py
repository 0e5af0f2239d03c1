"""How far the teacher's labels are from points that people set: `python -m benchmarks.teacher`.

    python -m benchmarks.teacher --labels LABELS --pictures FOLDER

In: teacher labels of the desk-work set (`python -m train label sitting-posture`) and the set
itself.  Out: a Markdown table.
"""

import argparse
from pathlib import Path

import numpy as np

from train.confidence import markdown_table
from train.known_sets import sitting_posture
from train.label_cache import read_labels
from train.teacher_check import COMPARED, PointError, point_errors


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--labels", type=Path, required=True, help="folder of teacher labels")
    parser.add_argument("--pictures", type=Path, required=True, help="the unpacked set")
    arguments = parser.parse_args()
    errors = point_errors(read_labels(arguments.labels), sitting_posture(arguments.pictures))
    rows = [
        _row(f"{name} ({joint})", [error for error in errors if error.name == name])
        for name, joint in COMPARED.items()
    ]
    rows.append(_row("all", errors))
    print(markdown_table(["point", "labelled", "median px", "90 % px", "median % of box"], rows))


def _row(name: str, errors: list[PointError]) -> list[str]:
    known = [error for error in errors if np.isfinite(error.error_px)]
    px = np.array([error.error_px for error in known])
    box_px = np.array([error.box_px for error in known])
    if not known:
        return [name, f"0 of {len(errors)}", "–", "–", "–"]
    return [
        name,
        f"{len(known)} of {len(errors)}",
        f"{np.median(px):.1f}",
        f"{np.percentile(px, 90):.1f}",
        f"{100 * np.median(px / box_px):.1f}",
    ]


if __name__ == "__main__":
    main()
