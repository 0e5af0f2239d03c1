"""From rows to claims: means over seeds, paired intervals, and the share of the gap closed.

In: rows of one domain and metric.  Out: one `Summary` a method, with source-only and oracle beside
it.

Intervals come from redrawing, 2,000 times, the groups of pictures (the same draw for all methods
and seeds, which pairs them) and the seeds of each method.  The share of the gap that a method
closes is (source-only - method) / (source-only - oracle); it has an interval only where the gap
itself is beyond doubt, since a share of nothing is no number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from train.confidence import AT_ONCE, LEVEL, RESAMPLES
from train.report_results import ORACLE, SOURCE_ONLY, Row

ENOUGH_SEEDS: Final = 3
"""Fewer are no basis for a claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A number with its interval; the interval is None where it cannot be known."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One method on one domain by one metric, over its seeds."""

    method: str
    by_seed: tuple[tuple[int, float], ...]
    mean: Range
    minus_source: Range | None
    """Method minus source-only, of the same pictures; None for source-only or without it."""
    improvement_percent: Range | None
    """How much better than source-only, in percent of source-only; below 0: worse."""
    gap_closed: Range | None
    """Share of the gap from source-only to oracle; None where there is no such gap to speak of."""
    samples: int
    seen_target_test: bool

    @property
    def seeds(self) -> int:
        """Count the seeds."""
        return len(self.by_seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All methods on one domain by one metric: source-only first, oracle last."""

    domain: str
    metric: str
    higher_is_better: bool
    methods: tuple[Summary, ...]

    def of(self, method: str) -> Summary | None:
        """Find a method."""
        return next((summary for summary in self.methods if summary.method == method), None)


def tables(rows: Sequence[Row], higher_is_better: Sequence[str] = ()) -> tuple[Table, ...]:
    """Summarise every domain and metric, in the order in which they come."""
    keys = dict.fromkeys((row.domain, row.metric) for row in rows)
    return tuple(
        summarise(
            [row for row in rows if (row.domain, row.metric) == key],
            higher_is_better=key[1] in higher_is_better,
        )
        for key in keys
    )


def summarise(rows: Sequence[Row], *, higher_is_better: bool = False) -> Table:
    """Summarise rows of one domain and metric."""
    methods = sorted(
        dict.fromkeys(row.method for row in rows),
        key=lambda method: (method != SOURCE_ONLY, method == ORACLE),
    )
    by_method = {method: [row for row in rows if row.method == method] for method in methods}
    values = {m: float(np.mean([row.value for row in found])) for m, found in by_method.items()}
    drawn = redrawn(by_method)
    sign = -1.0 if higher_is_better else 1.0
    return Table(
        domain=rows[0].domain,
        metric=rows[0].metric,
        higher_is_better=higher_is_better,
        methods=tuple(_summary(by_method[m], m, values, drawn, sign) for m in methods),
    )


def redrawn(
    by_method: Mapping[str, Sequence[Row]], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Float[np.ndarray, "resamples"]]:
    """Redraw pictures and seeds; methods of which a row lacks its groups are left out.

    Args:
        by_method: rows of one domain and metric.
        resamples: number of redraws.
        seed: of the redraws.

    Returns:
        For each method [resamples] means over seeds; entry i of all belongs to the same pictures.

    """
    random = np.random.default_rng(seed)
    kept = {m: rows for m, rows in by_method.items() if all(row.group_sums for row in rows)}
    if not kept:
        return {}
    groups = len(next(iter(kept.values()))[0].group_sums)
    sums = {m: np.array([row.group_sums for row in rows]) for m, rows in kept.items()}
    counts = {m: np.array([row.group_counts for row in rows], float) for m, rows in kept.items()}
    means: dict[str, list[Float[np.ndarray, "some seeds"]]] = {method: [] for method in kept}
    for _ in range(0, resamples, AT_ONCE):
        times = random.multinomial(groups, np.full(groups, 1 / groups), size=AT_ONCE)
        for method in kept:
            means[method].append((times @ sums[method].T) / (times @ counts[method].T))
    result = {}
    for method, parts in means.items():
        by_seed = np.concatenate(parts)[:resamples]
        chosen = random.integers(by_seed.shape[1], size=by_seed.shape)
        result[method] = np.take_along_axis(by_seed, chosen, axis=1).mean(axis=1)
    return result


def gap_closed(source: float, method: float, oracle: float) -> float:
    """Share of the way from source-only to oracle: 0 at the first, 1 at the second."""
    return (source - method) / (source - oracle)


def _summary(
    rows: Sequence[Row],
    method: str,
    values: Mapping[str, float],
    drawn: Mapping[str, Float[np.ndarray, "resamples"]],
    sign: float,
) -> Summary:
    mean, ours = values[method], drawn.get(method)
    minus, percent, closed = None, None, None
    if SOURCE_ONLY in values and method != SOURCE_ONLY:
        source, sources = values[SOURCE_ONLY], drawn.get(SOURCE_ONLY)
        change = None if ours is None or sources is None else ours - sources
        minus = _range(mean - source, change)
        if source > 0:
            share = None if change is None or sources is None else -sign * 100 * change / sources
            percent = _range(-sign * 100 * (mean - source) / source, share)
        closed = _closed(method, values, drawn, sign)
    return Summary(
        method=method,
        by_seed=tuple(sorted((row.seed, row.value) for row in rows)),
        mean=_range(mean, ours),
        minus_source=minus,
        improvement_percent=percent,
        gap_closed=closed,
        samples=rows[0].samples,
        seen_target_test=any(row.seen_target_test for row in rows),
    )


def _closed(
    method: str,
    values: Mapping[str, float],
    drawn: Mapping[str, Float[np.ndarray, "resamples"]],
    sign: float,
) -> Range | None:
    """Share of the gap, unless the oracle is not better than source-only."""
    if method == ORACLE or ORACLE not in values:
        return None
    source, oracle = values[SOURCE_ONLY], values[ORACLE]
    if sign * (source - oracle) <= 0:
        return None
    share = gap_closed(source, values[method], oracle)
    if not {SOURCE_ONLY, ORACLE, method} <= drawn.keys():
        return Range(value=share, interval=None)
    sources, oracles = drawn[SOURCE_ONLY], drawn[ORACLE]
    gaps = _range(source - oracle, sign * (sources - oracles))
    if gaps.interval is None or gaps.interval[0] <= 0:
        return None
    # A single redraw in which the two meet would give an infinite share; the quantiles stand it.
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (sources - drawn[method]) / (sources - oracles)
    return _range(share, shares)


def _range(value: float, drawn: Float[np.ndarray, "resamples"] | None) -> Range:
    if drawn is None:
        return Range(value=value, interval=None)
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Range(value=value, interval=(float(low), float(high)))
