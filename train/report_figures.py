"""Charts of a report, each drawn twice: for a light page and for a dark one.

In: summaries, stages and reliabilities.  Out: `Chart`, two SVGs without a background.  They are
narrow, so that their words stay readable on a phone.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from train.report_results import ORACLE, SOURCE_ONLY, Honesty, Stage
from train.report_summary import Summary, Table

_WIDTH_IN: Final = 5.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours for one kind of page."""

    text: str
    quiet: str
    grid: str
    accent: str
    source: str
    oracle: str
    series: tuple[str, ...]


LIGHT: Final = Palette(
    text="#16202b",
    quiet="#566779",
    grid="#dfe5ec",
    accent="#0077a8",
    source="#b4530a",
    oracle="#0b8457",
    series=("#0077a8", "#b4530a", "#0b8457", "#7b3fb5", "#b3261e", "#566779"),
)
DARK: Final = Palette(
    text="#e8eef5",
    quiet="#8fa1b5",
    grid="#1d2936",
    accent="#4cc9f0",
    source="#ffb84d",
    oracle="#3ddc97",
    series=("#4cc9f0", "#ffb84d", "#3ddc97", "#c9a0ff", "#ff8a80", "#8fa1b5"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart in both colours."""

    light: bytes
    dark: bytes
    description: str
    """What somebody who cannot see it should know."""


def error_chart(table: Table) -> Chart:
    """Draw one row a method: a dot a seed, the mean, its interval; yardsticks as lines."""

    def draw(axes: Axes, palette: Palette) -> None:
        for yardstick, colour in ((SOURCE_ONLY, palette.source), (ORACLE, palette.oracle)):
            found = table.of(yardstick)
            if found is not None:
                axes.axvline(found.mean.value, color=colour, lw=1.2, ls=(0, (4, 3)), zorder=1)
        for row, summary in enumerate(table.methods):
            colour = _colour(summary, palette)
            if summary.mean.interval is not None:
                axes.plot(summary.mean.interval, (row, row), color=colour, lw=2.2, zorder=2)
            seeds = [value for _, value in summary.by_seed]
            axes.scatter(seeds, [row + 0.22] * len(seeds), s=9, color=palette.quiet, zorder=3)
            axes.scatter(summary.mean.value, row, s=46, color=colour, zorder=4)
        axes.set_yticks(range(len(table.methods)), [m.method for m in table.methods])
        axes.set_ylim(len(table.methods) - 0.5, -0.5)
        axes.set_xlabel(table.metric)
        axes.grid(axis="x", color=palette.grid, lw=0.8)
        axes.tick_params(axis="y", length=0)

    means = ", ".join(f"{m.method} {m.mean.value:.1f}" for m in table.methods)
    return _chart(
        draw,
        height_in=0.9 + 0.36 * len(table.methods),
        description=f"{table.metric} on {table.domain}: {means}",
    )


def stage_chart(stages: Sequence[Stage]) -> Chart:
    """Draw the error on every domain from stage to stage of one run."""
    domains = list(dict.fromkeys(domain for stage in stages for domain in stage.errors))

    def draw(axes: Axes, palette: Palette) -> None:
        for number, domain in enumerate(domains):
            known = [
                (place, stage.errors[domain])
                for place, stage in enumerate(stages)
                if domain in stage.errors
            ]
            colour = palette.series[number % len(palette.series)]
            axes.plot(*zip(*known, strict=True), "o-", color=colour, lw=1.8, ms=5, label=domain)
        axes.set_xticks(range(len(stages)), [stage.stage for stage in stages])
        axes.set_xlim(-0.3, len(stages) - 0.7)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(stages[0].metric)
        axes.grid(axis="y", color=palette.grid, lw=0.8)
        axes.legend(frameon=False, labelcolor=palette.text, fontsize=9)

    return _chart(
        draw, height_in=2.9, description=f"{stages[0].metric} after each stage of {stages[0].run}"
    )


def reliability_chart(found: Honesty) -> Chart:
    """Draw the share that was right over the score; on the diagonal scores mean what they say."""

    def draw(axes: Axes, palette: Palette) -> None:
        axes.plot((0, 1), (0, 1), color=palette.quiet, lw=1.2, ls=(0, (4, 3)))
        most = max(one.count for one in found.bins)
        scores = [one.mean_score for one in found.bins]
        rights = [one.share_right for one in found.bins]
        axes.plot(scores, rights, color=palette.accent, lw=1.6)
        sizes = [12 + 90 * one.count / most for one in found.bins]
        axes.scatter(scores, rights, s=sizes, color=palette.accent, zorder=3)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set_xlabel("score")
        axes.set_ylabel("share right")
        axes.grid(color=palette.grid, lw=0.8)

    return _chart(
        draw,
        height_in=3.4,
        width_in=3.6,
        description=f"{found.name}: expected calibration error {found.expected_error:.3f}",
    )


def _colour(summary: Summary, palette: Palette) -> str:
    return {SOURCE_ONLY: palette.source, ORACLE: palette.oracle}.get(summary.method, palette.accent)


def _chart(
    draw: Callable[[Axes, Palette], None],
    *,
    height_in: float,
    description: str,
    width_in: float = _WIDTH_IN,
) -> Chart:
    drawn = []
    for palette in (LIGHT, DARK):
        settings = mpl.rc_context(
            {
                "font.family": "DejaVu Sans",
                "font.size": 10.0,
                "svg.fonttype": "path",
                "svg.hashsalt": "edge-pose",  # names that do not change from run to run
                "axes.spines.top": False,
                "axes.spines.right": False,
                "text.color": palette.text,
                "axes.labelcolor": palette.text,
                "axes.edgecolor": palette.quiet,
                "xtick.color": palette.quiet,
                "ytick.color": palette.quiet,
                "xtick.labelcolor": palette.text,
                "ytick.labelcolor": palette.text,
            }
        )
        with settings:
            figure = Figure(figsize=(width_in, height_in), layout="constrained")
            axes = figure.add_subplot(facecolor="none")
            axes.set_axisbelow(True)
            draw(axes, palette)
            stream = io.BytesIO()
            figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
        drawn.append(stream.getvalue())
    return Chart(light=drawn[0], dark=drawn[1], description=description)
