"""Recipes of masks: terms that are worked through from left to right, and those with names.

In: terms, as `train/masking/grammar.py` reads them from text.  Out: a `MaskRecipe`, which draws
seeded masks for a batch of pictures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

import torch
from torch import Tensor

from edge_pose.errors import ConfigError
from train.masking.context import MaskContext, Masks
from train.masking.crop import Crop
from train.masking.discs import Fixations, Fovea, Periphery, SecondDisc
from train.masking.patches import ForegroundPatches, Patches, Tubes


@runtime_checkable
class Term(Protocol):
    """One part of a recipe: changes what is hidden."""

    def hide(self, hidden: Tensor, context: MaskContext, generator: torch.Generator) -> Tensor:
        """Return what is hidden then, [batch, looks, size, size]."""
        ...


@dataclass(frozen=True, slots=True)
class Opacity:
    """`opacity(value)`: 1 hides all, 0 only blurs."""

    value: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no opacity."""
        if not 0 <= self.value <= 1:
            raise ConfigError(
                f"opacity({self.value:g}) is no opacity; give 0, a blurred picture, to 1, opaque."
            )


TERMS: Final[Mapping[str, Callable[..., Term | Opacity | Crop]]] = MappingProxyType(
    {
        "patches": Patches,
        "foreground_patches": ForegroundPatches,
        "periphery": Periphery,
        "fovea": Fovea,
        "fixations": Fixations,
        "tubes": Tubes,
        "second_disc": SecondDisc,
        "opacity": Opacity,
        "crop": Crop,
    }
)

RECIPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "patches": "patches(0.6)",
        "patches, blurred": "patches(0.6) + opacity(0)",
        "patches, half opaque": "patches(0.6) + opacity(0.5)",
        "people first": "foreground_patches(0.6, background=0.1)",
        "periphery": "periphery(0.8)",
        "periphery, blurred": "periphery(0.8) + opacity(0)",
        "periphery of crops": "crop(0.08, 1) + periphery(0.8)",
        "periphery, anywhere": "periphery(0.8, at=random)",
        "periphery, at people": "periphery(0.8, at=foreground)",
        "periphery, at a joint": "periphery(0.8, at=joint)",
        "covert attention": "periphery(0.8) + second_disc(0.1)",
        "fovea": "fovea(0.09)",
        "fovea, at people": "fovea(0.09, at=foreground)",
        "fixations": "fixations(0.85, looks=3, at=foreground)",
        "tubes": "tubes(0.9)",
        "space and time": "tubes(0.9, span=1)",
    }
)
"""Recipes with names, for pictures and for ablations; any other text is a recipe as well.

A name that is also that of a term stands for the term with its defaults.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRecipe:
    """How to hide; made by `read_recipe`."""

    text: str
    terms: tuple[Term, ...]
    opacity: float
    """What `fill` is to be given."""
    crop: Crop | None
    """To be applied to the pictures before the masks are drawn."""

    @property
    def needs_foreground(self) -> bool:
        """Tell whether masks depend on where people are."""
        return any(
            isinstance(term, ForegroundPatches | SecondDisc)
            or getattr(term, "at", None) == "foreground"
            for term in self.terms
        )

    @property
    def needs_joints(self) -> bool:
        """Tell whether masks depend on where joints are."""
        own = ("centre", "random", "foreground")
        return any(getattr(term, "at", own[0]) not in own for term in self.terms)

    def draw(self, context: MaskContext, batch: int, generator: torch.Generator) -> Masks:
        """Hide something of each of `batch` pictures; the same seed hides the same."""
        size_px = context.size_px
        hidden = torch.zeros(batch, 1, size_px, size_px, device=context.device(generator))
        for term in self.terms:
            hidden = term.hide(hidden, context, generator)
        return Masks(hidden=hidden)
