"""The ways to adapt, by name: what each does with the target, and how they join.

In: a name such as `attention`, or several as `attention+pseudo_labels`.  Out: a `Method`, or a
sentence on what is wrong with the name.

Only `oracle` is told what is true of the target; it shows what could be reached, and is no result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from edge_pose.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What one way to adapt does; all off is plain training on the source."""

    after_pretraining: bool = True
    """Begins with the encoder of the first stage."""
    distance: str | None = None
    """Keeps attention on the target near that of the first stage; a key of `DISTANCES`."""
    near_start: bool = False
    """Keeps the encoder's weights near those of the first stage."""
    probe_first: bool = False
    """Trains the head alone before everything."""
    consistent: bool = False
    """Says of a masked target picture what a slow teacher says of the whole one."""
    pseudo_labels: bool = False
    """Believes a teacher's 2D labels of target pictures."""
    target_truth: bool = False
    """Is told the truth about the target."""

    @property
    def penalties(self) -> tuple[str, ...]:
        """Name the terms that compare with the first stage."""
        kept = {"attention": self.distance is not None, "anchor": self.near_start}
        return tuple(name for name, wanted in kept.items() if wanted)


METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        "source_only": Method(after_pretraining=False),
        "unregularised": Method(),
        "attention": Method(distance="logits"),
        "attention_weights": Method(distance="weights"),
        "attention_divergence": Method(distance="divergence"),
        "attention_lost": Method(distance="lost"),
        "l2sp": Method(near_start=True),
        "lp_ft": Method(probe_first=True),
        "masked_consistency": Method(consistent=True),
        "pseudo_labels": Method(pseudo_labels=True),
        "oracle": Method(target_truth=True),
    }
)
"""l2sp: Li et al. 2018, arXiv:1802.01483.  lp_ft: Kumar et al. 2022, arXiv:2202.10054.
masked_consistency: after MIC, Hoyer et al. 2023, arXiv:2212.01322.
"""
_ALONE: Final = ("source_only", "oracle")


def read_method(text: str) -> Method:
    """Read one name of `METHODS`, or several joined by `+`."""
    names = text.split("+")
    for name in names:
        if name not in METHODS:
            hint = get_close_matches(name, METHODS, n=1)
            advice = f"did you mean {hint[0]!r}?" if hint else f"known: {', '.join(METHODS)}"
            raise ConfigError(f"there is no adaptation method {name!r}; {advice}")
    if len(names) > 1 and not set(names).isdisjoint(_ALONE):
        raise ConfigError(
            f"{text!r} joins a method that stands for itself ({', '.join(_ALONE)}) with another; "
            "name it alone"
        )
    parts = [METHODS[name] for name in names]
    if sum(part.distance is not None for part in parts) > 1:
        raise ConfigError(f"{text!r} asks for two distances of attention; name one")
    joined = {}
    for field in fields(Method):
        values = [getattr(part, field.name) for part in parts]
        joined[field.name] = next((value for value in values if value), values[0])
    return Method(**joined)


def require_selectable(text: str) -> None:
    """Refuse a method that was told the truth about the target as a result to build on."""
    if read_method(text).target_truth:
        raise ConfigError(
            f"{text!r} was trained with the target's true labels, so it only shows what could be "
            "reached; choose a run of another method"
        )
