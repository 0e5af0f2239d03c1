"""`python -m benchmarks.pictures`: draw what `edge-pose run` says over the frames of a clip.

In: a clip, the numbers of the frames to show.  Out: one JPEG, the frames side by side, skeletons in
a colour for each id, joints that the appliance is unsure of left out.  The pictures in docs/ are
made with it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

COLOURS: Final = (
    (80, 200, 60),
    (40, 140, 255),
    (230, 120, 40),
    (200, 60, 200),
    (60, 220, 230),
    (140, 140, 250),
)
"""BGR, by id."""
Colour = tuple[int, int, int]
SIDES: Final[Mapping[str, Colour]] = {"left": (0, 140, 255), "right": (255, 120, 0)}
LEAST_SCORE: Final = 0.3


def main(words: Sequence[str] | None = None) -> None:
    """Run the appliance over the clip and write the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, nargs="+", required=True, help="frames to show")
    parser.add_argument("--height", type=int, default=360, help="height of a frame in the picture")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--sides", action="store_true", help="left limbs orange, right ones blue")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(words)
    command = [sys.executable, "-m", "edge_pose", "run", str(options.clip), "--output", "jsonl"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    head, *lines = (json.loads(line) for line in finished.stdout.splitlines())
    messages = {message["seq"]: message for message in lines if "seq" in message}
    edges = head["meta"]["edges"]
    sides = sides_of(head["meta"]["joints"]) if options.sides else {}
    tiles = [
        draw(frame, messages[number], edges, options.height, sides=sides)
        for number, frame in read_frames(options.clip, options.frames)
    ]
    rows = [
        np.hstack(padded(tiles[first : first + options.columns], options.columns))
        for first in range(0, len(tiles), options.columns)
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


def read_frames(clip: Path, wanted: Sequence[int]) -> list[tuple[int, np.ndarray]]:
    """Decode the wanted frames, counted from 0 as in the messages."""
    capture = cv2.VideoCapture(str(clip))
    found = []
    for number in range(max(wanted) + 1):
        there, frame = capture.read()
        if not there:
            break
        if number in wanted:
            found.append((number, frame))
    return found


def sides_of(joints: Sequence[str]) -> dict[int, Colour]:
    """Give joints of each side its colour, by number."""
    return {
        number: colour
        for side, colour in SIDES.items()
        for number, joint in enumerate(joints)
        if joint.startswith(side)
    }


def draw(
    frame: np.ndarray,
    message: dict[str, Any],
    edges: Sequence[Sequence[int]],
    height: int,
    *,
    sides: Mapping[int, Colour],
) -> np.ndarray:
    """Draw the people of one message over its frame; joints in `sides` have a colour of theirs."""
    scale = height / frame.shape[0]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    tile = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=interpolation)
    for person in message["persons"]:
        colour = COLOURS[person["id"] % len(COLOURS)]
        points = [
            None if pixel is None else (round(pixel[0] * scale), round(pixel[1] * scale))
            for pixel in person["kp_px"]
        ]
        sure = [joint is not None and joint[3] >= LEAST_SCORE for joint in person["kp"]]
        for a, b in edges:
            start, end = points[a], points[b]
            if sure[a] and sure[b] and start is not None and end is not None:
                cv2.line(tile, start, end, sides.get(b, colour), 2, cv2.LINE_AA)
        for point, is_sure in zip(points, sure, strict=True):
            if is_sure and point is not None:
                cv2.circle(tile, point, 3, (255, 255, 255), -1, cv2.LINE_AA)
        x0, y0, *_ = (round(value * scale) for value in person["box"])
        root = person["kp"][17]
        distance = f" {root[2]:.1f} m" if root is not None else ""
        label = f"{person['id']}{distance}"
        cv2.putText(tile, label, (x0, max(y0 - 6, 14)), 0, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(tile, label, (x0, max(y0 - 6, 14)), 0, 0.5, colour, 1, cv2.LINE_AA)
    return np.asarray(tile)


def padded(tiles: Sequence[np.ndarray], columns: int) -> list[np.ndarray]:
    """Fill a row with white."""
    return [*tiles, *[np.full_like(tiles[0], 255)] * (columns - len(tiles))]


if __name__ == "__main__":
    main()
