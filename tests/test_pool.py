"""What a step sees of a pool: the same crops that are cut one at a time, disturbed with labels."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from edge_pose import skeleton
from edge_pose.region import region_of_body
from test_pose_augment import far_person, misfit_px
from train.begin import student_from
from train.disturb import disturbed
from train.hold import opinions
from train.pool import Pool, cut_wide
from train.pose_augment import SETTLING, TRAINING, Augmentation, Person, cut_crop
from train.pose_data import collate
from train.stream import Batch

STILL = Augmentation()


def block_of(*people: Person, augmentation: Augmentation = STILL) -> dict[str, Tensor]:
    rng = np.random.default_rng(3)
    block = dict(collate([cut_wide(person, augmentation, rng) for person in people], None))
    return {**block, "image": block.pop("input")}


def marked(person: Person, joint: int) -> Person:
    """Paint everything black but one joint."""
    image = np.zeros_like(person.image)
    x, y = (float(value) for value in person.joints_px[joint])
    cv2.circle(image, (round(x * 16), round(y * 16)), 5 * 16, (255, 255, 255), -1, shift=4)
    return replace(person, image=image)


def middle_of_light(image: Tensor) -> np.ndarray:
    light = image.mean(0).numpy().astype(np.float64)
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]]
    return np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()


def test_an_undisturbed_crop_is_what_the_appliance_would_cut() -> None:
    person = far_person()
    alone = cut_crop(person, region_of_body(person.reach_px))
    batch = disturbed(block_of(person), STILL, torch.Generator().manual_seed(0))
    for name in ("joints_px", "joints_m", "weight_2d", "reach_px", "visible"):
        np.testing.assert_allclose(batch[name][0], getattr(alone, name), atol=2e-3, err_msg=name)
    smooth = replace(person, image=cv2.GaussianBlur(person.image, (0, 0), 4))
    seen = disturbed(block_of(smooth), STILL, torch.Generator().manual_seed(0))["input"][0]
    expected = cut_crop(smooth, region_of_body(smooth.reach_px)).image / 255
    assert np.abs(seen.numpy() - expected).mean() < 0.004


@pytest.mark.parametrize("joint", [skeleton.INDEX["nose"], skeleton.INDEX["left_wrist"]])
def test_a_joint_stays_where_it_is_seen_however_the_crop_moves(joint: int) -> None:
    person = marked(far_person(), joint)
    moving = Augmentation(scale=0.1, shift=0.05, turn_rad=0.4, mirror=True)
    batch = disturbed(block_of(*[person] * 16), moving, torch.Generator().manual_seed(5))
    for image, places in zip(batch["input"], batch["joints_px"], strict=True):
        at = middle_of_light(image)
        nearest = int(np.linalg.norm(places.numpy() - at, axis=1).argmin())
        assert np.linalg.norm(places[nearest].numpy() - at) < 0.5
        assert nearest in {joint, skeleton.MIRROR[joint]}


def test_3d_seen_from_the_front_lies_on_2d() -> None:
    moving = Augmentation(scale=0.2, shift=0.1, turn_rad=0.8, mirror=True)
    batch = disturbed(block_of(*[far_person()] * 24), moving, torch.Generator().manual_seed(1))
    for joints_m, joints_px in zip(batch["joints_m"], batch["joints_px"], strict=True):
        assert misfit_px(joints_m.numpy(), joints_px.numpy()) < 2.5


def test_metres_are_told_in_the_axes_of_the_ray_through_the_moved_middle() -> None:
    near = far_person()
    camera = np.array([[300.0, 0, 320], [0, 300.0, 240], [0, 0, 1]])
    joints_m = near.joints_m - np.array([0, 0, 38.0]) if near.joints_m is not None else None
    person = replace(near, joints_m=np.asarray(joints_m, np.float32), camera_matrix=camera)
    batch = disturbed(block_of(person), Augmentation(shift=0.1), torch.Generator().manual_seed(2))
    region = region_of_body(person.reach_px)
    moved_px = (block_of(person)["reach_px"][0, 0] - batch["reach_px"][0, 0]).numpy()
    turn = region.image_from_region(256)[:, :2]
    there = region.shifted(turn @ moved_px.astype(np.float64))
    alone = cut_crop(person, there)
    assert np.abs(alone.joints_m - cut_crop(person, region).joints_m).max() > 0.02
    np.testing.assert_allclose(batch["joints_m"][0], alone.joints_m, atol=0.007)


def test_light_and_boards_change_pictures_and_hide_joints() -> None:
    block = block_of(*[far_person()] * 32)
    only_light = disturbed(block, replace(STILL, light=1.0), torch.Generator().manual_seed(0))
    plain = disturbed(block, STILL, torch.Generator().manual_seed(0))
    assert (only_light["input"] - plain["input"]).abs().mean() > 0.03
    assert only_light["input"].min() >= 0
    assert only_light["input"].max() <= 1
    torch.testing.assert_close(only_light["joints_px"], plain["joints_px"])
    covered = disturbed(block, replace(STILL, cover=1.0), torch.Generator().manual_seed(0))
    hidden = plain["visible"] & ~covered["visible"]
    assert 0 < hidden.sum() < plain["visible"].sum()
    for image, bare, places, gone in zip(
        covered["input"], plain["input"], plain["joints_px"], hidden, strict=True
    ):
        for x, y in places[gone].round().int().clamp(0, 255).tolist():
            assert (image[:, y, x] != bare[:, y, x]).any()


def numbered(first: int) -> Iterator[Batch]:
    """Blocks of two people whose pictures tell the number of the block."""
    block = dict(collate([cut_wide(far_person(), STILL, np.random.default_rng(0))] * 2, None))
    for number in range(first, 60):
        yield {**block, "weight_2d": torch.full_like(block["weight_2d"], float(number))}


def pool(first: int = 0) -> Iterator[Batch]:
    return iter(
        Pool(
            numbered(first),
            people=16,
            batch_size=12,
            augmentation=SETTLING,
            seed=4,
            first=first,
        )
    )


def test_a_step_draws_from_the_last_blocks_and_one_is_new_at_each() -> None:
    seen = [set(batch["weight_2d"][:, 0].int().tolist()) for batch in islice(pool(), 40)]
    for step, blocks in enumerate(seen):
        assert blocks <= set(range(step, step + 8))
        assert len(blocks) > 3


def test_a_pool_that_goes_on_shows_what_it_would_have_shown() -> None:
    whole, rest = islice(pool(), 5, 8), islice(pool(first=5), 3)
    for one, other in zip(whole, rest, strict=True):
        for name in one:
            torch.testing.assert_close(one[name], other[name], msg=name)


def test_what_is_told_of_a_block_turns_with_its_people() -> None:
    """An opinion takes the place of metres that nobody knows."""
    person = replace(far_person(), joints_m=None, camera_matrix=None)
    block = dict(collate([cut_wide(person, TRAINING, np.random.default_rng(0))] * 4, None))
    away = torch.arange(75.0).reshape(25, 3) / 50
    turning = Augmentation(turn_rad=0.5)
    batch = next(
        iter(
            Pool(
                iter([block, block, block]),
                people=8,
                batch_size=64,
                augmentation=turning,
                seed=0,
                told=lambda block: {**block, "joints_m": away.expand(4, 25, 3)},
            )
        )
    )
    torch.testing.assert_close(batch["joints_m"].norm(dim=-1), away.norm(dim=-1).expand(64, 25))
    turned = (batch["joints_m"] - away).abs().amax((1, 2)) > 0.05
    assert 16 < turned.sum() < 48


def test_an_opinion_is_lifted_from_the_places_of_the_teacher() -> None:
    """The lifter of the network that ships hears of labels; truth of rendered people stays."""
    rendered = far_person()
    real = replace(rendered, joints_m=None, camera_matrix=None)
    network = student_from(Path("edge_pose/models/fast"))
    told = opinions(network)
    block = block_of(rendered, real)
    moved = {**block, "joints_px": block["joints_px"] + torch.randn(2, 25, 2) * 10}
    silent = {**moved, "weight_2d": torch.zeros_like(block["weight_2d"])}
    heard, other, unheard = (told(one)["joints_m"] for one in (block, moved, silent))
    torch.testing.assert_close(heard[0], block["joints_m"][0])
    assert (heard[1] - other[1]).abs().max() > 0.01
    assert (unheard[1] - other[1]).abs().max() > 0.01
    mirrored = {
        **silent,
        "image": silent["image"].flip(3),
    }
    back = told(mirrored)["joints_m"][1][list(skeleton.MIRROR)] * torch.tensor([-1.0, 1, 1])
    assert (back - unheard[1]).norm(dim=-1).mean() < 0.1
