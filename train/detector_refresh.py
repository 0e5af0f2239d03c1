"""The detector that ships goes on learning with a line's own pictures, and is counted by them.

In: an `Assignment` whose target the teachers labelled, and the run or bundle that the detector
begins from.  Out: a run below the assignment's folder, and rows of `train.report_results`.

What counts is what `python -m benchmarks.detector` counts, looked at as the appliance looks at a
first frame: somebody at least a tenth of the frame's shorter side high is found by a box of the
appliance's operating score that shares 0.4 or more with them, each box answering for one; a box is
invented when it shares 0.2 with nobody, counted or not.  The truth is exact in a rendered folder,
where it leaves out whom less than a fifth is to be seen of.  In a labelled one it is the teachers'
opinion, and there only pictures of groups held out from training are looked at.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int

from edge_pose.assign import assign
from edge_pose.boxes import overlaps
from edge_pose.bundle import open_bundle
from edge_pose.detect import DetectSettings, find_people
from edge_pose.errors import ConfigError, SourceError
from edge_pose.sweep import views_of
from train.detector import DetectorNet
from train.detector_command import load_detector, train_detector
from train.detector_data import RealScenes, RenderedScenes, Scene, Scenes
from train.domain_errors import Who
from train.label_cache import is_labelled
from train.mim_run import STUDENT
from train.report_results import Row
from train.report_rows import measured
from train.spread import spread
from train.synth.dataset import is_rendered
from train.workflow_stages import Assignment, share_of_rate

SHIPPED: Final = "detector_shipped"
REFRESHED: Final = "detector_refreshed"
FOUND: Final = "people found, %"
INVENTED: Final = "inventions in 100 pictures"
HIGHER_IS_BETTER: Final = (FOUND,)
"""Of the metrics, for `Results`."""
LEAST_HEIGHT: Final = 0.1
FOUND_IOU: Final = 0.4
KNOWN_IOU: Final = 0.2


def refresh_detector(task: Assignment, begin: Path, seed: int) -> DetectorNet:
    """Let the detector found in `begin` learn the source and what the teachers say of the target.

    Raises:
        ConfigError: nobody labelled the target, or `begin` holds no detector.
        SourceError: every group of the target is held out.

    """
    if not is_labelled(task.target_folder):
        raise ConfigError(
            f"{task.target_folder} holds no labels of the teachers (labels-00000.npz …), and from "
            "them alone the detector learns a target: boxes that were rendered are truth that no "
            "line has; make it with `python -m train label`"
        )
    return train_detector(
        load_detector(begin),
        task.source_folders,
        [task.target_folder],
        task.out / "detector",
        effort=task.effort(task.preset.detector, seed),
        learning_rate=task.learning_rate,
        recipe={"begin": begin, "source": task.source_folders, "target": task.target_folder},
        # Nothing of the detector is new, so all of it learns as slowly as what ships of a student.
        share_of_rate=share_of_rate(STUDENT),
    )


def detector_rows(
    before: DetectorNet, after: DetectorNet, tests: Mapping[str, Path], *, seed: int, most: int
) -> tuple[Row, ...]:
    """Measure the detector that ships and the refreshed one on the same pictures.

    Args:
        before: the one that ships.
        after: the refreshed one.
        tests: rendered or labelled folders, by the names of their domains.
        seed: of the refreshed one.
        most: pictures of each folder, evenly spread.

    Raises:
        SourceError: a folder has no pictures to measure on.

    """
    return tuple(
        row
        for domain, folder in tests.items()
        for method, network in ((SHIPPED, before), (REFRESHED, after))
        for row in _rows(Who(method=method, seed=seed), domain, _count(network, folder, most=most))
    )


def _rows(who: Who, domain: str, counted: "_Counted") -> Iterator[Row]:
    """Make a row of each metric; none of people found where nobody is large enough to count."""
    for metric, values, pictures in (
        (FOUND, counted.found, counted.picture),
        (INVENTED, counted.invented, None),
    ):
        if len(values):
            yield measured(
                name=who.name,
                method=who.method,
                seed=who.seed,
                domain=domain,
                metric=metric,
                errors=100.0 * values[:, None],
                groups=pictures,
                # Of a labelled folder groups are held out, and no rendered one is the target.
                seen_target_test=False,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """What a detector made of some pictures."""

    found: Float64[np.ndarray, "people"]
    """1 for who was found, 0 for who was missed."""
    picture: Int[np.ndarray, "people"]
    """Number of the picture that each person is in."""
    invented: Float64[np.ndarray, "pictures"]
    """How many people who are not there."""


def _count(network: DetectorNet, folder: Path, *, most: int) -> _Counted:
    """Look for people in at most so many pictures of a folder, evenly spread."""
    scenes: Scenes = (
        RenderedScenes(folder) if is_rendered(folder) else RealScenes([folder], held_out=True)
    )
    if not len(scenes):
        raise SourceError(
            f"none of the groups of pictures labelled in {folder} is held out, so there is nothing "
            "to measure a detector on; label more groups, or name another folder"
        )
    spec = open_bundle().manifest.networks.detector
    judged = []
    for number in spread(len(scenes), most):
        scene = scenes.scene(number)
        views = views_of(scene.image.shape[1], scene.image.shape[0])
        people = find_people(_InTorch(network), spec, scene.image, views, DetectSettings())
        boxes = np.array([person.box_px for person in people], np.float32).reshape(-1, 4)
        judged.append(judge(scene, boxes))
    return _Counted(
        found=np.concatenate([found for found, _ in judged]).astype(np.float64),
        picture=np.repeat(np.arange(len(judged)), [len(found) for found, _ in judged]),
        invented=np.array([invented for _, invented in judged], np.float64),
    )


def judge(
    scene: Scene, boxes_px: Float32[np.ndarray, "boxes 4"]
) -> tuple[Bool[np.ndarray, "people"], int]:
    """Tell who of those that count was found, and count the boxes that show nobody."""
    high = scene.people_px[:, 3] - scene.people_px[:, 1]
    wanted = scene.people_px[high >= LEAST_HEIGHT * min(scene.image.shape[:2])]
    found = np.zeros(len(wanted), bool)
    found[[person for person, _ in assign(overlaps(wanted, boxes_px), least=FOUND_IOU)]] = True
    return found, inventions(boxes_px, np.concatenate([scene.people_px, scene.unsure_px]))


def inventions(
    boxes_px: Float32[np.ndarray, "boxes 4"], known_px: Float32[np.ndarray, "people 4"]
) -> int:
    """Count the boxes that show nobody who is known to be there."""
    shared = overlaps(boxes_px, known_px).max(axis=1, initial=0.0)
    return int((shared < KNOWN_IOU).sum())


@dataclass(frozen=True, slots=True)
class _InTorch:
    """A detector of the workshop where the appliance's code expects an engine."""

    network: DetectorNet

    @property
    def description(self) -> str:
        """Name the runtime."""
        return f"torch {torch.__version__}"

    @property
    def at_once(self) -> int:
        """One, as the network has it."""
        return 1

    @torch.no_grad()
    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Give `boxes_px` [1, 1917, 4] and `scores` [1, 1917] of `image` [1, 3, 300, 300]."""
        image = torch.from_numpy(inputs["image"]).to(self.network.anchors.device)
        answer = self.network(image)
        return {
            "boxes_px": answer["boxes_px"].cpu().numpy(),
            "scores": answer["score_logits"].sigmoid().cpu().numpy(),
        }

    def close(self) -> None:
        """Leave the network to its owner."""
