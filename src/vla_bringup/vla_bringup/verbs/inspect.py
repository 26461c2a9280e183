"""Show what is in a bag, and judge it by a contract.

  vla inspect demonstrations/episode_000000
  vla inspect demonstrations --json

A folder of bags is inspected bag by bag. Exit code 1 if one of them is damaged or violates the
contract.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "what is in a bag, and whether it fits the contract"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "bags", nargs="+", type=Path, metavar="BAG", help="folder of a bag, or a folder of bags"
    )
    parser.add_argument(
        "--contract", type=Path, metavar="FILE", help="judge by this one (default: the bag's own)"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_core.contract import Contract
    from vla_recorder.bag_contents import find_bags
    from vla_recorder.bag_inspection import inspect_bag

    contract = Contract.load(args.contract) if args.contract else None
    paths = [bag for path in args.bags for bag in find_bags(path)]
    inspections = []
    for path in paths:
        inspection = inspect_bag(path, contract)
        inspections.append(inspection)
        if not args.json:
            from rich.console import Console

            from vla_recorder.bag_table import print_inspection

            print_inspection(Console(), inspection)
    ok = all(inspection.ok for inspection in inspections)
    if args.json:
        print(json.dumps({"ok": ok, "bags": [i.to_dict() for i in inspections]}, indent=2))
    elif len(inspections) > 1:
        good = sum(inspection.ok for inspection in inspections)
        print(f"{good} of {len(inspections)} bags are sound")
    return 0 if ok else 1
