"""Whom the appliance reports, and whom it invents: detector, pose network and tracker together.

    python -m benchmarks.reported --rendered FOLDER … --workers LABELS --empty LABELS
        --clips VIDEO … [--evidence 0 0.25 …]

In: rendered folders, whose truth is exact; labels of the workers set (`python -m train label
workers`), of which only the heads that its authors drew are used, in groups held out from training;
pictures without anybody (`python -m train label pictures … --nobody`); and videos that show one
person all the time.  Out: a Markdown table.  Still pictures are shown for a second each, as by a
slow camera before which nobody moves, and whoever is reported at its end counts; of videos every
picture counts.

*Rendered*: somebody is to be found when three tenths of them are visible and they are at least a
tenth of the picture's shorter side high, and is by a box that overlaps what is visible by a fifth:
boxes of poses also hold what is hidden.  Whose box overlaps nobody so far is invented.  *Drawn
heads*: found if the head's middle lies in the upper half of a box; bodies without a drawn head are
common, so inventions cannot be counted.  *Empty places*: whoever is reported is invented.  *Clips*:
somebody reported is the one who is there, and whoever else is reported is invented.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from typing import Final, get_args

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.detector import Scene, Tally, drawn_heads, empty_places, rendered
from edge_pose import camera
from edge_pose.bundle import Bundle, open_bundle, packaged
from edge_pose.clock import NS_PER_S
from edge_pose.config import Tier
from edge_pose.engines import Engines
from edge_pose.errors import EdgePoseError, SourceError
from edge_pose.people import EstimatorSettings, PoseEstimator
from edge_pose.runtime import open_engines
from edge_pose.track_settings import TrackSettings
from edge_pose.types import Frame
from train.confidence import markdown_table
from train.detector_refresh import KNOWN_IOU

FRAMES: Final = 5
FPS: Final = 5
"""Of still pictures: in a second the detector looks again in every view of whoever is doubtful."""
USUAL_FPS: Final = 30
"""Of videos that do not say."""


def boxes_reported(bundle: Bundle, engines: Engines, scene: Scene, evidence: float) -> np.ndarray:
    """Show a picture for some frames; return the boxes of whom the last one reports."""
    estimator = PoseEstimator(
        bundle,
        engines=engines,
        intrinsics_for=camera.assume,
        settings=EstimatorSettings(tracking=TrackSettings(evidence_min=evidence)),
    )
    boxes: list[np.ndarray] = []
    for number in range(FRAMES):
        frame = Frame(
            image=scene.image,
            sequence=number,
            captured_ns=number * NS_PER_S // FPS,
            captured_at_ms=0,
        )
        boxes = [person.box_px for person in estimator.process(frame) if not person.stale]
    return np.array(boxes, np.float32).reshape(-1, 4)


def row_of_clips(clips: Sequence[Path], bundle: Bundle, engines: Engines) -> tuple[str, ...]:
    """Play videos of one person each, and count how many people every picture of them reports."""
    tally = Tally()
    for clip in tqdm(clips, desc="clips", unit="clip", file=sys.stderr):
        estimator = PoseEstimator(bundle, engines=engines, intrinsics_for=camera.assume)
        for frame in frames_of(clip):
            people = sum(not person.stale for person in estimator.process(frame))
            tally.wanted.append(1.0)
            tally.found.append(float(min(people, 1)))
            tally.invented.append(float(max(people - 1, 0)))
    limit = TrackSettings().evidence_min
    return tally.row("clips with one person", limit, heads=False)


def frames_of(clip: Path) -> Iterator[Frame]:
    """Decode a video; a SourceError where nothing can be."""
    capture = cv2.VideoCapture(str(clip))
    fps = capture.get(cv2.CAP_PROP_FPS) or USUAL_FPS
    for number in count():
        there, image = capture.read()
        if not there:
            break
        yield Frame(
            image=np.asarray(image, np.uint8),
            sequence=number,
            captured_ns=int(number * NS_PER_S / fps),
            captured_at_ms=0,
        )
    if not number:
        raise SourceError(f"{clip} cannot be read as a video; name one that shows one person")


def rows_of(
    name: str,
    scenes: Iterable[Scene],
    bundle: Bundle,
    engines: Engines,
    limits: list[float],
    *,
    heads: bool,
) -> list[tuple[str, ...]]:
    """Count a set at each least evidence."""
    tallies = {evidence: Tally() for evidence in limits}
    for scene in tqdm(scenes, desc=name, unit="picture", file=sys.stderr):
        for evidence, tally in tallies.items():
            boxes = boxes_reported(bundle, engines, scene, evidence)
            tally.add(scene, boxes, least=KNOWN_IOU)
    return [tally.row(name, evidence, heads=heads) for evidence, tally in tallies.items()]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reported", description=__doc__)
    parser.add_argument("--rendered", type=Path, nargs="*", default=[], help="by train synth")
    parser.add_argument("--workers", type=Path, help="labels of the workers set")
    parser.add_argument("--empty", type=Path, help="labels of pictures without anybody")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="one person in each")
    parser.add_argument("--tier", choices=get_args(Tier), default="fast")
    parser.add_argument("--most", type=int, default=300, help="pictures of each set")
    parser.add_argument(
        "--evidence",
        type=float,
        nargs="+",
        default=[TrackSettings().evidence_min],
        help="least of whoever is reported",
    )
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            bundle = open_bundle(packaged(arguments.tier))
            engines = open_engines(bundle, stack, folder=Path(folder), choice="onnx").engines
            rows = []
            if arguments.clips:
                rows.append(row_of_clips(arguments.clips, bundle, engines))
            sets = [(one.name, rendered(one), False) for one in arguments.rendered]
            if arguments.workers:
                sets.append(("drawn heads", drawn_heads(arguments.workers), True))
            if arguments.empty:
                sets.append(("empty places", empty_places(arguments.empty), False))
            for name, scenes, heads in sets:
                some = islice(scenes, arguments.most)
                rows += rows_of(name, some, bundle, engines, arguments.evidence, heads=heads)
    except EdgePoseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(markdown_table(("set", "evidence", "pictures", "people", "found", "invented"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
