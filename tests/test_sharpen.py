"""Heat maps sharpen what the regression said where they are warm, and leave it elsewhere."""

import torch

from train.sharpen import sharpened

SIDE_PX, CELLS = 256, 64


def warm_at(x: float, y: float, *, logit: float = 6.0, spread: float = 1.5) -> torch.Tensor:
    """Draw a bump of heat at a place in cells, cold elsewhere."""
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    bump = torch.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * spread**2))
    return (-12.0 + (12.0 + logit) * bump)[None, None]


def test_a_place_goes_to_the_heat_beside_it() -> None:
    said = torch.tensor([[[100.0, 60.0]]])
    true_px = torch.tensor([27.0 * 4 - 0.5, 14.0 * 4 - 0.5])
    found = sharpened(said, warm_at(27.0, 14.0), SIDE_PX)[0, 0]
    assert (found - true_px).norm() < 0.35 * (said[0, 0] - true_px).norm()


def test_heat_right_under_a_place_leaves_it_there() -> None:
    said = torch.tensor([[[25.0 * 4 - 0.5, 15.0 * 4 - 0.5]]])
    assert torch.allclose(sharpened(said, warm_at(25.0, 15.0), SIDE_PX), said, atol=1e-3)


def test_a_cold_map_and_heat_far_away_change_nothing() -> None:
    said = torch.tensor([[[100.0, 60.0]]])
    cold = torch.full((1, 1, CELLS, CELLS), -12.0)
    assert torch.equal(sharpened(said, cold, SIDE_PX), said)
    assert torch.allclose(sharpened(said, warm_at(60.0, 60.0), SIDE_PX), said, atol=1e-2)


def test_the_picture_transposed_gives_the_answer_transposed() -> None:
    said = torch.tensor([[[100.0, 60.0], [30.0, 200.0]]])
    heat = torch.cat([warm_at(26.0, 14.0), warm_at(8.0, 51.0)], 1)
    found = sharpened(said, heat, SIDE_PX)
    turned = sharpened(said.flip(-1), heat.transpose(-1, -2), SIDE_PX)
    assert torch.allclose(found, turned.flip(-1), atol=1e-4)


def test_gradients_reach_the_places_and_the_heat() -> None:
    said = torch.tensor([[[100.0, 60.0]]], requires_grad=True)
    heat = warm_at(26.0, 14.0, logit=-1.5).requires_grad_()
    sharpened(said, heat, SIDE_PX).sum().backward()  # type: ignore[no-untyped-call]
    assert said.grad is not None
    assert heat.grad is not None
    assert said.grad.abs().sum() > 0
    assert heat.grad.abs().sum() > 0
