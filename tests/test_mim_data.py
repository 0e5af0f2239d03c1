"""The stream of masked pictures: reproducible, half and half, people marked where they are."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from edge_pose.errors import SourceError
from edge_pose.skeleton import NUM_JOINTS
from mim_folders import BAR_PX, bar_mask, labelled_folder, picture_folder, rendered_folder, scene
from train.masking import read_recipe
from train.mim_data import PLAIN, VARIED, MimBatches, MimMixture, paste
from train.mim_scenes import Domain, open_scenes
from train.pose_augment import Augmentation, Person, make_crop
from train.pose_data import Mixture, PoseBatches, RealPeople, RenderedPeople, collate
from train.stream import load, packed


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("folders")
    return {
        "rendered": rendered_folder(base / "rendered", 3),
        "labelled": labelled_folder(base / "labelled", 4),
        "pictures": picture_folder(base / "pictures", 3),
    }


def stream(folders: dict[str, Path], target: str = "labelled", **changes: Any) -> MimBatches:
    text = changes.pop("recipe", "patches(0.5)")
    places: dict[str, Any] = {"batch_size": 4, "seed": 5}
    places |= {name: changes.pop(name) for name in ("batch_size", "first") if name in changes}
    return MimBatches(
        open_scenes([folders["rendered"]]),
        open_scenes([folders[target]]),
        mixture=MimMixture(recipe=read_recipe(text), size_px=64, **changes),
        **places,
    )


def bar() -> Person:
    """Return the person of the pictures below, red before a pattern."""
    middle = np.array([(BAR_PX[0] + BAR_PX[2]) / 2, (BAR_PX[1] + BAR_PX[3]) / 2], np.float32)
    return Person(
        image=scene(0, (20, 20, 230)),
        box_px=np.array(BAR_PX, np.float32),
        reach_px=np.stack([middle, middle - [0, 50]]).astype(np.float32),
        joints_px=np.tile(middle, (NUM_JOINTS, 1)),
        weight_2d=np.ones(NUM_JOINTS, np.float32),
        foreground=bar_mask(),
    )


@pytest.mark.parametrize(
    "augmentation",
    [
        VARIED,
        PLAIN,
        Augmentation(truncate=1.0, mirror=True),
        Augmentation(cover=1.0),
        Augmentation(turn_rad=1.0, scale=0.5, shift=0.2),
    ],
)
def test_the_mask_of_people_goes_where_the_people_go(augmentation: Augmentation) -> None:
    """Only the person is red: a mask anywhere else would lie on another colour."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        crop = make_crop(bar(), augmentation, rng)
        assert crop.foreground is not None
        red = crop.image[0].astype(int) - np.maximum(crop.image[1], crop.image[2])
        inside = cv2.erode(crop.foreground, np.ones((9, 9))) == 255
        outside = cv2.dilate(crop.foreground, np.ones((9, 9))) == 0
        if augmentation.light == 0:
            assert (red[inside] > 150).all()
            if augmentation.truncate + augmentation.cover == 0:  # both may put red beside people
                assert (red[outside] < 150).mean() > 0.98
        assert inside.sum() > 500


def test_crops_are_the_same_with_and_without_masks() -> None:
    plain = bar()
    unmarked = Person(
        **{name: getattr(plain, name) for name in ("image", "box_px", "reach_px", "joints_px")},
        weight_2d=plain.weight_2d,
    )
    augmentation = Augmentation(mirror=True, cover=0.5, truncate=0.5, turn_rad=0.2, light=0.5)
    with_masks, without = (np.random.default_rng(3) for _ in range(2))
    for _ in range(10):
        marked = make_crop(plain, augmentation, with_masks)
        crop = make_crop(unmarked, augmentation, without)
        assert crop.foreground is None
        np.testing.assert_array_equal(marked.image, crop.image)


def test_masks_of_people_are_decoded_only_when_asked_for(folders: dict[str, Path]) -> None:
    for people, asked in (
        (
            RenderedPeople(folders["rendered"]),
            RenderedPeople(folders["rendered"], with_foreground=True),
        ),
        (
            RealPeople([folders["labelled"]], held_out=None),
            RealPeople([folders["labelled"]], held_out=None, with_foreground=True),
        ),
    ):
        assert people.person(0).foreground is None
        foreground = asked.person(0).foreground
        assert foreground is not None
        np.testing.assert_array_equal(foreground, bar_mask())


def test_pose_batches_have_masks_of_people_when_asked_for(folders: dict[str, Path]) -> None:
    crops = [make_crop(bar(), Augmentation(), np.random.default_rng(0))]
    assert "foreground" not in collate(crops, None)
    batch = next(
        iter(
            PoseBatches(
                RenderedPeople(folders["rendered"], with_foreground=True),
                RealPeople([folders["labelled"]], held_out=None),
                mixture=Mixture(rendered=0.5, nobody=0.0),
                augmentation=PLAIN,
                batch_size=8,
                seed=0,
                with_foreground=True,
            )
        )
    )
    assert batch["foreground"].shape == (8, 256, 256)
    assert batch["has_foreground"].tolist() == batch["has_3d"].tolist()
    assert 0 < batch["has_foreground"].sum() < 8
    share = batch["foreground"].float().mean((1, 2)) / 255
    assert ((share > 0.05) == batch["has_foreground"]).all()
    assert batch["foreground"].max() == 255


def test_half_of_a_batch_is_source_and_half_target(folders: dict[str, Path]) -> None:
    batch = stream(folders, augmentation=Augmentation()).batch(0)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "input": (4, 3, 256, 256),
        "foreground": (4, 256, 256),
        "has_foreground": (4,),
        "hidden": (4, 64, 64),
        "counted": (4, 64, 64),
        "is_target": (4,),
    }
    assert batch["is_target"].tolist() == [False, True, False, True]
    for image, foreground, is_target in zip(
        batch["input"], batch["foreground"], batch["is_target"], strict=True
    ):
        red, green, _ = image[:, foreground > 0.99].mean(1)
        assert (green > red) == is_target  # people of the source are red, of the target green


def test_a_stream_follows_from_its_seed_wherever_it_begins(folders: dict[str, Path]) -> None:
    whole = stream(folders, paste=0.5)
    batches = iter(whole)
    first = [next(batches) for _ in range(3)]
    again = next(iter(stream(folders, paste=0.5, first=2)))
    for name, value in again.items():
        assert torch.equal(first[2][name], value)
    halves = stream(folders, paste=0.5, batch_size=2)
    for name, value in first[1].items():
        cut = torch.cat([packed(halves.batch(number))[name] for number in (2, 3)])
        assert torch.equal(cut, value)
    assert not torch.equal(first[0]["hidden"], first[1]["hidden"])


def test_data_workers_change_nothing(folders: dict[str, Path]) -> None:
    alone = iter(load(stream(folders), workers=0))
    for number, batch in enumerate(load(stream(folders), workers=2)):
        for name, value in next(alone).items():
            assert torch.equal(batch[name], value)
        if number == 3:
            break


def test_of_plain_pictures_nobody_knows_where_people_are(folders: dict[str, Path]) -> None:
    batch = stream(folders, "pictures", batch_size=8).batch(0)
    assert batch["has_foreground"].tolist() == [True, False] * 4
    assert not batch["foreground"][1::2].any()
    assert batch["input"][1::2].std((1, 2, 3)).min() > 0.01


def test_what_a_fixation_is_asked_for_is_hidden_now_and_shown_next(
    folders: dict[str, Path],
) -> None:
    batch = stream(folders, recipe="fixations(0.85, looks=3, at=random)").batch(0)
    hidden, counted = batch["hidden"], batch["counted"]
    assert (counted <= hidden).all()
    share = counted.mean((1, 2))
    assert ((share > 0.02) & (share <= 0.16)).all()
    assert (hidden.mean((1, 2)) > 0.8).all()


def test_masks_over_time_are_shared_by_the_frames_of_a_clip(folders: dict[str, Path]) -> None:
    batch = stream(folders, recipe="tubes(0.5)", frames=2, batch_size=8).batch(0)
    assert batch["is_target"].tolist() == [False, False, True, True] * 2
    pairs = batch["hidden"].reshape(4, 2, 64, 64)
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    assert not torch.equal(pairs[0], pairs[1])
    anew = stream(folders, recipe="tubes(0.5, span=1)", frames=2, batch_size=8).batch(0)
    pairs = anew["hidden"].reshape(4, 2, 64, 64)
    assert not torch.equal(pairs[:, 0], pairs[:, 1])
    # Frames of a clip are cut alike: the person stays, the pattern behind is another picture's.
    foreground = batch["foreground"].reshape(4, 2, 256, 256)
    assert torch.equal(foreground[:, 0], foreground[:, 1])


def test_a_recipes_crop_takes_masks_of_people_along_and_cuts_a_clip_alike(
    folders: dict[str, Path],
) -> None:
    recipe = "crop(0.3, 0.5) + patches(0.5)"
    batch = stream(
        folders, recipe=recipe, augmentation=Augmentation(), frames=2, batch_size=4
    ).batch(1)
    whole = stream(folders, augmentation=Augmentation(), frames=2, batch_size=4).batch(1)
    assert not torch.equal(batch["foreground"], whole["foreground"])
    assert torch.equal(batch["foreground"][0], batch["foreground"][1])
    for image, foreground, is_target in zip(
        batch["input"], batch["foreground"], batch["is_target"], strict=True
    ):
        person, nobody = image[:, foreground > 0.99], image[:, foreground < 0.01]
        gain = (person[1] - person[0]) if is_target else (person[0] - person[1])
        assert gain.min() > 0.25  # green people of the target, red ones of the source
        assert nobody.amax() < 0.85


def test_a_clip_shows_the_next_pictures_of_its_group_and_then_stands_still(
    tmp_path: Path,
) -> None:
    for group in ("morning", "evening"):
        labelled_folder(tmp_path, 3, group=group)
    people = RealPeople([tmp_path], held_out=None)
    assert len(people) == 6
    clip = people.clip(1, 4)
    assert len(clip) == 4
    for person, number in zip(clip, (1, 2, 2, 2), strict=True):
        np.testing.assert_array_equal(person.image, people.person(number).image)
    assert clip[0].weight_2d.all()
    assert not clip[1].weight_2d.any()


def test_a_pasted_person_stands_before_another_background() -> None:
    rng = np.random.default_rng(0)
    person, other = (make_crop(bar(), Augmentation(), rng) for _ in range(2))
    assert person.foreground is not None
    blue = np.zeros_like(person.image)
    blue[2] = 200
    share = np.zeros_like(person.foreground)
    share[:64] = 128
    behind = type(other)(
        **{name: getattr(other, name) for name in other.__dataclass_fields__}
        | {"image": blue, "foreground": share}
    )
    pasted = paste(person, behind)
    sure, nobody = person.foreground == 255, person.foreground == 0
    np.testing.assert_array_equal(pasted.image[:, sure], person.image[:, sure])
    np.testing.assert_array_equal(pasted.image[:, nobody], blue[:, nobody])
    # People of the background are people still, where nobody stands before them.
    assert pasted.foreground is not None
    assert (pasted.foreground[sure] == 255).all()
    np.testing.assert_array_equal(pasted.foreground[nobody], share[nobody])


def test_pasting_takes_backgrounds_of_the_target(folders: dict[str, Path]) -> None:
    plain, pasted = (
        stream(folders, "pictures", paste=share, augmentation=Augmentation()).batch(0)
        for share in (0.0, 1.0)
    )
    moved = (plain["input"] - pasted["input"]).abs().amax(1)
    marked = plain["foreground"] > 0.99
    assert moved[marked].max() < 0.01
    assert moved[0][~marked[0]].mean() > 0.02


def test_larger_folders_are_drawn_from_more_often(folders: dict[str, Path]) -> None:
    both = open_scenes([folders["rendered"], folders["labelled"]])
    assert len(both) == 7
    rng = np.random.default_rng(0)
    from_labels = sum(both.clip(rng, 1)[0].joints_m is None for _ in range(400))
    assert 0.5 < from_labels / 400 < 0.65  # four of seven
    assert isinstance(both, Domain)


def test_folders_without_anything_to_learn_from_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere is not a folder"):
        open_scenes([tmp_path / "nowhere"])
    with pytest.raises(SourceError, match="holds no pictures"):
        open_scenes([tmp_path])
    broken = picture_folder(tmp_path / "broken", 1)
    (broken / "000.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"000\.png cannot be read as a picture"):
        open_scenes([broken]).clip(np.random.default_rng(0), 1)
