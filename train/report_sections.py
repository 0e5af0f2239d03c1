"""Sections of a report below its errors: forgetting, latents, scores, pictures, cost, origin.

In: the parts of `Results`.  Out: one section each, or None where there is nothing to show.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_pose.errors import SourceError
from train.report_figures import reliability_chart, stage_chart
from train.report_html import NOTHING, Markup, chart, element, picture, table, together
from train.report_results import Cost, Network, Picture, Results, Stage
from train.report_verdicts import by_run

_IMAGE_STARTS: Final = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}

_MEANINGS: Final = {
    "decorrelation": "0: no unit repeats another",
    "lifetime sparsity": "near 1: units answer to few pictures",
    "population sparsity": "near 1: pictures move few units",
    "participation ratio": "directions in use",
    "rankme": "effective rank",
    "silent units": "units that say the same of all",
}


def forgetting_section(stages: Sequence[Stage]) -> Markup | None:
    """Show every run's errors from stage to stage."""
    if not stages:
        return None
    note = (
        "Error on every domain after each stage; below it how much worse that is than after the "
        "best earlier stage (less than 0: still better)."
    )
    parts: list[str] = [element("p", note, kind="note")]
    for (run, metric), found in by_run(stages).items():
        domains = list(dict.fromkeys(domain for stage in found for domain in stage.errors))
        watched = list(dict.fromkeys(name for stage in found for name in stage.watched))
        rows = [
            (
                stage.stage,
                *(_forgotten(stage, domain) for domain in domains),
                *(_number(stage.watched.get(name)) for name in watched),
            )
            for stage in found
        ]
        parts.append(element("h3", f"{run}: {metric}"))
        parts.append(table(("stage", *domains, *watched), rows))
        parts.append(chart(stage_chart(found)))
    return element("section", element("h2", "What was forgotten"), *parts)


def _forgotten(stage: Stage, domain: str) -> Markup:
    if domain not in stage.errors:
        return Markup(NOTHING)
    words = f"{stage.errors[domain]:.1f}"
    lost = stage.forgotten.get(domain)
    return together(words) if lost is None else together(words, element("small", f"{lost:+.1f}"))


def latents_section(networks: Sequence[Network]) -> Markup | None:
    """Show the numbers about latents, one column a network."""
    if not networks:
        return None
    names = list(dict.fromkeys(name for row in networks for name in row.values))
    head = ["measure", *(f"{row.network}, {row.pictures}" for row in networks)]
    rows = [
        (
            together(name, *([element("small", _MEANINGS[name])] if name in _MEANINGS else [])),
            *(_number(row.values.get(name)) for row in networks),
        )
        for name in names
    ]
    note = (
        "Watched, never trained for. Probes: joints read from frozen features of people that the "
        "probe was not fitted to. Selective units: share above the 95 % quantile of shuffled "
        "labels; chance gives 0.05."
    )
    return element(
        "section",
        element("h2", "Representation"),
        table(head, rows),
        element("p", note, kind="note"),
    )


def scores_section(results: Results) -> Markup | None:
    """Show a reliability chart a network."""
    if not results.reliability:
        return None
    charts = [
        chart(
            reliability_chart(found),
            f"{found.name}: expected calibration error {found.expected_error:.3f}",
        )
        for found in results.reliability
    ]
    note = "Below the diagonal scores promise too much, above it too little; large dots hold more."
    return element(
        "section",
        element("h2", "Do the scores mean what they say?"),
        element("p", note, kind="note"),
        element("div", *charts, kind="charts"),
    )


def pictures_section(results: Results) -> Markup | None:
    """Show the pictures, or say which of them cannot be read."""
    if not results.pictures:
        return None
    return element("section", element("h2", "Pictures"), *map(_picture, results.pictures))


def _picture(shown: Picture) -> Markup:
    try:
        image = Path(shown.path).read_bytes()
    except OSError as error:
        raise SourceError(
            f"The picture {shown.path!r} of {shown.title!r} cannot be read ({error.strerror}); "
            "correct its path or leave it out"
        ) from None
    for kind, start in _IMAGE_STARTS.items():
        if image.startswith(start):
            return picture(image, kind=kind, title=shown.title, caption=shown.caption)
    raise SourceError(
        f"The picture {shown.path!r} of {shown.title!r} is neither PNG nor JPEG; convert it"
    )


def cost_section(costs: Sequence[Cost]) -> Markup | None:
    """Show what each stage took."""
    if not costs:
        return None
    rows = [
        (
            cost.stage,
            cost.device,
            _duration(cost.seconds),
            f"{cost.images:,}".replace(",", " "),
            f"{cost.images / cost.seconds:.1f}" if cost.seconds > 0 else NOTHING,
            NOTHING if cost.matrix_rate_share is None else f"{100 * cost.matrix_rate_share:.0f} %",
        )
        for cost in costs
    ]
    whole = (
        "all",
        "",
        _duration(sum(cost.seconds for cost in costs)),
        f"{sum(cost.images for cost in costs):,}".replace(",", " "),
        "",
        "",
    )
    head = ("stage", "device", "time", "images", "images/s", "of bf16 rate")
    return element("section", element("h2", "Cost"), table(head, [*rows, whole], words=(0, 1)))


def origin_section(results: Results) -> Markup | None:
    """Show data sets with their licences, commits and commands."""
    parts: list[str] = []
    if results.data:
        rows = [(data.name, data.role, data.licence, str(data.pictures)) for data in results.data]
        parts.append(table(("data set", "used as", "licence", "pictures"), rows, words=(0, 1, 2)))
    for origin in results.provenance:
        parts.append(element("p", f"Commit {origin.commit} on {origin.machine}:"))
        parts.append(element("pre", "\n".join(origin.commands)))
    return element("section", element("h2", "Where it comes from"), *parts) if parts else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value == round(value) and abs(value) >= 1 else f"{value:.4g}"
