"""Postures, the units that tell them, and the pictures of both: constructed so that one knows."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge_pose.skeleton import INDEX, NUM_JOINTS
from tiny_poses import TINY, Convolutions, transformer
from train.insight import (
    BEHIND,
    BENT,
    LEAST,
    RAISED,
    attention_heat,
    attention_picture,
    choosy_units,
    postures_of,
    selective_of,
    telling_units,
    unit_picture,
)
from train.pose_augment import TrainingCrop
from train.vit_pose import VitPose

STANDING = {
    "left_shoulder": (0.2, -0.5, 0),
    "right_shoulder": (-0.2, -0.5, 0),
    "left_wrist": (0.3, 0.1, 0),
    "right_wrist": (-0.3, 0.1, 0),
    "neck": (0, -0.5, 0),
    "left_ankle": (0.1, 0.9, 0),
    "right_ankle": (-0.1, 0.9, 0),
}
"""Metres from the pelvis of somebody who faces the camera; x right, y down, z away from it."""
TURNED = np.diag([-1.0, 1.0, -1.0])
LOOKED_DOWN_AT = np.array([[1, 0, 0], [0, 0.5**0.5, -(0.5**0.5)], [0, 0.5**0.5, 0.5**0.5]])
"""The same people, seen by a camera that looks down by 45 degrees."""
UPPER_LEFT, LOWER_RIGHT = (0, 0), (3, 3)


def pose(**moved: tuple[float, float, float]) -> np.ndarray:
    """Return the joints [joints, 3] of somebody who stands but for what was moved."""
    joints_m = np.zeros((NUM_JOINTS, 3))
    for name, place in (STANDING | moved).items():
        joints_m[INDEX[name]] = place
    return joints_m


def leaning(degrees: float, **moved: tuple[float, float, float]) -> np.ndarray:
    """Bend a pose forward, towards the camera, arms and all."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    bent = pose(**moved) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T
    for ankle in ("left_ankle", "right_ankle"):
        bent[INDEX[ankle]] = STANDING[ankle]
    return bent


def crowd(*some: np.ndarray) -> np.ndarray:
    """Put so many of each pose beside as many who just stand."""
    each = np.repeat(np.stack(some), LEAST, axis=0)
    return np.concatenate([each, np.repeat(pose()[None], LEAST, axis=0)])


def those(joints_m: np.ndarray) -> dict[str, list[bool]]:
    """Tell for each posture which of the poses in a crowd have it, instead of which people."""
    return {name: has[::LEAST].tolist() for name, has in postures_of(joints_m).items()}


RAISED_LEFT = pose(left_wrist=(0.3, -0.8, 0))
RAISED_RIGHT = pose(right_wrist=(-0.3, -0.8, 0))


@pytest.mark.parametrize("camera", [np.eye(3), LOOKED_DOWN_AT], ids=["level", "from above"])
def test_postures_are_told_from_the_body_however_the_camera_looks_down(camera: np.ndarray) -> None:
    at_chest = pose(left_wrist=(0.2, -0.3, -0.3))
    said = those(crowd(RAISED_LEFT, RAISED_RIGHT, at_chest, leaning(25), leaning(35)) @ camera.T)
    assert said == {
        RAISED: [True, True, False, False, False, False],
        BENT: [False, False, False, False, True, False],
    }
    behind = those(crowd(pose() @ TURNED, RAISED_LEFT @ TURNED) @ camera.T)
    assert behind == {RAISED: [False, True, False], BEHIND: [True, True, False]}


def test_who_reaches_past_the_head_when_bent_over_has_a_hand_above_the_shoulder() -> None:
    """In the picture those hands are below the shoulders."""
    reaching = leaning(100, left_wrist=(0.3, -0.8, 0), right_wrist=(-0.3, -0.8, 0))
    for side in ("left", "right"):
        assert reaching[INDEX[f"{side}_wrist"], 1] > reaching[INDEX[f"{side}_shoulder"], 1]
    assert those(crowd(reaching))[RAISED] == [True, False]


def test_a_posture_that_hardly_anybody_has_or_lacks_is_left_out() -> None:
    people = crowd(RAISED_LEFT)
    assert set(postures_of(people)) == {RAISED}
    assert not postures_of(people[1:])  # one raised hand too few
    assert not postures_of(people[:-1])  # and one too few without
    assert not selective_of(np.ones((19, 2)), people[1:])


def raised_and_not(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return people [2 count, joints, 3], and what four units say of them; unit 2 sees hands."""
    joints_m = np.stack([RAISED_LEFT, pose()] * count)
    peaks = np.random.default_rng(0).normal(size=(2 * count, 4))
    peaks[::2, 2] += 3
    return joints_m, peaks


def test_a_unit_that_answers_to_raised_hands_is_selective_and_named_and_others_are_not() -> None:
    joints_m, peaks = raised_and_not(40)
    (found,) = selective_of(peaks, joints_m).values()
    assert (found.shares > 2 * found.null_quantiles).tolist() == [False, False, True, False]
    assert telling_units(peaks, postures_of(joints_m)) == {RAISED: 2}
    # One that falls silent for raised hands is selective as well, but shows other people.
    assert telling_units(-peaks, postures_of(joints_m)) == {}


def test_silent_units_are_not_counted_among_those_that_might_tell_a_posture() -> None:
    joints_m, peaks = raised_and_not(40)
    mostly_silent = np.concatenate([peaks[:, 2:3], np.full((80, 9), 0.5)], axis=1)
    assert selective_of(mostly_silent, joints_m)[RAISED].above_chance == 1
    assert not selective_of(np.ones((80, 2)), joints_m)


def test_the_luckiest_of_many_units_is_not_named() -> None:
    """With shuffled labels 1 of 20 units beats its own quantile; none beats the best by chance."""
    joints_m, _ = raised_and_not(40)
    peaks = np.random.default_rng(1).normal(size=(80, 300))
    (found,) = selective_of(peaks, joints_m).values()
    assert found.above_chance == pytest.approx(0.05, abs=0.03)
    assert telling_units(peaks, postures_of(joints_m)) == {}


def test_units_that_saturate_or_are_silent_come_after_choosy_ones() -> None:
    peaks = np.zeros((100, 4))
    peaks[:50, 0] = 6  # the same for half of all people
    peaks[:5, 2] = 3
    peaks[:5, 3] = 4
    assert choosy_units(peaks) == [3, 2, 0, 1]


class Stares(VitPose):
    """Looks at one of 4 x 4 places, whatever there is."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__(TINY)
        self.place = 4 * row + column

    def with_attention(
        self, image: Tensor, layers: Sequence[int]
    ) -> tuple[dict[str, Tensor], dict[int, Tensor]]:
        """Return logits that are high in one column."""
        logits = torch.zeros(len(image), 2, 16, 16)
        logits[..., self.place] = 9.0
        return {}, dict.fromkeys(layers, logits)


def crops(joints_m: np.ndarray, *, bright: np.ndarray | None = None) -> list[TrainingCrop]:
    """Show people as dark squares; of the bright ones a place low and right of 8 x 8 is red."""
    shown = np.full((len(joints_m), 3, 256, 256), 30, np.uint8)
    if bright is not None:
        shown[bright, :, 192:224, 224:] = np.array([[[255]], [[0]], [[0]]])
    return [
        TrainingCrop(
            image=image,
            joints_px=np.zeros((NUM_JOINTS, 2), np.float32),
            weight_2d=np.ones(NUM_JOINTS, np.float32),
            joints_m=joints.astype(np.float32),
            reach_px=np.zeros((2, 2), np.float32),
            has_3d=True,
            visible=np.ones(NUM_JOINTS, bool),
            presence=True,
        )
        for image, joints in zip(shown, joints_m, strict=True)
    ]


def drawn(path: Path) -> np.ndarray:
    """Read a PNG, [height, width, BGR]."""
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture.astype(int)


@pytest.mark.parametrize("place", [UPPER_LEFT, LOWER_RIGHT])
def test_attention_that_all_goes_to_one_place_lights_that_place(
    place: tuple[int, int], tmp_path: Path
) -> None:
    network, path = Stares(*place), tmp_path / "run" / "attention.png"
    path.parent.mkdir()
    heat = attention_heat(network, torch.zeros(2, 3, 256, 256))
    assert heat.shape == (2, 4, 4)
    assert [np.unravel_index(one.argmax(), one.shape) for one in heat] == [place] * 2
    found = attention_picture(network, crops(pose()[None]), path, who="me", folder=tmp_path)
    assert found.path == "run/attention.png"
    assert "me" in found.title
    glow = drawn(path).sum(axis=2)[drawn(path).shape[0] // 2 :]
    rows, columns = np.nonzero(drawn(path)[-len(glow) :].min(axis=2) < 200)  # the plate is white
    (top, bottom), (left, right) = np.percentile(rows, [1, 99]), np.percentile(columns, [10, 99])
    inset = (bottom - top) / 16
    corners = {
        UPPER_LEFT: glow[int(top + inset), int(left + inset)],
        LOWER_RIGHT: glow[int(bottom - inset), int(right - inset)],
    }
    assert max(corners, key=lambda corner: corners[corner]) == place
    assert abs(corners[UPPER_LEFT] - corners[LOWER_RIGHT]) > 150


def test_of_a_convolutional_network_the_largest_maps_alone_are_followed() -> None:
    """Two layers, 8 x 8 and 2 x 2: what arrives is half of itself, half of what is like it."""
    network = Convolutions()
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    heat = attention_heat(network, image)
    assert heat.shape == (1, 8, 8)
    with torch.no_grad():
        places = nn.functional.normalize(network.maps(image)[0][0].flatten(1), dim=0)
    received = (10 * places.T @ places).softmax(1).mean(0) / 2 + 1 / 128
    np.testing.assert_allclose(heat[0].ravel(), received.numpy(), rtol=1e-4)


def test_the_unit_that_sees_raised_hands_is_drawn_with_those_who_raise_them(tmp_path: Path) -> None:
    network = Convolutions()
    colours = network.stem.layers.get_submodule("1")
    assert isinstance(colours, nn.Conv2d)
    assert colours.bias is not None
    with torch.no_grad():
        colours.weight.zero_()
        colours.bias.zero_()
        colours.weight[5] = 1 / 48
    joints_m = np.stack([RAISED_LEFT, pose()] * 20)
    people = crops(joints_m, bright=np.arange(40) % 2 == 0)
    path = tmp_path / "units.png"
    found = unit_picture(network, people, path, who="me", folder=tmp_path)
    assert f"Unit 5 answers to: {RAISED}." in found.caption
    assert found.path == "units.png"
    # The first of five rows is unit 5: six who raise a hand, the red place of each in its mark.
    first = drawn(path)[: drawn(path).shape[0] // 5]
    red = places_of(first, (0, 0, 255))
    assert len(red) == 6
    np.testing.assert_allclose(places_of(first, (77, 184, 255)), red, atol=1)
    (left, right), dark = (red[0][0], red[1][0]), places_of(first, (30, 30, 30))
    assert right - left == pytest.approx(dark[1][0] - dark[0][0], abs=2)


def places_of(picture: np.ndarray, colour: tuple[int, int, int]) -> list[tuple[float, float]]:
    """Return the middles x, y of what has a colour (BGR), from left to right."""
    same = (np.abs(picture - colour).max(axis=2) < 12).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(same)
    return sorted((x + w / 2, y + h / 2) for x, y, w, h, area in boxes[1:] if area > 30)


def test_where_no_unit_tells_a_posture_the_picture_says_so(tmp_path: Path) -> None:
    people = crops(np.stack([RAISED_LEFT, pose()] * LEAST))
    for name, network in (("a.png", transformer()), ("b.png", Convolutions())):
        found = unit_picture(network, people, tmp_path / name, who="me", folder=tmp_path)
        assert f"No unit tells better than chance: {RAISED}." in found.caption
        assert drawn(tmp_path / name).size > 0


def test_both_kinds_of_network_are_drawn_and_what_is_no_attention_is_not_called_that(
    tmp_path: Path,
) -> None:
    few = crops(np.stack([pose()] * 2), bright=np.array([True, False]))
    said = [
        attention_picture(network, few, tmp_path / "a.png", who="me", folder=tmp_path).caption
        for network in (transformer(), Convolutions())
    ]
    assert said[0].startswith("Attention")
    assert said[1].startswith("A convolutional network has no attention")
