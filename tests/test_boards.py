"""What stands before people hides joints and pixels, and leaves enough to tell where they are."""

from dataclasses import replace

import numpy as np
import torch

from edge_pose import skeleton
from test_pose_augment import far_person
from train.boards import FEWEST_IN_SIGHT, hide
from train.boards_at_once import hidden
from train.pose_augment import Augmentation, TrainingCrop, make_crop

HEAD = [skeleton.INDEX[name] for name in ("nose", "left_eye", "right_eye")]
ANKLES = [skeleton.INDEX[name] for name in ("left_ankle", "right_ankle")]
DRAWN = 400


def whole_crop() -> TrainingCrop:
    """Cut somebody of whom every joint is in sight."""
    everything = np.ones(skeleton.NUM_JOINTS, bool)
    person = replace(far_person(), visible=everything)
    return make_crop(person, Augmentation(), np.random.default_rng(0))


def picture(crop: TrainingCrop) -> np.ndarray:
    return np.ascontiguousarray(crop.image[::-1].transpose(1, 2, 0))


def test_a_joint_is_hidden_where_its_pixel_and_its_person_are() -> None:
    crop = whole_crop()
    plain, foreground = picture(crop), np.full((256, 256), 200, np.uint8)
    rng = np.random.default_rng(2)
    seen = np.zeros(skeleton.NUM_JOINTS, int)
    for _ in range(60):
        image, in_sight, mask = hide(plain, crop.joints_px, crop.visible, foreground, rng)
        assert mask is not None
        assert in_sight.sum() >= FEWEST_IN_SIGHT
        changed = np.abs(image.astype(int) - plain).sum(axis=2) > 0
        at = np.rint(crop.joints_px).astype(int)
        inside = ((at >= 0) & (at < 256)).all(axis=1)
        for x, y in at[inside & ~in_sight]:
            assert mask[y, x] <= 100
        for x, y in at[inside & in_sight]:
            assert mask[y, x] >= 100
        assert not changed[mask == 200].any()
        assert changed[mask < 100].mean() > 0.9 or not (mask < 100).any()
        seen += in_sight
    assert (seen[np.array([*HEAD, *ANKLES])] < 60).all()


def test_whoever_would_be_hidden_altogether_stays_as_they_were() -> None:
    crop = whole_crop()
    few = np.zeros(skeleton.NUM_JOINTS, bool)
    few[HEAD] = True
    untouched = 0
    for seed in range(60):
        image, in_sight, _ = hide(
            picture(crop), crop.joints_px, few, None, np.random.default_rng(seed)
        )
        assert in_sight.sum() == 3
        untouched += int((image == picture(crop)).all())
    assert untouched > 10


def test_a_place_without_anybody_is_covered_too() -> None:
    crop, nobody = whole_crop(), np.zeros(skeleton.NUM_JOINTS, bool)
    rng = np.random.default_rng(0)
    images = [hide(picture(crop), crop.joints_px, nobody, None, rng)[0] for _ in range(20)]
    assert sum((image != picture(crop)).any() for image in images) > 10


def test_many_at_once_are_hidden_as_one_at_a_time() -> None:
    crop = whole_crop()
    rng = np.random.default_rng(5)
    alone = np.mean(
        [hide(picture(crop), crop.joints_px, crop.visible, None, rng)[1] for _ in range(DRAWN)],
        axis=0,
    )
    block = torch.from_numpy(crop.image[None] / 255).float().expand(DRAWN, -1, -1, -1)
    places = torch.from_numpy(crop.joints_px).expand(DRAWN, -1, -1)
    visible = torch.ones(DRAWN, skeleton.NUM_JOINTS, dtype=torch.bool)
    dice = torch.Generator().manual_seed(1)
    images, in_sight = hidden(block, places, visible, 1.0, dice)
    together = in_sight.float().mean(0).numpy()
    assert np.abs(together - alone).max() < 0.13
    assert abs(float(together.mean() - alone.mean())) < 0.04
    assert together[HEAD].mean() < together[ANKLES].mean() + 0.2
    assert in_sight.sum(1).min() >= FEWEST_IN_SIGHT
    for image, joints, left in zip(images, places, in_sight, strict=True):
        for x, y in joints[~left].round().long().tolist():
            assert (image[:, y, x] != block[0, :, y, x]).any()
    half = hidden(block, places, visible, 0.5, dice)[0]
    share = float((half != block).flatten(1).any(1).float().mean())
    assert 0.35 < share < 0.6
