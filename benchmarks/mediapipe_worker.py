"""Runs genuine MediaPipe Pose over one clip, in a virtual environment of its own.

In: a clip and a model size.  Out: JSON lines on stdout, first a line about the solution, then one a
frame with the 33 landmarks in frame pixels, the 33 world landmarks in metres, and what the frame
cost.  This file is run by the interpreter of that environment, so it imports nothing of this
project.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import mediapipe as mp

COMPLEXITY = {"lite": 0, "full": 1, "heavy": 2}


def rounded(landmarks: Any, scale_x: float, scale_y: float) -> list[list[float]] | None:
    """List [x, y, z, visibility] per landmark, or None where nobody was found."""
    if landmarks is None:
        return None
    return [
        [
            round(point.x * scale_x, 4),
            round(point.y * scale_y, 4),
            round(point.z, 5),
            round(point.visibility, 4),
        ]
        for point in landmarks.landmark
    ]


def main() -> None:
    """Estimate every frame of the clip and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", choices=COMPLEXITY, required=True)
    parser.add_argument("--static", action="store_true", help="detect anew in every frame")
    parser.add_argument("--confidence", type=float, default=0.5)
    arguments = parser.parse_args()
    pose = mp.solutions.pose.Pose(
        static_image_mode=arguments.static,
        model_complexity=COMPLEXITY[arguments.model],
        smooth_landmarks=not arguments.static,
        min_detection_confidence=arguments.confidence,
        min_tracking_confidence=arguments.confidence,
    )
    capture = cv2.VideoCapture(str(arguments.clip))
    if not capture.isOpened():
        sys.exit(f"{arguments.clip} cannot be read as a video")
    print(json.dumps({"meta": {"mediapipe": mp.__version__, "model": arguments.model}}), flush=True)
    sequence = 0
    while True:
        started = time.perf_counter()
        found, image = capture.read()
        if not found:
            break
        height, width = image.shape[:2]
        decoded = time.perf_counter()
        result = pose.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        finished = time.perf_counter()
        line = {
            "seq": sequence,
            "size": [width, height],
            "read_ms": round((decoded - started) * 1e3, 3),
            "process_ms": round((finished - decoded) * 1e3, 3),
            "landmarks": rounded(result.pose_landmarks, width, height),
            "world": rounded(result.pose_world_landmarks, 1, 1),
        }
        print(json.dumps(line, separators=(",", ":")), flush=True)
        sequence += 1
    pose.close()


if __name__ == "__main__":
    main()
