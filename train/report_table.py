"""What each step gave, as a table of text: for a terminal, for the log of experiments.

In: `Results`.  Out: Markdown, a row a method, a column a place and metric, means over seeds.
"""

from train.confidence import markdown_table
from train.report_results import Results
from train.report_summary import Table, tables


def what_each_step_gave(results: Results) -> str:
    """Write the table; in brackets the share closed of the gap from source-only to the oracle."""
    measured = tables(results.rows, results.higher_is_better)
    methods = list(dict.fromkeys(row.method for row in results.rows))
    head = ("variant", "seeds", *(f"{table.domain}: {table.metric}" for table in measured))
    pairs = {(row.method, row.seed) for row in results.rows}
    seeds = {method: sum(one == method for one, _ in pairs) for method in methods}
    rows = [
        (method, str(seeds[method]), *(_cell(table, method) for table in measured))
        for method in methods
    ]
    return markdown_table(head, rows)


def _cell(table: Table, method: str) -> str:
    summary = table.of(method)
    if summary is None:
        return "-"
    said = f"{summary.mean.value:.2f}"
    if summary.mean.interval is not None:
        low, high = summary.mean.interval
        said += f" [{low:.2f}, {high:.2f}]"
    if summary.gap_closed is not None:
        said += f" ({summary.gap_closed.value:.0%})"
    return said
