"""What a detector invents is kept as people who are not there; what is somebody is never kept."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge_pose.bundle import open_bundle
from edge_pose.errors import SourceError
from train.__main__ import main
from train.detector_data import Scene
from train.inventions import Inventions, find_inventions, write_inventions
from train.label_cache import LabelFolder
from train.labelled_image import LabelledImage, encode_picture

BOXES = np.array([[20, 30, 80, 230], [200, 40, 260, 220], [320, 100, 330, 110]], np.float32)


class Eager:
    """A detector that always sees the same three people."""

    description = "eager"
    at_once = 1

    def run(self, _inputs: object) -> dict[str, np.ndarray]:
        """See them again."""
        return {"boxes_px": BOXES[None], "scores": np.full((1, 3), 0.9, np.float32)}

    def close(self) -> None:
        """Nothing to free."""


class OneScene:
    """A square picture, so that the detector's pixels are the picture's."""

    def __init__(self, people_px: np.ndarray, unsure_px: np.ndarray) -> None:
        rng = np.random.default_rng(1)
        image = rng.integers(0, 255, (300, 300, 3), np.uint8)
        self._scene = Scene(image=image, people_px=people_px, unsure_px=unsure_px)

    def __len__(self) -> int:
        return 1

    def scene(self, _index: int) -> Scene:
        """Show it."""
        return self._scene


def squares(people_px: np.ndarray, unsure_px: np.ndarray) -> list[np.ndarray]:
    network = open_bundle().manifest.networks.detector
    scenes = OneScene(people_px, unsure_px)
    return [box for _, box in find_inventions(Eager(), network, scenes, [0])]


def test_boxes_on_people_known_or_doubted_and_tiny_ones_are_left_out() -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert len(squares(nothing, nothing)) == 2  # the third is ten pixels wide
    assert len(squares(BOXES[:1], nothing)) == 1
    assert squares(BOXES[:1], BOXES[1:2]) == []


def test_what_was_written_comes_back_as_nobody_with_the_box_in_its_place(tmp_path: Path) -> None:
    pixels = np.full((120, 90, 3), 128, np.uint8)
    box = np.array([10, 20, 50, 100], np.float32)
    write_inventions(tmp_path / "i.npz", [(pixels, box), (pixels[:60], box)])
    inventions = Inventions(tmp_path / "i.npz")
    person = inventions.person(1)
    assert len(inventions) == 2
    assert not person.presence
    assert person.image.shape == (60, 90, 3)
    np.testing.assert_array_equal(person.box_px, box)
    assert not person.weight_2d.any()
    # Hips in the middle of the box, the reach straight above.
    np.testing.assert_allclose(person.reach_px, [[30, 60], [30, 28]], atol=1e-4)


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="train inventions"):
        Inventions(tmp_path / "no.npz")


def labels_of(folder: Path, pictures: Sequence[np.ndarray]) -> Path:
    """Write pictures in which the teachers saw nobody."""
    labels = LabelFolder(folder, teachers={"teacher": "hash"})
    for number, picture in enumerate(pictures):
        labels.add(
            LabelledImage(
                jpeg=encode_picture(picture),
                key=f"line/{number}.png",
                source="line",
                licence="none",
                group="line/.#run-0000",
                width_px=picture.shape[1],
                height_px=picture.shape[0],
                people=(),
                detected_px=np.zeros((0, 4), np.float32),
                detected_scores=np.zeros(0, np.float32),
                given=(),
            )
        )
    labels.flush()
    return folder


def test_pictures_looked_at_reach_from_the_first_to_the_last(tmp_path: Path) -> None:
    crowd, *_ = np.load(open_bundle().folder / "golden.npz")["detector.images"]
    found = []
    for name, pictures in (("one", [crowd]), ("ends", [crowd, np.zeros_like(crowd), crowd])):
        labels, out = labels_of(tmp_path / name, pictures), tmp_path / f"{name}.npz"
        assert main(["inventions", "--real", str(labels), "--most", "2", "--out", str(out)]) == 0
        found.append(len(Inventions(out)))
    assert found[0] > 0
    assert found[1] == 2 * found[0]
