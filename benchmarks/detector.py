"""How many visible people the detector finds, and how many it invents.

    python -m benchmarks.detector --workers LABELS --rendered FOLDER [--empty LABELS]
        [--detector detector.onnx]

In: labels of the workers set (`python -m train label workers`), of which only the boxes that its
authors drew round heads and helmets are used, and a rendered folder of the other site.  Out: a
Markdown table.  Every picture is looked at as the appliance looks at a first frame: as a whole, and
in squares.

*Drawn heads*, in groups held out from training: one is found if its middle lies in the upper half
of a box; each box answers for one head, and heads smaller than a fortieth of the picture do not
count.  Bodies without a drawn head are common there, so inventions cannot be counted.  *Rendered*,
where the truth is exact: somebody counts when three tenths of them are visible and they are at
least a tenth of the frame's shorter side high; found by an overlap of 0.4 or more.  A box is
invented when it overlaps nobody by 0.2, counted or not.  *Empty places* (`train label --nobody`):
every box is invented.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.assign import assign
from edge_pose.boxes import overlaps
from edge_pose.bundle import open_bundle
from edge_pose.detect import DetectSettings, find_people
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import SourceError
from edge_pose.sweep import views_of
from edge_pose.types import Detection
from train.confidence import bootstrap_mean, markdown_table
from train.detector_refresh import FOUND_IOU, LEAST_HEIGHT, inventions
from train.drawn_heads import in_upper_half
from train.label_cache import read_labels
from train.labelled_image import no_boxes
from train.pose_data import is_held_out
from train.synth.dataset import read_chunk

THRESHOLDS: Final = (0.3, 0.4, 0.5, 0.6)
LEAST_HEAD: Final = 1 / 40
LEAST_VISIBLE: Final = 0.3

Boxes = Float32[np.ndarray, "boxes 4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A picture, who is to be found in it, and who else is there."""

    image: UInt8[np.ndarray, "height width 3"]
    wanted_px: Boxes
    others_px: Boxes
    heads: bool
    """The wanted boxes are heads, not bodies."""


@dataclass(slots=True)
class Tally:
    """What happened at one threshold, picture by picture."""

    found: list[float] = field(default_factory=list)
    wanted: list[float] = field(default_factory=list)
    invented: list[float] = field(default_factory=list)

    def add(self, scene: Scene, boxes: Boxes, *, least: float = FOUND_IOU) -> None:
        """Count one picture; `least` overlap is needed to be found."""
        agreement = hit_heads(scene.wanted_px, boxes) if scene.heads else near(scene, boxes)
        self.wanted.append(len(scene.wanted_px))
        self.found.append(len(assign(agreement, least=least)))
        known = np.concatenate([scene.wanted_px, scene.others_px])
        self.invented.append(float(inventions(boxes, known)))

    def row(self, name: str, threshold: float, *, heads: bool) -> tuple[str, ...]:
        """Write recall and inventions with intervals over pictures."""
        found, wanted = np.array(self.found), np.array(self.wanted)
        one_each = np.repeat(np.arange(len(wanted)), wanted.astype(int))
        hits = np.concatenate(
            [np.arange(int(w)) < f for f, w in zip(found, wanted, strict=True)]
        ).astype(float)
        recall = bootstrap_mean(hits[:, None], one_each).text(3) if len(hits) else "-"
        invented = bootstrap_mean(np.array(self.invented)[:, None])
        return (
            name,
            f"{threshold:g}",
            str(len(wanted)),
            str(int(wanted.sum())),
            recall,
            "-" if heads else invented.text(3),
        )


def hit_heads(heads_px: Boxes, boxes_px: Boxes) -> np.ndarray:
    """Give 1 where the middle of a head lies in the upper half of a box, [heads, boxes]."""
    inside = in_upper_half(heads_px, boxes_px)
    # Of several boxes that fit, the smallest is most likely this head's.
    area = np.prod(boxes_px[:, 2:] - boxes_px[:, :2], axis=1)
    return np.asarray(inside * (1.0 - 0.1 * area / max(float(area.max(initial=1.0)), 1.0)))


def near(scene: Scene, boxes_px: Boxes) -> np.ndarray:
    """Overlap of people and boxes, [people, boxes]."""
    return overlaps(scene.wanted_px, boxes_px)


def drawn_heads(labels: Path) -> Iterator[Scene]:
    """Yield the held-out pictures of the workers set with the heads that were drawn."""
    for image in read_labels(labels):
        least_px = LEAST_HEAD * max(image.width_px, image.height_px)
        heads = [given.box_px for given in image.given if given.kind in {"head", "helmet"}]
        boxes = np.array(heads, np.float32).reshape(-1, 4)
        boxes = boxes[(boxes[:, 3] - boxes[:, 1]) >= least_px]
        if is_held_out(image.group) and len(boxes):
            yield Scene(image=image.image(), wanted_px=boxes, others_px=boxes[:0], heads=True)


def rendered(folder: Path) -> Iterator[Scene]:
    """Yield rendered frames with the boxes of what is visible of everybody."""
    for path in sorted(folder.glob("chunk-*.npz")):
        chunk = read_chunk(path)
        for frame in range(len(chunk)):
            here = chunk.frame == frame
            boxes = chunk.box_px[here]
            high = boxes[:, 3] - boxes[:, 1] >= LEAST_HEIGHT * float(chunk.size[frame].min())
            counts = high & (chunk.visible_fraction[here] >= LEAST_VISIBLE)
            yield Scene(
                image=np.ascontiguousarray(chunk.image(frame)[:, :, ::-1]),
                wanted_px=boxes[counts],
                others_px=boxes[~counts],
                heads=False,
            )


def empty_places(labels: Path) -> Iterator[Scene]:
    """Yield all pictures of a folder made by `train label --nobody`; whoever is seen is invented.

    Raises:
        SourceError: a teacher saw somebody in one of them, so it is another kind of folder.

    """
    for image in read_labels(labels):
        if len(image.detected_px):
            raise SourceError(
                f"{labels} holds pictures in which teachers see people; name a folder made by "
                "`train label pictures … --nobody`"
            )
        yield Scene(image=image.image(), wanted_px=no_boxes(), others_px=no_boxes(), heads=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detector", description=__doc__)
    parser.add_argument("--workers", type=Path, required=True, help="labels of the workers set")
    parser.add_argument("--rendered", type=Path, required=True, help="rendered other site")
    parser.add_argument("--empty", type=Path, help="labels of pictures without anybody")
    parser.add_argument("--detector", type=Path, help="network, if not the one that ships")
    parser.add_argument("--most", type=int, default=500, help="pictures of each kind")
    arguments = parser.parse_args()
    bundle = open_bundle()
    network = bundle.manifest.networks.detector
    engine = OnnxEngine(arguments.detector or bundle.path_of("detector"))
    settings = DetectSettings(score_min=min(THRESHOLDS))
    rows = []
    sets = [
        ("drawn heads, real", drawn_heads(arguments.workers), True),
        ("rendered", rendered(arguments.rendered), False),
    ]
    if arguments.empty:
        sets.append(("empty places", empty_places(arguments.empty), False))
    for name, scenes, heads in sets:
        tallies = {threshold: Tally() for threshold in THRESHOLDS}
        for scene, _ in zip(scenes, range(arguments.most), strict=False):
            height, width = scene.image.shape[:2]
            people = find_people(engine, network, scene.image, views_of(width, height), settings)
            for threshold, tally in tallies.items():
                tally.add(scene, boxes_of(people, threshold))
        rows += [tally.row(name, value, heads=heads) for value, tally in tallies.items()]
    head = ("set", "score from", "pictures", "people", "found", "invented a picture")
    print(markdown_table(head, rows))


def boxes_of(people: list[Detection], threshold: float) -> Boxes:
    """Return the boxes of whom a threshold lets through."""
    sure = [person.box_px for person in people if person.score >= threshold]
    return np.array(sure, np.float32).reshape(-1, 4)


if __name__ == "__main__":
    main()
