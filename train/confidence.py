"""How sure a number is, and how honest the scores are.

In: arrays of single errors from `train.metrics`, with the group every frame belongs to (a person, a
clip, a second of video: frames of a group resemble each other and must be drawn together).  Out:
bootstrap intervals of means and of paired differences, the reliability of scores, and Markdown
tables for the diary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

LEVEL: Final = 0.95
RESAMPLES: Final = 2000
AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with the range in which resampling puts it."""

    mean: float
    low: float
    high: float
    groups: int
    measured: int

    def text(self, digits: int = 1) -> str:
        """Write `mean [low, high]`."""
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Scores sorted into bins, each with the share that turned out right."""

    edges: Float[np.ndarray, "edges"]
    counts: Int[np.ndarray, "bins"]
    mean_score: Float[np.ndarray, "bins"]
    share_right: Float[np.ndarray, "bins"]
    expected_error: float
    """Distance of score and share, averaged by count (ECE; Guo et al. 2017, arXiv:1706.04599)."""


def bootstrap_mean(
    errors: Float[np.ndarray, "frames joints"],
    groups: Int[np.ndarray, "frames"] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of all measured errors; whole groups are redrawn, or single frames without groups."""
    sums, counts = _by_group(errors, groups)
    if not counts.size:
        nothing = float("nan")
        return Interval(mean=nothing, low=nothing, high=nothing, groups=0, measured=0)
    means = _redrawn_means(sums, counts, resamples, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(
        mean=float(sums.sum() / counts.sum()),
        low=float(low),
        high=float(high),
        groups=len(counts),
        measured=int(counts.sum()),
    )


def bootstrap_difference(
    ours: Float[np.ndarray, "frames joints"],
    theirs: Float[np.ndarray, "frames joints"],
    groups: Int[np.ndarray, "frames"] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of ours minus theirs over the joints that both measured; below zero: ours is nearer."""
    return bootstrap_mean(ours - theirs, groups, resamples=resamples, seed=seed)


def reliability(
    scores: Float[np.ndarray, "n"], right: Bool[np.ndarray, "n"], bins: int = 10
) -> Reliability:
    """Compare scores with what share of them was right, in bins of equal width."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.digitize(scores, edges) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    mean_score = np.bincount(place, weights=scores, minlength=bins) / filled
    share_right = np.bincount(place, weights=right, minlength=bins) / filled
    gap = np.abs(mean_score - share_right)
    return Reliability(
        edges=edges,
        counts=counts,
        mean_score=np.where(counts > 0, mean_score, np.nan),
        share_right=np.where(counts > 0, share_right, np.nan),
        expected_error=float((gap * counts).sum() / max(counts.sum(), 1)),
    )


def reliability_table(found: Reliability) -> str:
    """Write the reliability as Markdown."""
    rows = [
        (f"{low:.1f}-{high:.1f}", str(count), f"{score:.3f}", f"{right:.3f}")
        for low, high, count, score, right in zip(
            found.edges[:-1],
            found.edges[1:],
            found.counts,
            found.mean_score,
            found.share_right,
            strict=True,
        )
        if count
    ]
    return markdown_table(("score", "joints", "mean score", "share right"), rows)


def joint_table(
    names: Sequence[str],
    columns: dict[str, Float[np.ndarray, "frames joints"]],
    groups: Int[np.ndarray, "frames"] | None = None,
) -> str:
    """Write one row a joint that was measured, one column an error, with intervals."""
    rows = []
    for joint, name in enumerate(names):
        cells = [
            bootstrap_mean(errors[:, joint : joint + 1], groups) for errors in columns.values()
        ]
        if any(cell.measured for cell in cells):
            rows.append((name, *(cell.text() if cell.measured else "-" for cell in cells)))
    return markdown_table(("joint", *columns), rows)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table, first column to the left and the others to the right."""
    ruler = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ruler, *rows))


def _by_group(
    errors: Float[np.ndarray, "frames joints"], groups: Int[np.ndarray, "frames"] | None
) -> tuple[Float[np.ndarray, "groups"], Float[np.ndarray, "groups"]]:
    known = np.isfinite(errors)
    frame_sums = np.where(known, errors, 0.0).sum(axis=1)
    frame_counts = known.sum(axis=1)
    if groups is None:
        groups = np.arange(len(errors))
    _, place = np.unique(groups, return_inverse=True)
    sums = np.bincount(place, weights=frame_sums)
    counts = np.bincount(place, weights=frame_counts)
    return sums[counts > 0], counts[counts > 0]


def _redrawn_means(
    sums: Float[np.ndarray, "groups"],
    counts: Float[np.ndarray, "groups"],
    resamples: int,
    seed: int,
) -> Float[np.ndarray, "resamples"]:
    random = np.random.default_rng(seed)
    groups = len(sums)
    means = []
    for _ in range(0, resamples, AT_ONCE):
        drawn = random.multinomial(groups, np.full(groups, 1 / groups), size=AT_ONCE)
        means.append((drawn @ sums) / (drawn @ counts))
    return np.concatenate(means)[:resamples]
