"""What stands between a camera and people, in many crops at once, where the network is.

In: crops in 0..1 and where their joints are.  Out: the crops, with boards, edges and rectangles
before some of the people, and which joints are still in sight.  What is drawn, and how often, is
that of `train.boards`, which does it one crop at a time on the CPU.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from train import boards


def hidden(
    image: Tensor, joints_px: Tensor, visible: Tensor, share: float, dice: Generator
) -> tuple[Tensor, Tensor]:
    """Put something before a share of the people, [crops, 3, side, side] and [crops, joints]."""
    crops, side_px = len(image), image.shape[-1]
    draw = _Draw(crops, image.device, dice)
    before = _before(joints_px, visible, side_px, draw)
    before &= (draw.uniform() < share).view(-1, 1, 1)
    at = joints_px.round().long().clamp(0, side_px - 1)
    inside = ((joints_px >= 0) & (joints_px <= side_px - 1)).all(-1)
    people = torch.arange(crops, device=image.device)[:, None]
    in_sight = visible & ~(inside & before[people, at[..., 1], at[..., 0]])
    kept = visible.any(1) & (in_sight.sum(1) < boards.FEWEST_IN_SIGHT)
    before &= ~kept.view(-1, 1, 1)
    drawn = torch.where(before[:, None], _surfaces(image, draw), image)
    return drawn, torch.where(kept[:, None], visible, in_sight)


class _Draw:
    """Random numbers for a block of crops."""

    def __init__(self, crops: int, device: torch.device, dice: Generator) -> None:
        self._crops, self.device, self._dice = crops, device, dice

    def uniform(self, low: float = 0.0, high: float = 1.0, *shape: int) -> Tensor:
        drawn = torch.rand(self._crops, *shape, generator=self._dice, device=self.device)
        return low + (high - low) * drawn

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self._crops, *shape, generator=self._dice, device=self.device)

    def one_of(self, weights: Tensor) -> Tensor:
        return torch.multinomial(weights, 1, generator=self._dice)[:, 0]


def _before(joints_px: Tensor, visible: Tensor, side_px: int, draw: _Draw) -> Tensor:
    """Tell where something stands, [crops, side, side]."""
    lot = draw.uniform()
    board = (lot < boards.BOARD_SHARE) & visible.any(1)
    edge = (lot >= boards.BOARD_SHARE) & (lot < boards.BOARD_SHARE + boards.EDGE_SHARE)
    edge &= visible.sum(1) >= boards.FEWEST_FOR_EDGE
    steps = torch.arange(side_px, device=draw.device, dtype=joints_px.dtype)
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    place = torch.stack([across, down], -1)[None]
    rectangle = _rectangle(place, side_px, draw)
    drawn = torch.where(board.view(-1, 1, 1), _board(place, joints_px, visible, draw), rectangle)
    return torch.where(edge.view(-1, 1, 1), _edge(place, joints_px, visible, draw), drawn)


def _board(place: Tensor, joints_px: Tensor, visible: Tensor, draw: _Draw) -> Tensor:
    side_px = place.shape[1]
    weights = torch.from_numpy(boards.WEIGHTS).to(draw.device) * visible
    joint = draw.one_of(torch.where(visible.any(1, keepdim=True), weights, 1.0))
    joint_px = joints_px.gather(1, joint.view(-1, 1, 1).expand(-1, 1, 2))[:, 0]
    size_px = draw.uniform(*boards.BOARD_SIDES, 2) * side_px
    middle_px = joint_px + draw.uniform(-boards.OFF_THE_JOINT, boards.OFF_THE_JOINT, 2) * size_px
    tilt_rad = math.radians(boards.BOARD_TILT_DEG) * draw.normal()
    along = torch.stack([tilt_rad.cos(), tilt_rad.sin()], -1)
    across = torch.stack([-tilt_rad.sin(), tilt_rad.cos()], -1)
    away = place - middle_px.view(-1, 1, 1, 2)
    on_it = [
        (away @ direction.view(-1, 1, 2, 1))[..., 0].abs() <= (size_px[:, axis] / 2).view(-1, 1, 1)
        for axis, direction in enumerate((along, across))
    ]
    return on_it[0] & on_it[1]


def _edge(place: Tensor, joints_px: Tensor, visible: Tensor, draw: _Draw) -> Tensor:
    directions, shares = (
        torch.tensor(values, device=draw.device, dtype=joints_px.dtype)
        for values in zip(*boards.EDGE_DEG, strict=True)
    )
    chosen = draw.one_of(shares.expand(len(joints_px), -1))
    towards_rad = torch.deg2rad(directions[chosen] + boards.EDGE_TILT_DEG * draw.normal())
    towards = torch.stack([towards_rad.cos(), towards_rad.sin()], -1)
    along_px = (joints_px * towards[:, None]).sum(-1).masked_fill(~visible, torch.inf)
    last = (draw.uniform(*boards.LEFT_ABOVE) * (visible.sum(1) - 1).clamp_min(0)).long()
    begins_px = along_px.sort(1).values.gather(1, last[:, None])[:, 0]
    deep_px = draw.uniform(*boards.BEAM_SIDES) * place.shape[1]
    deep_px = torch.where(draw.uniform() < boards.BEAM_SHARE, deep_px, torch.inf)
    behind_px = (place @ towards.view(-1, 1, 2, 1))[..., 0] - begins_px.view(-1, 1, 1)
    return (behind_px > 0) & (behind_px < deep_px.view(-1, 1, 1))


def _rectangle(place: Tensor, side_px: int, draw: _Draw) -> Tensor:
    low_px = (draw.uniform(-0.1, 0.9, 2) * side_px).clamp_min(0)
    high_px = low_px + draw.uniform(*boards.RECTANGLE_SIDES, 2) * side_px
    within = (place >= low_px.view(-1, 1, 1, 2)) & (place < high_px.view(-1, 1, 1, 2))
    return within.all(-1)


def _surfaces(image: Tensor, draw: _Draw) -> Tensor:
    """Draw a surface for each crop: a piece of its rim, or something plain or mottled."""
    side_px = image.shape[-1]
    piece = image[..., : round(boards.PIECE * side_px), : round(boards.PIECE * side_px)]
    piece = functional.interpolate(piece, (side_px, side_px), mode="bilinear")
    piece = piece * torch.exp(0.3 * draw.normal(1, 1, 1)) + 12 / 255 * draw.normal(3, 1, 1)
    grey = draw.uniform(20.0, 235.0, 1) + 8 * draw.normal(3)
    colour = torch.where(draw.uniform(0.0, 1.0, 1) < 0.5, draw.uniform(10.0, 250.0, 3), grey)
    mottled = draw.uniform(0.0, 14.0, 1, 1, 1) * draw.normal(1, side_px, side_px)
    plain = (colour.view(-1, 3, 1, 1) + mottled) / 255
    like_picture = draw.uniform(0.0, 1.0, 1, 1, 1) < boards.OF_THE_PICTURE
    return torch.where(like_picture, piece, plain).clamp(0, 1)
