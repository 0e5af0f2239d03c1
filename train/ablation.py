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
from train.pretrain import Crops
from train.report_results import SOURCE_ONLY

_PATCHES: Final = "patches(0.6)"
_SACCADES: Final = "fixations"
"""Of `train.masking.RECIPES`: predict what the next fixation reveals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStage:
    """Masked image modelling on source and target."""

    recipe: str
    """Of `train/masking/grammar.py`."""
    background_weight: float = 1.0
    crops: Crops = "varied"
    wrong_masks: float = 0.0
    """Share of the masks of people that are spoiled, to see what wrong masks cost."""


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


_EVERYTHING: Final = "attention+masked_consistency+pseudo_labels"
_ALONE: Final = ("attention", "l2sp", "lp_ft", "masked_consistency", "pseudo_labels")
"""What can also be done without a first stage, by a network that begins with what it knows."""
_BLURRED: Final = "+opacity(0)"
_PERIPHERY: Final = "periphery(0.8)"
_PLAIN: Final = FirstStage(recipe=_PATCHES)
_FOREGROUND: Final = FirstStage(recipe=_PATCHES, background_weight=0.25)
_FIXATING: Final = FirstStage(recipe=_SACCADES, background_weight=0.25)


def _looking(recipe: str, crops: Crops) -> Variant:
    first = FirstStage(recipe=recipe, crops=crops)
    return Variant(first=first, method="unregularised")


def _misled(wrong_masks: float) -> Variant:
    first = FirstStage(recipe=_PATCHES, background_weight=0.25, wrong_masks=wrong_masks)
    return Variant(first=first, method="unregularised")


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
        "full": Variant(first=_FOREGROUND, method=_EVERYTHING, restyled=True),
        "oracle": Variant(first=None, method="oracle"),
        **{f"{method}_alone": Variant(first=None, method=method) for method in _ALONE},
        "full_alone": Variant(first=None, method=_EVERYTHING, restyled=True),
        "patches_opaque": _looking(_PATCHES, "varied"),
        "patches_blurred": _looking(_PATCHES + _BLURRED, "varied"),
        "periphery_opaque": _looking(_PERIPHERY, "varied"),
        "periphery_blurred": _looking(_PERIPHERY + _BLURRED, "varied"),
        "periphery_same_crops": _looking(_PERIPHERY, "plain"),
        "patches_same_crops": _looking(_PATCHES, "plain"),
        **{f"wrong_masks_{percent}": _misled(percent / 100) for percent in (0, 10, 20, 30)},
        **{
            f"labels_{count}": Variant(first=_FOREGROUND, method="attention", labelled_frames=count)
            for count in (10, 50, 200)
        },
    }
)
USUAL: Final = ("source_only", "foreground", "attention+masked_consistency")
"""For a line of one's own: where it starts, what the first stage gives, and all of it."""
_KINDS: Final = {
    "focusmim": ("patches_", "periphery_"),
    "wrong_masks": ("wrong_masks_",),
    "few_labels": ("labels_",),
}
GROUPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ablation": tuple(
            name for name in VARIANTS if not name.startswith(sum(_KINDS.values(), ()))
        ),
        **{
            kind: (SOURCE_ONLY, *(name for name in VARIANTS if name.startswith(starts)))
            for kind, starts in _KINDS.items()
        },
    }
)
"""Variants that are compared together, by a name of their own.

focusmim: opaque against blurred masks, and varied against equal crops (Weiler et al. 2024,
arXiv:2404.08526).  wrong_masks: what it costs when masks of people are wrong.
"""


def read_variants(names: Sequence[str]) -> dict[str, Variant]:
    """Look names of variants and of groups up, in their order.

    Raises:
        ConfigError: a name that nobody knows, or one twice.

    """
    known = (*VARIANTS, *GROUPS)
    for name in names:
        if name not in known:
            hint = get_close_matches(name, known, n=1)
            advice = f"did you mean {hint[0]!r}?" if hint else f"known: {', '.join(known)}"
            raise ConfigError(f"there is no variant {name!r}; {advice}")
        if list(names).count(name) > 1:
            raise ConfigError(f"the variant {name!r} is named twice; once is enough")
    return {each: VARIANTS[each] for name in names for each in GROUPS.get(name, (name,))}
