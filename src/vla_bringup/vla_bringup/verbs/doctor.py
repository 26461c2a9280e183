"""Print what this machine has, what is missing, and the remedy.

Exit code 1 if something is missing that the demo needs; hints do not count.
"""

from __future__ import annotations

import argparse
import json

HELP = "what this machine has and what is missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from rich.console import Console

    from vla_bringup.doctor import Status, examine

    with Console(stderr=True).status("looking at this machine ..."):
        findings = list(examine())
    missing = [finding for finding in findings if finding.status is Status.MISSING]
    if args.json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        from vla_bringup.doctor_table import print_findings

        print_findings(findings)
    return 1 if missing else 0
