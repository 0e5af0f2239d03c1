"""Masks about fixations: what lies outside a disc is hidden, or blurs with eccentricity.

In: a `MaskContext`.  Out: soft masks [batch, looks, size, size].  The radius of a disc that shows
the share v of a picture is int(√(H·W·v/π)) pixels (FocusMIM, arXiv:2404.08526).
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from edge_pose.errors import ConfigError
from train.masking.context import MaskContext
from train.masking.fixation import check_target, fixate, peak
from train.masking.patches import check_share
from train.masking.sight import COARSEST_PX

_LOOKABLE: Final = ("random", "foreground", "joint")


@dataclass(frozen=True, slots=True)
class Periphery:
    """`periphery(hidden, at)`: everything outside a disc around a fixation.

    FocusMIM's best share is 0.8, at the centre of random crops.
    """

    hidden: float = 0.8
    at: str = "centre"

    def __post_init__(self) -> None:
        """Refuse what is no share or no target."""
        check_share("periphery", self.hidden)
        check_target("periphery", self.at)

    def hide(self, hidden: Tensor, context: MaskContext, generator: torch.Generator) -> Tensor:
        """Hide the periphery besides what is hidden already."""
        radius_px = disc_radius_px(context.size_px, 1 - self.hidden)
        points = fixate(self.at, context, len(hidden), generator, radius_px=radius_px)
        return torch.maximum(hidden, outside(points, radius_px, context.size_px)[:, None])


@dataclass(frozen=True, slots=True)
class SecondDisc:
    """`second_disc(visible)`: covert attention shows a disc elsewhere, whatever hides it.

    It lies on the peak of the foreground that is hidden so far, so that it does not show what the
    eye sees anyhow.
    """

    visible: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        check_share("second_disc", self.visible)

    def hide(self, hidden: Tensor, context: MaskContext, generator: torch.Generator) -> Tensor:
        """Show the disc in every look."""
        del generator
        people = context.need_foreground("second_disc")
        radius_px = disc_radius_px(context.size_px, self.visible)
        points = peak((people[:, None] * hidden).flatten(0, 1))
        shown = outside(points, radius_px, context.size_px)
        return torch.minimum(hidden, shown.reshape(hidden.shape))


@dataclass(frozen=True, slots=True)
class Fovea:
    """`fovea(half, at)`: resolution falls with eccentricity, as in a retina.

    Resolution is half/(e + half) at e sides from the fixation (Geisler, Perry 1998,
    doi:10.1117/12.320120), so `half` is where it is halved; a pixel is hidden by its place among
    the levels of the pyramid that `fill` blurs with: ln(1 + e/half) / ln(size / coarsest).
    """

    half: float = 0.09
    at: str = "centre"

    def __post_init__(self) -> None:
        """Refuse what is no eccentricity or no target."""
        check_target("fovea", self.at)
        if not 0 < self.half < 1:
            raise ConfigError(
                f"fovea has half={self.half:g}; give the distance, in sides of the picture "
                "between 0 and 1, at which resolution is halved."
            )

    def hide(self, hidden: Tensor, context: MaskContext, generator: torch.Generator) -> Tensor:
        """Hide by eccentricity, besides what is hidden already."""
        points = fixate(self.at, context, len(hidden), generator, radius_px=0.0)
        away = distances_px(points, context.size_px) / context.size_px
        levels = torch.log1p(away / self.half) / math.log(context.size_px / COARSEST_PX)
        return torch.maximum(hidden, levels.clamp(max=1)[:, None])


@dataclass(frozen=True, slots=True)
class Fixations:
    """`fixations(hidden, looks, at)`: a sequence of looks, each at something not yet seen.

    Every look shows its own disc alone, as an eye without memory would; the centre of the next one
    is hidden from all looks before, as long as anything is: inhibition of return (Itti, Koch,
    Niebur 1998, doi:10.1109/34.730558).  What look t + 1 shows and look t does not is what a
    network that sees look t should predict.
    """

    hidden: float = 0.85
    looks: int = 3
    at: str = "foreground"

    def __post_init__(self) -> None:
        """Refuse what is no share, no sequence or no target."""
        check_share("fixations", self.hidden)
        check_target("fixations", self.at, _LOOKABLE)
        if self.looks < 2:
            raise ConfigError(
                f"fixations has looks={self.looks}; give at least 2, or use periphery."
            )

    def hide(self, hidden: Tensor, context: MaskContext, generator: torch.Generator) -> Tensor:
        """Hide look by look, besides what is hidden already."""
        if hidden.shape[1] not in (1, self.looks):
            raise ConfigError(
                f"fixations looks {self.looks} times, and another part of the recipe "
                f"{hidden.shape[1]} times; use one of the two."
            )
        radius_px = disc_radius_px(context.size_px, 1 - self.hidden)
        unseen = torch.ones_like(hidden[:, 0])
        looks = []
        for _ in range(self.looks):
            points = self._next(unseen, context, generator, radius_px)
            looks.append(outside(points, radius_px, context.size_px))
            unseen = unseen * looks[-1]
        return torch.maximum(hidden, torch.stack(looks, 1))

    def _next(
        self, unseen: Tensor, context: MaskContext, generator: torch.Generator, radius_px: float
    ) -> Tensor:
        """Choose where to look, [batch, 2]; anywhere unseen once all of the target was seen."""
        batch = len(unseen)
        anywhere = _somewhere(unseen, context, generator)
        if self.at == "random":
            return anywhere
        if self.at == "foreground":
            people = context.need_foreground("at=foreground") * unseen
            points, left = peak(people, unseen), people.flatten(1).amax(1) > 0.5
        else:
            joints_px = context.need_joints("at=joint")
            new = torch.where(_is_seen(joints_px, unseen)[..., None], torch.nan, joints_px)
            left = ~new.isnan().any(2).all(1)
            unseen_joints = MaskContext(size_px=context.size_px, joints_px=new)
            points = fixate("joint", unseen_joints, batch, generator, radius_px=radius_px)
        reached = _is_seen(points[:, None], unseen)[:, 0]
        return torch.where((left & ~reached)[:, None], points, anywhere)


def disc_radius_px(size_px: int, visible: float) -> float:
    """Return the radius, a whole number, of the disc that covers a share of a square picture."""
    return float(math.floor(math.sqrt(size_px * size_px * visible / math.pi)))


def outside(points: Tensor, radius_px: float, size_px: int) -> Tensor:
    """Mark the pixels farther than the radius from each point: [batch, size, size]."""
    return (distances_px(points, size_px) > radius_px).to(torch.float32)


def distances_px(points: Tensor, size_px: int) -> Tensor:
    """Measure from every pixel to each point: [batch, size, size]."""
    steps = torch.arange(size_px, device=points.device)
    across = steps[None, None, :] - points[:, 0, None, None]
    down = steps[None, :, None] - points[:, 1, None, None]
    return torch.sqrt(across**2 + down**2)


def _somewhere(unseen: Tensor, context: MaskContext, generator: torch.Generator) -> Tensor:
    """Draw one unseen pixel a picture; any pixel where all were seen."""
    lots = context.uniform((len(unseen), context.size_px**2), generator)
    best = (unseen.flatten(1) + lots).argmax(1)
    return torch.stack([best % context.size_px, best // context.size_px], 1).to(torch.float32)


def _is_seen(points: Tensor, unseen: Tensor) -> Tensor:
    """Tell for points [batch, n, 2] whether they lie in what was seen; outside is not seen."""
    size = unseen.shape[-1]
    cells = points.nan_to_num(-1).round().long()
    inside = ((cells >= 0) & (cells < size)).all(2)
    cells = cells.clamp(0, size - 1)
    rows = torch.arange(len(points), device=points.device)[:, None]
    return inside & (unseen[rows, cells[..., 1], cells[..., 0]] < 0.5)
