"""What masks hide, checked against areas, distances and colours worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from edge_pose import skeleton
from train.masking import RECIPES, Crop, MaskContext, Views, fill, read_recipe
from train.masking.discs import disc_radius_px
from train.masking.fixation import peak
from train.masking.sight import COARSEST_PX

SIZE = 96


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def person_at(x: int, y: int, *, half: int = 8, size: int = SIZE) -> Tensor:
    """Return the mask of a square person."""
    foreground = torch.zeros(1, size, size)
    foreground[0, y - half : y + half + 1, x - half : x + half + 1] = 1
    return foreground


def one_joint(name: str, x: float, y: float) -> Tensor:
    joints_px = torch.full((1, skeleton.NUM_JOINTS, 2), torch.nan)
    joints_px[0, skeleton.INDEX[name]] = torch.tensor([x, y])
    return joints_px


def draw(text: str, context: MaskContext, *, batch: int = 1, seed: int = 0) -> Tensor:
    return read_recipe(text).draw(context, batch, seeded(seed)).hidden


def middle_of_visible(hidden: Tensor) -> Tensor:
    """Mean (x, y) of the pixels that one look [size, size] does not hide."""
    rows, columns = torch.nonzero(hidden < 0.5, as_tuple=True)
    return torch.stack([columns.double().mean(), rows.double().mean()])


def test_random_patches_hide_whole_patches_and_exactly_their_share() -> None:
    hidden = draw("patches(0.6, px=8)", MaskContext(size_px=SIZE), batch=5)
    assert hidden.shape == (5, 1, SIZE, SIZE)
    cells = hidden.reshape(5, 12, 8, 12, 8)
    assert torch.equal(cells.amax((2, 4)), cells.amin((2, 4)))
    assert (cells.amax((2, 4)).sum((1, 2)) == 86).all()  # of 144, 0.6 is 86.4
    assert not torch.equal(hidden[0], hidden[1])


def test_patches_that_do_not_fit_are_cut_at_the_lower_right_edge() -> None:
    hidden = draw("patches(0.5, px=40)", MaskContext(size_px=SIZE))[0, 0]
    for rows in (slice(0, 40), slice(40, 80), slice(80, 96)):
        for columns in (slice(0, 40), slice(40, 80), slice(80, 96)):
            assert hidden[rows, columns].min() == hidden[rows, columns].max()


def test_the_periphery_lies_outside_a_disc_whose_area_is_what_stays_visible() -> None:
    hidden = draw("periphery(0.8)", MaskContext(size_px=SIZE))[0, 0]
    radius = 24  # √(96·96·0.2/π) = 24.2
    centre = 47.5
    for x, y in ((0, 0), (47, 47), (47, 23), (47, 24), (72, 48), (71, 48), (95, 50)):
        assert bool(hidden[y, x]) == (math.hypot(x - centre, y - centre) > radius), (x, y)
    assert float(1 - hidden.mean()) == pytest.approx(math.pi * radius**2 / SIZE**2, abs=0.005)


def test_a_random_fixation_keeps_its_disc_whole_and_moves() -> None:
    hidden = draw("periphery(0.8, at=random)", MaskContext(size_px=SIZE), batch=200)[:, 0]
    shown = 1 - hidden.mean((1, 2))
    assert float(shown.min()) > 0.19
    middles = torch.stack([middle_of_visible(one) for one in hidden])
    assert middles.min() >= 24 - 1
    assert middles.max() <= 95 - 24 + 1
    assert (middles.std(0) > 10).all()


def test_the_eye_goes_where_the_blurred_foreground_is_highest_not_to_a_lone_bright_pixel() -> None:
    foreground = person_at(30, 66)
    foreground[0, 5, 90] = 1
    hidden = draw("periphery(0.9, at=foreground)", MaskContext(size_px=SIZE, foreground=foreground))
    assert torch.allclose(
        middle_of_visible(hidden[0, 0]), torch.tensor([30.0, 66.0], dtype=torch.float64), atol=1.5
    )


def test_the_peak_is_found_within_a_coarse_cell_in_large_pictures() -> None:
    (found,) = peak(person_at(200, 71, half=20, size=256))
    assert torch.allclose(found, torch.tensor([200.0, 71.0]), atol=3)


def test_a_named_joint_and_any_joint_are_looked_at_and_unknown_ones_are_not() -> None:
    context = MaskContext(size_px=SIZE, joints_px=one_joint("left_wrist", 60, 40))
    for target in ("left_wrist", "joint"):
        hidden = draw(f"periphery(0.9, at={target})", context)[0, 0]
        assert torch.allclose(
            middle_of_visible(hidden), torch.tensor([60.0, 40.0], dtype=torch.float64), atol=0.1
        )


@pytest.mark.parametrize("at", ["foreground", "joint", "nose"])
def test_where_nobody_is_known_the_centre_is_looked_at(at: str) -> None:
    context = MaskContext(
        size_px=SIZE,
        foreground=torch.zeros(1, SIZE, SIZE),
        joints_px=one_joint("left_wrist", -40, 500) if at == "joint" else one_joint("neck", 3, 3),
    )
    hidden = draw(f"periphery(0.8, at={at})", context)
    assert torch.equal(hidden, draw("periphery(0.8)", MaskContext(size_px=SIZE)))


def test_covert_attention_shows_a_second_disc_on_the_hidden_person() -> None:
    context = MaskContext(size_px=SIZE, foreground=person_at(80, 20, half=10))
    plain = draw("periphery(0.8)", context)[0, 0]
    both = draw("periphery(0.8) + second_disc(0.05)", context)[0, 0]
    shown = plain - both
    assert float(shown.min()) == 0
    radius = disc_radius_px(SIZE, 0.05)
    assert radius == 12
    assert float(shown.sum()) == pytest.approx(math.pi * 12**2, rel=0.03)
    assert torch.allclose(
        middle_of_visible(1 - shown), torch.tensor([80.0, 20.0], dtype=torch.float64), atol=1.5
    )


def test_every_fixation_looks_at_something_that_all_before_hid() -> None:
    foreground = torch.zeros(4, SIZE, SIZE)
    foreground[:, 10:86, 35:60] = 1
    joints_px = torch.rand(4, skeleton.NUM_JOINTS, 2, generator=seeded(7)) * SIZE
    context = MaskContext(size_px=SIZE, foreground=foreground, joints_px=joints_px)
    for at in ("foreground", "random", "joint"):
        hidden = draw(f"fixations(0.9, looks=4, at={at})", context, batch=4)
        assert hidden.shape == (4, 4, SIZE, SIZE)
        for look in range(1, 4):
            new = (hidden[:, :look].amin(1) - hidden[:, look]).clamp(min=0)
            assert (new.sum((1, 2)) > 100).all(), (at, look)


def test_fixations_on_the_foreground_show_more_of_it_than_random_ones() -> None:
    foreground = torch.zeros(16, SIZE, SIZE)
    foreground[:, 10:86, 35:60] = 1
    context = MaskContext(size_px=SIZE, foreground=foreground)

    def share_seen(at: str) -> float:
        hidden = draw(f"fixations(0.9, looks=3, at={at})", context, batch=16)
        seen = 1 - hidden.amin(1)
        return float((seen * foreground).sum() / foreground.sum())

    assert share_seen("foreground") > 0.5
    assert share_seen("random") < 0.4


def test_resolution_is_halved_at_half_and_falls_as_a_retina_does() -> None:
    hidden = draw("fovea(0.1)", MaskContext(size_px=SIZE))[0, 0]
    halving = 1 / 5  # of five levels, each half of the one before at 96 pixels
    assert SIZE / COARSEST_PX == 2**5
    row = hidden[47]
    away = (torch.arange(SIZE) - 47.5).abs()
    nearest = int((away - 9.6).abs().argmin())
    assert float(row[nearest]) == pytest.approx(halving, abs=0.01)
    assert float(hidden[47, 47]) < 0.021
    assert float(hidden[0, 0]) == pytest.approx(math.log2(1 + 67.2 / 9.6) / 5, abs=0.01)
    assert (row[48:].diff() > 0).all()


def test_people_first_hides_people_more_often_and_the_promised_share() -> None:
    foreground = person_at(48, 48, half=24).expand(40, SIZE, SIZE).contiguous()
    context = MaskContext(size_px=SIZE, foreground=foreground)
    hidden = draw("foreground_patches(0.4, px=8, background=0.1)", context, batch=40)[:, 0]
    assert torch.allclose(hidden.mean((1, 2)), torch.tensor(58 / 144))
    on_people = float((hidden * foreground).sum() / foreground.sum())
    elsewhere = float((hidden * (1 - foreground)).sum() / (1 - foreground).sum())
    assert on_people > 0.8
    assert elsewhere < 0.3
    even = draw("foreground_patches(0.4, px=8, background=1)", context, batch=40)[:, 0]
    assert float((even * foreground).sum() / foreground.sum()) == pytest.approx(0.4, abs=0.05)


def test_first_draws_follow_the_weights_of_the_patches() -> None:
    """Of two patches, one with weight 1 and one with 0.25, the first is hidden 4 times in 5."""
    foreground = torch.zeros(1, 16, 16)
    foreground[:, :8, :8] = 1
    context = MaskContext(size_px=16, foreground=foreground.expand(4000, 16, 16))
    hidden = draw("foreground_patches(0.25, px=8, background=0.25)", context, batch=4000)[:, 0]
    # One of four: weights 1, 0.25, 0.25, 0.25.
    assert float(hidden[:, 0, 0].mean()) == pytest.approx(1 / 1.75, abs=0.03)


def test_tubes_hide_the_same_for_their_span_and_something_else_afterwards() -> None:
    context = MaskContext(size_px=SIZE, frames=5)
    through = draw("tubes(0.75, px=8)", context, batch=2)
    assert through.shape == (2, 5, SIZE, SIZE)
    assert torch.equal(through, through[:, :1].expand_as(through))
    pairs = draw("tubes(0.75, px=8, span=2)", context, batch=2)
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    assert torch.equal(pairs[:, 2], pairs[:, 3])
    assert not torch.equal(pairs[:, 1], pairs[:, 2])
    assert not torch.equal(pairs[:, 3], pairs[:, 4])
    assert (pairs.mean((2, 3)) == 0.75).all()


def test_terms_compose_what_one_hides_stays_hidden() -> None:
    context = MaskContext(size_px=SIZE)
    both = draw("patches(0.3, px=8) + periphery(0.5)", context)
    assert torch.equal(both, torch.maximum(both, draw("periphery(0.5)", context)))
    assert torch.equal(both, torch.maximum(both, draw("patches(0.3, px=8)", context)))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_seeded_and_hides_something_but_not_all(name: str) -> None:
    joints_px = torch.rand(3, skeleton.NUM_JOINTS, 2, generator=seeded(1)) * 64
    foreground = person_at(20, 40, size=64).expand(3, 64, 64)
    context = MaskContext(size_px=64, foreground=foreground, joints_px=joints_px, frames=3)
    first = draw(name, context, batch=3, seed=5)
    assert torch.equal(first, draw(name, context, batch=3, seed=5))
    assert first.dtype == torch.float32
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1
    assert 0.1 < float(first.mean()) < 0.97


def test_the_fill_is_the_mean_of_the_visible_pixels_alone() -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[0, :, :2] = torch.tensor([0.2, 0.4, 0.6])[:, None, None]  # visible, above
    image[0, :, 1, 0] = torch.tensor([0.6, 0.4, 0.2])  # one visible pixel of another colour
    image[0, :, 2:] = 0.9  # hidden, below
    hidden = torch.zeros(1, 4, 4)
    hidden[0, 2:] = 1
    seen = fill(image, hidden, 1.0)
    assert torch.equal(seen[:, :, :2], image[:, :, :2])
    mean = torch.tensor([(7 * 0.2 + 0.6) / 8, 0.4, (7 * 0.6 + 0.2) / 8])
    assert torch.allclose(seen[0, :, 2:], mean[:, None, None].expand(3, 2, 4))


def test_nothing_of_what_is_opaquely_hidden_leaks() -> None:
    image = torch.rand(1, 3, 32, 32, generator=seeded())
    hidden = torch.zeros(1, 32, 32)
    hidden[:, 8:24, 8:24] = 1
    other = image.clone()
    other[:, :, 8:24, 8:24] = 0
    assert torch.equal(fill(image, hidden, 1.0), fill(other, hidden, 1.0))
    assert not torch.equal(fill(image, hidden, 0.9), fill(other, hidden, 0.9))


def test_opacity_really_changes_the_pixels() -> None:
    """In the published code of FocusMIM the switch for blurred masks had no effect."""
    image = torch.rand(1, 3, SIZE, SIZE, generator=seeded()) * 0.2
    image[..., :48] += 0.6  # left bright, right dark
    hidden = draw("periphery(0.8)", MaskContext(size_px=SIZE))[:, 0]
    opaque, half, clear = (fill(image, hidden, opacity) for opacity in (1.0, 0.5, 0.0))
    veiled = hidden[0] > 0
    for seen in (opaque, half, clear):
        assert torch.allclose(seen[0, :, ~veiled], image[0, :, ~veiled], atol=1e-6)
    assert torch.allclose(half, (opaque + clear) / 2, atol=1e-6)
    assert float(opaque[0, :, veiled].std(1).max()) < 1e-6  # one colour
    left, right = clear[0, :, 40:50, 2].mean(), clear[0, :, 40:50, -3].mean()
    assert float(left - right) > 0.3  # blurred, one still tells bright from dark
    fine = (image - clear)[0, :, veiled].abs().mean()
    assert float(fine) > 0.02  # but details are gone


def test_the_fovea_stays_sharp_and_the_rim_is_blurred_by_its_level() -> None:
    image = torch.rand(1, 3, SIZE, SIZE, generator=seeded())
    recipe = read_recipe("fovea(0.09)")
    assert recipe.opacity == 0
    hidden = recipe.draw(MaskContext(size_px=SIZE), 1, seeded()).hidden[:, 0]
    change = (fill(image, hidden, recipe.opacity) - image).abs().mean(1)[0]
    assert float(change[46:50, 46:50].mean()) < 0.05
    assert float(change[:8, :8].mean()) > 0.15
    even = torch.full((1, SIZE, SIZE), 1 / 5)
    halved = torch.nn.functional.avg_pool2d(image, 2)
    again = torch.nn.functional.interpolate(halved, scale_factor=2, mode="bilinear")
    assert torch.allclose(fill(image, even, 0.0), again, atol=1e-5)


def test_a_picture_of_which_nothing_is_visible_is_grey() -> None:
    seen = fill(torch.rand(1, 3, 8, 8), torch.ones(1, 8, 8), 1.0)
    assert torch.equal(seen, torch.full_like(seen, 0.5))


def test_a_crop_carries_foreground_and_joints_along() -> None:
    """A small bright square is the picture, the person and the place of a joint."""
    foreground = person_at(60, 36, half=4).repeat(64, 1, 1)
    joints_px = torch.tensor([60.0, 36.0]).expand(64, 1, 2)
    views = Views(
        image=foreground[:, None].expand(-1, 3, -1, -1), foreground=foreground, joints_px=joints_px
    )
    cut = Crop(0.2, 0.6).apply(views, seeded(3))
    assert cut.image.shape == views.image.shape
    assert cut.foreground is not None
    assert cut.joints_px is not None
    assert torch.allclose(cut.image[:, 0], cut.foreground)
    checked = 0
    for mask, (joint,) in zip(cut.foreground, cut.joints_px, strict=True):
        whole = bool(((joint > 22) & (joint < SIZE - 22)).all())
        if whole:
            rows, columns = torch.nonzero(mask > 0.5, as_tuple=True)
            assert float(columns.double().mean()) == pytest.approx(float(joint[0]), abs=0.6)
            assert float(rows.double().mean()) == pytest.approx(float(joint[1]), abs=0.6)
            area = len(rows) / (9 * 9)
            assert 1 / 0.6 * 0.85 < area < 1 / 0.2 * 1.15
            checked += 1
    assert checked > 15


def test_a_crop_of_nearly_everything_is_only_squeezed() -> None:
    """Of all of a square picture, a crop can only lose what its shape, up to 4:3, costs."""
    image = torch.rand(4, 3, 32, 32, generator=seeded())
    joints_px = torch.rand(4, 5, 2, generator=seeded(1)) * 32
    cut = Crop(0.9999, 1.0)
    narrow = cut.apply(Views(image=image, joints_px=joints_px), seeded())
    assert narrow.joints_px is not None
    moved = (narrow.joints_px - joints_px).abs().amax()
    assert float(moved) < 32 * (math.sqrt(4 / 3) - 1) * 1.1
