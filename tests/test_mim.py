"""Masked image modelling: the loss by hand, what may not leak, that hidden pixels are learned."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from edge_pose.errors import ConfigError
from train.masking import MaskContext, fill, read_recipe
from train.mim import (
    Sight,
    Target,
    VitMim,
    image_of,
    patches_of,
    pixels_of,
    reconstruction_terms,
    target_patches,
    visible_patches,
)
from train.mim_student import StudentMim
from train.student import PoseNet
from train.vit import VitSize

TOY = VitSize(name="toy", width=32, depth=2, heads=2, patch_px=8, input_px=32)


def test_patches_stand_in_reading_order_with_channels_fastest() -> None:
    image = torch.arange(2 * 4 * 4.0).reshape(1, 2, 4, 4)
    patches = patches_of(image, 2)
    # Upper right patch: pixels 2, 3, 6, 7 of the first channel; 16 more in the second.
    assert patches[0, 1].tolist() == [2, 18, 3, 19, 6, 22, 7, 23]
    assert torch.equal(image_of(patches, 2), image)


def terms(**changes: Any) -> float:
    """Loss of one picture of two rows of two patches of one pixel, guessed 0, 0, 0, 0."""
    grey = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    arguments: dict[str, Any] = {
        "guess": torch.zeros(1, 4, 3),
        "image": grey.expand(1, 3, 2, 2),
        "counted": torch.tensor([[[1.0, 1.0], [0.0, 1.0]]]),
        "foreground": torch.tensor([[[1.0, 0.5], [1.0, 0.0]]]),
        "has_foreground": torch.tensor([True]),
        "patch_px": 1,
        "background_weight": 0.2,
        "target": "raw",
    }
    return float(reconstruction_terms(**(arguments | changes))["reconstruction"])


def test_the_loss_is_the_one_worked_out_by_hand() -> None:
    # Weights 0.2 + 0.8 f: 1, 0.6 and 0.2 where asked; squares 1, 4 and 16; 9 is not asked for.
    assert terms() == pytest.approx((1 * 1 + 0.6 * 4 + 0.2 * 16) / 1.8)
    assert terms(background_weight=1.0) == pytest.approx((1 + 4 + 16) / 3)
    # Of a background of no weight nothing is asked.
    assert terms(background_weight=0.0) == pytest.approx((1 * 1 + 0.5 * 4) / 1.5)
    half = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])
    assert terms(counted=half) == pytest.approx((1 * 1 + 0.3 * 4) / 1.3)
    assert terms(counted=torch.zeros(1, 2, 2)) == 0


def test_pictures_without_a_mask_of_people_weigh_as_much_as_the_others() -> None:
    both = {
        "guess": torch.zeros(2, 4, 3),
        "image": torch.tensor([1.0, 3.0])[:, None, None, None].expand(2, 3, 2, 2),
        "counted": torch.ones(2, 2, 2),
        "foreground": torch.tensor([[[1.0, 0.5], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]),
    }
    # Squares 1 and 9, all pixels asked for: pictures of equal weight give 5.
    assert terms(**both, has_foreground=torch.tensor([True, False])) == pytest.approx(5)
    assert terms(**both, has_foreground=torch.tensor([False, False])) == pytest.approx(5)
    # The second known to show nobody: 1, 0.6, 1, 0.2 against 0.2 four times.
    known = terms(**both, has_foreground=torch.tensor([True, True]))
    assert known == pytest.approx((2.8 * 1 + 0.8 * 9) / 3.6)


def test_normalised_pixels_have_their_patchs_mean_and_spread_taken_away() -> None:
    image = torch.rand(2, 3, 16, 16)
    image[0, :, :8, :8] = 0.4  # a flat patch, of which no noise shall be blown up
    image[1, :, :8, :8] = torch.tensor([0.2, 0.6]).repeat(4)
    target = target_patches(image, 8, "normalised")
    assert target[0, 0].abs().max() < 1e-5
    spread = (0.2**2 + (2 / 255) ** 2) ** 0.5
    assert target[1, 0, 0].item() == pytest.approx(-0.2 / spread)
    assert target[1, 1].mean().item() == pytest.approx(0, abs=1e-5)
    assert target[1, 1].std(correction=0).item() == pytest.approx(1, abs=1e-3)
    for kind in get_args(Target):
        guess = target_patches(image, 8, kind)
        torch.testing.assert_close(pixels_of(guess, image, 8, kind), image)


def hidden_patches(*numbers: int) -> Tensor:
    """Hide patches of 8 pixels in one picture of 32."""
    grid = torch.zeros(16)
    grid[list(numbers)] = 1
    return grid.reshape(1, 4, 4).repeat_interleave(8, 1).repeat_interleave(8, 2)


def test_what_is_visible_is_numbered_in_reading_order() -> None:
    kept = visible_patches(hidden_patches(0, 1, 6, 15), 8)
    assert kept.tolist() == [[2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14]]
    # Pictures that show unequal numbers are cut to the smaller one.
    two = visible_patches(torch.cat([hidden_patches(0, 1), hidden_patches(*range(1, 15))]), 8)
    assert two.tolist() == [[2, 3], [0, 15]]


def test_masks_that_do_not_follow_the_patches_cannot_be_left_out() -> None:
    recipe = read_recipe("periphery(0.8)")
    masks = recipe.draw(MaskContext(size_px=32), 2, torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match="--sight filled"):
        visible_patches(masks.hidden[:, 0], 8)
    with pytest.raises(ConfigError, match="nothing to encode"):
        visible_patches(torch.ones(1, 32, 32), 8)
    with pytest.raises(ConfigError, match="depth of at least 1"):
        VitMim(TOY, sight="visible", decoder_depth=0)


def test_encoding_only_what_is_visible_tells_nothing_of_the_rest() -> None:
    torch.manual_seed(0)
    network = VitMim(TOY, sight="visible", decoder_depth=2)
    image, hidden = torch.rand(2, 3, 32, 32), hidden_patches(*range(3, 14)).expand(2, -1, -1)
    other = torch.where(hidden[:, None] > 0, torch.rand(2, 3, 32, 32), image)
    with torch.no_grad():
        guess = network(image, hidden)
        assert torch.equal(network(other, hidden), guess)
        assert not torch.allclose(network(1 - image, hidden), guess)
    # Hidden patches are asked for by their place: no two get the same answer.
    assert (guess[0, 5] - guess[0, 9]).abs().max() > 1e-4


def test_with_nothing_hidden_both_ways_of_seeing_are_one() -> None:
    torch.manual_seed(0)
    visible = VitMim(TOY, sight="visible", decoder_depth=1).eval()
    filled = VitMim(TOY, sight="filled", decoder_depth=1).eval()
    filled.load_state_dict(visible.state_dict(), strict=False)
    image, nothing = torch.rand(2, 3, 32, 32), torch.zeros(2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(filled(image, nothing), visible(image, nothing))


@pytest.mark.parametrize(("sight", "depth"), [("filled", 0), ("visible", 1)])
def test_hidden_pixels_are_learned_from_what_is_visible(sight: Sight, depth: int) -> None:
    """Every picture is a ramp between two colours drawn anew: the hidden part follows from it."""
    torch.manual_seed(0)
    network = VitMim(TOY, sight=sight, decoder_depth=depth)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    recipe = read_recipe("patches(0.5, px=8)")
    generator = torch.Generator().manual_seed(1)
    errors = []
    for _ in range(220):
        ends = torch.rand(32, 3, 2, 1)
        image = torch.lerp(ends[:, :, :1], ends[:, :, 1:], torch.linspace(0, 1, 32))
        image = image.expand(-1, -1, 32, -1)
        hidden = recipe.draw(MaskContext(size_px=32), 32, generator).hidden[:, 0]
        loss = reconstruction_terms(
            network(fill(image, hidden, 1.0), hidden),
            image,
            counted=hidden,
            foreground=torch.zeros_like(hidden),
            has_foreground=torch.zeros(32, dtype=torch.bool),
            patch_px=8,
            background_weight=1.0,
            target="raw",
        )["reconstruction"]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        errors.append(loss.item())
    # Guessing the mean colour would leave the ramp: E[(b - a)^2] / 12 = 1 / 6 / 12.
    assert sum(errors[-20:]) / 20 < 0.9 / 72


@pytest.mark.slow
@pytest.mark.parametrize("train_stem", [False, True])
def test_the_students_tower_learns_and_the_rest_stays(*, train_stem: bool) -> None:
    """Slow: it starts from published weights and works on full-size pictures."""
    network = StudentMim(PoseNet("full"), train_stem=train_stem)
    image, hidden = torch.rand(1, 3, 256, 256), torch.ones(1, 256, 256)
    features = network.encoder.stem(image)[0]
    maps = network.encoder.maps(image)
    assert [level.shape[-1] for level in maps] == [8, 4, 2]
    torch.testing.assert_close(maps[-1], network.encoder.tower(features)[0])
    guess = network(image, hidden)
    assert guess.shape == (1, 256, 768)
    guess.square().mean().backward()
    learning = {name for name, value in network.named_parameters() if value.grad is not None}
    assert learning == {name for name, value in network.named_parameters() if value.requires_grad}
    encoder = {name.split(".")[1] for name in learning if name.startswith("encoder.")}
    assert encoder == ({"tower", "stem"} if train_stem else {"tower"})
    assert all(
        value.grad.abs().sum() > 0
        for value in network.levels.parameters()
        if value.grad is not None
    )
