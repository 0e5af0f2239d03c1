"""What is compared when a line is adapted to: each row of the table as one way through the stages.

In: names of `VARIANTS`.  Out: what the first stage hides and weighs, if it runs at all, and what
the second stage does with the target.  A row differs from the one above it in one thing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from edge_pose.errors import ConfigError

_PATCHES: Final = "patches(0.6)"
_SACCADES: Final = "fixations"
"""Of `train.masking.RECIPES`: predict what the next fixation reveals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStage:
    """Masked image modelling on source and target."""

    recipe: str
    """Of `train/masking/grammar.py`."""
    background_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way from the source to a network for the target."""

    first: FirstStage | None
    method: str
    """Of `train.adaptation_methods.METHODS`, or several joined by `+`."""
    restyled: bool = False
    """Whether the source's people are shown in the colours and the sharpness of the target."""
    labelled_frames: int = 0
    """Frames of the target with a person's labels, that stand in each batch of the source."""


_PLAIN: Final = FirstStage(recipe=_PATCHES, background_weight=1.0)
_FOREGROUND: Final = FirstStage(recipe=_PATCHES, background_weight=0.25)
_FIXATING: Final = FirstStage(recipe=_SACCADES, background_weight=0.25)

VARIANTS: Final[Mapping[str, Variant]] = MappingProxyType(
    {
        "source_only": Variant(first=None, method="source_only"),
        "mae": Variant(first=_PLAIN, method="unregularised"),
        "foreground": Variant(first=_FOREGROUND, method="unregularised"),
        "attention": Variant(first=_FOREGROUND, method="attention"),
        "saccades": Variant(first=_FIXATING, method="attention"),
        "attention_weights": Variant(first=_FOREGROUND, method="attention_weights"),
        "attention_divergence": Variant(first=_FOREGROUND, method="attention_divergence"),
        "attention_lost": Variant(first=_FOREGROUND, method="attention_lost"),
        "l2sp": Variant(first=_FOREGROUND, method="l2sp"),
        "lp_ft": Variant(first=_FOREGROUND, method="lp_ft"),
        "masked_consistency": Variant(first=_FOREGROUND, method="masked_consistency"),
        "pseudo_labels": Variant(first=_FOREGROUND, method="pseudo_labels"),
        "attention+masked_consistency": Variant(
            first=_FOREGROUND, method="attention+masked_consistency"
        ),
        "attention+pseudo_labels": Variant(first=_FOREGROUND, method="attention+pseudo_labels"),
        "restyled": Variant(first=None, method="source_only", restyled=True),
        "full": Variant(
            first=_FOREGROUND,
            method="attention+masked_consistency+pseudo_labels",
            restyled=True,
        ),
        "oracle": Variant(first=_FOREGROUND, method="oracle"),
        **{
            f"labels_{count}": Variant(first=_FOREGROUND, method="attention", labelled_frames=count)
            for count in (10, 50, 200)
        },
    }
)
USUAL: Final = ("source_only", "foreground", "attention+masked_consistency")
"""For a line of one's own: where it starts, what the first stage gives, and all of it."""
ABLATION: Final = tuple(name for name in VARIANTS if not name.startswith("labels_"))


def read_variants(names: Sequence[str]) -> dict[str, Variant]:
    """Look names up, in their order.

    Raises:
        ConfigError: a name that nobody knows, or one twice.

    """
    for name in names:
        if name not in VARIANTS:
            hint = get_close_matches(name, VARIANTS, n=1)
            advice = f"did you mean {hint[0]!r}?" if hint else f"known: {', '.join(VARIANTS)}"
            raise ConfigError(f"there is no variant {name!r}; {advice}")
        if list(names).count(name) > 1:
            raise ConfigError(f"the variant {name!r} is named twice; once is enough")
    return {name: VARIANTS[name] for name in names}
