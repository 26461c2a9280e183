"""Compare two evaluations of the same seeds: which policy is better, and is that more than chance?

  vla evaluate --policy out/first --json a.json
  vla evaluate --policy out/second --json b.json
  vla compare a.json b.json

Both files must be of the same suites and seeds. Successes are compared by the exact McNemar test,
errors and times over the seeds at which both docked by a bootstrap of the differences.
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from pathlib import Path

HELP = "two evaluations seed by seed: better, equal or undecided"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("a", type=Path, metavar="A.json", help="of `vla evaluate --json`")
    parser.add_argument("b", type=Path, metavar="B.json", help="another one")
    parser.add_argument(
        "--common", action="store_true", help="use the suites and seeds that both files have"
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=2.0,
        metavar="POINTS",
        help="difference of success rates that does not matter (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    import json

    from vla_training.errors import EvaluationError
    from vla_training.evaluation.compare import compare
    from vla_training.evaluation.conclusions import SCOPE, conclusions, metric_row

    if not 0.0 <= args.margin <= 100.0:
        raise EvaluationError(f"--margin is {args.margin}, expected 0 to 100 points")
    margin = args.margin / 100.0
    comparisons = compare(args.a, args.b, common=args.common)
    if args.json:
        suites = {
            each.suite: {**each.to_dict(), "conclusions": conclusions(each, margin)}
            for each in comparisons
        }
        document = {"a": str(args.a), "b": str(args.b), "suites": suites, "scope": SCOPE}
        print(json.dumps(document, indent=1))
        return 0
    print(f"A  {args.a} ({comparisons[0].policies[0]})")
    print(f"B  {args.b} ({comparisons[0].policies[1]})")
    for each in comparisons:
        print(f"\n{each.suite}")
        for metric in each.metrics:
            name, text = metric_row(metric)
            print(f"  {name:<24} {text}")
        for sentence in conclusions(each, margin):
            print(_paragraph(sentence, "  - "))
    print(f"\n{_paragraph(SCOPE)}")
    return 0


def _paragraph(text: str, mark: str = "") -> str:
    width = min(100, shutil.get_terminal_size().columns)
    return textwrap.fill(
        text, width, initial_indent=mark, subsequent_indent=" " * len(mark), break_on_hyphens=False
    )
