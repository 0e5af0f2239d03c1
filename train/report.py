"""`python -m train report`: results of training and evaluation in, one HTML page out.

In: JSON files of `train.report_files`, from one or many runs, and rules in a file of the same form.
Out: a page that needs nothing but itself; its table and verdict on standard output.
"""

import argparse
import sys
from pathlib import Path

from train.report_files import read_results
from train.report_page import decision, report, seen_sentence
from train.report_summary import tables
from train.report_table import what_each_step_gave
from train.report_verdicts import verdicts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "results", type=Path, nargs="+", help="JSON files of results, and of rules for go or no-go"
    )
    parser.add_argument("--out", type=Path, required=True, help="the page to write, such as r.html")


def main(arguments: argparse.Namespace) -> None:
    """Write the page and say the verdict."""
    results = read_results(arguments.results)
    page = report(results)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    part = arguments.out.with_suffix(".part")
    part.write_text(page, encoding="utf-8")
    part.replace(arguments.out)
    judged = verdicts(results, tables(results.rows, results.higher_is_better))
    lines = [
        what_each_step_gave(results),
        "",
        decision(judged)[1],
        *(f"  {verdict.outcome.value}: {verdict.rule} ({verdict.reason})" for verdict in judged),
        seen_sentence(results.rows),
        f"Written: {arguments.out}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
