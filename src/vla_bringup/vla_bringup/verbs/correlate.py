"""Say which offline metric tells how often a policy docks, by rank correlation over policies.

  vla evaluate --policy out/a --offline out/data.h5 --json a_offline.json   # and so on for b, c, d
  vla evaluate --policy out/a --episodes 200 --json a.json                  # and so on
  vla correlate --offline *_offline.json --closed-loop a.json b.json c.json d.json

Give both lists in the same order, at least four of each; checkpoints of one run at several steps
will do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "which offline metric tells how often a policy docks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--offline",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="of `vla evaluate --offline`",
    )
    parser.add_argument(
        "--closed-loop",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="of `vla evaluate`, of the same policies in the same order",
    )
    parser.add_argument(
        "--suite", default="nominal", metavar="NAME", help="whose success counts (default nominal)"
    )
    parser.add_argument("--json", action="store_true", help="print the correlations as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    import json

    from vla_training.evaluation.correlation import correlate, correlation_rows

    report = correlate(args.offline, args.closed_loop, args.suite)
    if args.json:
        print(json.dumps(report, indent=1))
        return 0
    for policy, rate in zip(report["policies"], report["success_rate"], strict=True):
        print(f"{policy}: docks in {rate:.1%}")
    for name, text in correlation_rows(report):
        print(f"{name:<32} {text}")
    return 0
