"""Go or no-go: the user's rules against what was measured, one verdict each with its reason.

In: `Results` and the tables made of them.  Out: `Verdict`s, and whether all rules are met.  A rule
on improvement is met only when the whole interval is beyond the bar and there are three seeds on
both sides; a mean that gets there alone is "not shown".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from train.report_results import SOURCE_ONLY, Forgetting, Improvement, Results, Stage
from train.report_summary import ENOUGH_SEEDS, Table


class Outcome(Enum):
    """What a rule came to."""

    MET = "met"
    NOT_SHOWN = "not shown"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One rule, what it came to, and why."""

    rule: str
    outcome: Outcome
    reason: str


def verdicts(results: Results, measured: Sequence[Table]) -> tuple[Verdict, ...]:
    """Judge every rule."""
    return (
        *(_improvement(rule, measured) for rule in results.rules.improvements),
        *(_forgetting(rule, results.stages) for rule in results.rules.forgetting),
    )


def by_run(stages: Sequence[Stage]) -> Mapping[tuple[str, str], tuple[Stage, ...]]:
    """Sort stages by run and metric, in the order in which they come."""
    keys = dict.fromkeys((stage.run, stage.metric) for stage in stages)
    return {
        key: tuple(stage for stage in stages if (stage.run, stage.metric) == key) for key in keys
    }


def _improvement(rule: Improvement, measured: Sequence[Table]) -> Verdict:
    wanted = (
        f"{rule.method} at least {rule.least_percent:g} % better than {SOURCE_ONLY} "
        f"on {rule.domain} ({rule.metric})"
    )
    table = next((t for t in measured if (t.domain, t.metric) == (rule.domain, rule.metric)), None)
    ours = table.of(rule.method) if table is not None else None
    source = table.of(SOURCE_ONLY) if table is not None else None
    if ours is None or source is None or ours.improvement_percent is None:
        lacking = rule.method if ours is None else SOURCE_ONLY
        reason = f"{lacking} was not measured there"
        return Verdict(rule=wanted, outcome=Outcome.NOT_SHOWN, reason=reason)
    found = ours.improvement_percent
    if found.interval is None:
        reason, beyond = f"{found.value:.1f} %, interval unknown", False
    else:
        low, high = found.interval
        reason = f"{found.value:.1f} % [{low:.1f}, {high:.1f}]"
        beyond = low >= rule.least_percent
    seeds = min(ours.seeds, source.seeds)
    reason += f", {seeds} seed{'s' if seeds != 1 else ''}"
    if found.value < rule.least_percent:
        outcome = Outcome.MISSED
    elif beyond and seeds >= ENOUGH_SEEDS:
        outcome = Outcome.MET
    else:
        outcome = Outcome.NOT_SHOWN
        if seeds < ENOUGH_SEEDS:
            reason += f" of the {ENOUGH_SEEDS} that a claim needs"
        if not beyond:
            reason += "; the interval does not clear the bar"
    return Verdict(rule=wanted, outcome=outcome, reason=reason)


def _forgetting(rule: Forgetting, stages: Sequence[Stage]) -> Verdict:
    wanted = f"no domain forgets more than {rule.most:g} ({rule.metric}) in {rule.run}"
    run = by_run(stages).get((rule.run, rule.metric), ())
    lost = run[-1].forgotten if run else {}
    if not lost:
        reason = "no domain was measured after more than one stage"
        return Verdict(rule=wanted, outcome=Outcome.NOT_SHOWN, reason=reason)
    worst = max(lost, key=lambda domain: lost[domain])
    return Verdict(
        rule=wanted,
        outcome=Outcome.MET if lost[worst] <= rule.most else Outcome.MISSED,
        reason=f"most on {worst}: {lost[worst]:+.1f} after {run[-1].stage}",
    )
