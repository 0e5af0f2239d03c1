"""The page of a report: verdict first, then errors, forgetting, latents, cost, origin.

In: `Results`.  Out: HTML in one piece.  A section without results is left out, but for the ones of
which the absence must be said: rules, and seen test pictures.
"""

from collections.abc import Sequence

from train.report_figures import error_chart
from train.report_html import NOTHING, Markup, breakable, chart, element, page, table, together
from train.report_results import ORACLE, SOURCE_ONLY, Results, Row
from train.report_sections import (
    cost_section,
    forgetting_section,
    latents_section,
    origin_section,
    pictures_section,
    scores_section,
)
from train.report_summary import ENOUGH_SEEDS, Range, Summary, Table, tables
from train.report_verdicts import Outcome, Verdict, verdicts


def report(results: Results) -> str:
    """Write the page."""
    measured = tables(results.rows, results.higher_is_better)
    judged = verdicts(results, measured)
    sections = [
        _errors(results.rows, measured),
        forgetting_section(results.stages),
        latents_section(results.representation),
        scores_section(results),
        pictures_section(results),
        cost_section(results.costs),
        origin_section(results),
    ]
    return page(
        results.title,
        element("h1", results.title),
        _lead(judged),
        _rules(judged),
        *(section for section in sections if section),
    )


def decision(judged: Sequence[Verdict]) -> tuple[Outcome | None, str]:
    """Say in a sentence whether the network may go; None without rules."""
    if not judged:
        return None, "No verdict: no rules were set"
    missed = sum(verdict.outcome is Outcome.MISSED for verdict in judged)
    open_ = sum(verdict.outcome is Outcome.NOT_SHOWN for verdict in judged)
    if missed:
        return Outcome.MISSED, f"No-go: {missed} of {len(judged)} rules missed"
    if open_:
        return Outcome.NOT_SHOWN, f"No-go: {open_} of {len(judged)} rules not shown to be met"
    return Outcome.MET, f"Go: {'the rule is' if len(judged) == 1 else 'all rules are'} met"


def seen_sentence(rows: Sequence[Row]) -> str:
    """Say whether test pictures of the target were seen, and by whom."""
    if not rows:
        return "Nothing was measured."
    seen = sorted({(row.method, row.domain) for row in rows if row.seen_target_test})
    if not seen:
        return (
            "No network here saw a test picture of the domain on which it is measured, in any "
            "stage, not even without labels."
        )
    named = "; ".join(f"{method} on {domain}" for method, domain in seen)
    return (
        "Test pictures of the target were seen in training by: "
        f"{named}. Their errors do not hold for pictures yet to come."
    )


def _lead(judged: Sequence[Verdict]) -> Markup:
    outcome, sentence = decision(judged)
    kind = "lead" if outcome is None else f"lead {_kind(outcome)}"
    return element("div", element("strong", sentence), kind=kind)


def _rules(judged: Sequence[Verdict]) -> Markup:
    if not judged:
        words = "Name rules in a file of their own and give it beside the results."
        return element("section", element("h2", "Go or no-go"), element("p", words))
    rows = [
        (
            verdict.rule,
            element("span", verdict.outcome.value, kind=f"badge {_kind(verdict.outcome)}"),
            verdict.reason,
        )
        for verdict in judged
    ]
    note = (
        f"Met: the whole 95 % interval is beyond the bar, with {ENOUGH_SEEDS} seeds on both sides. "
        "Not shown: the mean is, but chance is not ruled out. One rule that is not met makes a "
        "no-go."
    )
    return element(
        "section",
        element("h2", "Go or no-go"),
        table(("rule", "verdict", "measured"), rows, words=(0, 1, 2)),
        element("p", note, kind="note"),
    )


def _errors(rows: Sequence[Row], measured: Sequence[Table]) -> Markup | None:
    if not measured:
        return None
    note = (
        "95 % intervals redraw pictures (the same for all methods) and seeds. "
        f"Gap closed: 0 % is {SOURCE_ONLY}, 100 % is {ORACLE}, which was trained on labels of the "
        "target and is a yardstick, not a result. "
        f"Fewer than {ENOUGH_SEEDS} seeds carry no claim."
    )
    parts = [element("p", seen_sentence(rows)), element("p", note, kind="note")]
    for one in measured:
        better = "higher" if one.higher_is_better else "lower"
        parts.append(element("h3", f"{one.domain}: {one.metric} ({better} is better)"))
        parts.append(_error_table(one))
        parts.append(
            chart(error_chart(one), "Large dots: means with intervals. Small dots: single seeds.")
        )
    return element("section", element("h2", "Errors by domain"), *parts)


def _error_table(measured: Table) -> Markup:
    rows = [
        (
            together(breakable(summary.method), _aside(summary)),
            _range(summary.mean, 1),
            _closed(summary),
            _range(summary.minus_source, 1, signed=True),
            _spread(summary),
            str(summary.samples),
            "yes" if summary.seen_target_test else "no",
        )
        for summary in measured.methods
    ]
    head = (
        "method",
        "mean over seeds",
        "gap closed",
        f"minus {SOURCE_ONLY}",
        "lowest to highest seed",
        "people",
        "test seen",
    )
    marked = [
        number
        for number, summary in enumerate(measured.methods)
        if summary.method in (SOURCE_ONLY, ORACLE)
    ]
    return table(head, rows, marked=marked)


def _aside(summary: Summary) -> Markup:
    count = f"{summary.seeds} seed{'s' if summary.seeds != 1 else ''}"
    few = " – too few for a claim" if summary.seeds < ENOUGH_SEEDS else ""
    labels = ", target labels" if summary.method == ORACLE else ""
    return element("small", f"{count}{labels}{few}")


def _range(found: Range | None, digits: int, *, signed: bool = False, unit: str = "") -> Markup:
    if found is None:
        return Markup(NOTHING)
    sign = "+" if signed else ""
    words = f"{found.value:{sign}.{digits}f}{unit}"
    if found.interval is None:
        return together(words, element("small", "no interval"))
    low, high = found.interval
    aside = element("small", f"[{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]")
    return together(words, aside)


def _spread(summary: Summary) -> str:
    values = [value for _, value in summary.by_seed]
    return f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else NOTHING


def _closed(summary: Summary) -> Markup:
    found = summary.gap_closed
    if found is None:
        return Markup(NOTHING)
    interval = found.interval
    percent = Range(
        value=100 * found.value,
        interval=None if interval is None else (100 * interval[0], 100 * interval[1]),
    )
    width = min(max(percent.value, 0), 100)
    bar = element("div", element("div", style=f"width:{width:.0f}%"), kind="bar")
    return together(_range(percent, 0, unit=" %"), bar)


def _kind(outcome: Outcome) -> str:
    return outcome.value.replace(" ", "-")
