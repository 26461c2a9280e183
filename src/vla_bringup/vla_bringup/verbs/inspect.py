"""Show what is in a bag, and judge it by a contract.

  vla inspect demonstrations/episode_000000
  vla inspect demonstrations --json
  vla inspect demonstrations --repair

A folder of bags is inspected bag by bag. Exit code 1 if one of them is damaged or violates the
contract. --repair first finishes the bags whose recording was cut off: what is sound is kept, what
is not is put aside and named. It changes nothing about bags that were closed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HELP = "what is in a bag, and whether it fits the contract"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "bags", nargs="+", type=Path, metavar="BAG", help="folder of a bag, or a folder of bags"
    )
    parser.add_argument(
        "--contract", type=Path, metavar="FILE", help="judge by this one (default: the bag's own)"
    )
    parser.add_argument(
        "--repair", action="store_true", help="finish bags whose recording was cut off"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_core.contract import Contract
    from vla_recorder.bag_files import find_bags
    from vla_recorder.bag_inspection import inspect_bag

    contract = Contract.load(args.contract) if args.contract else None
    paths = [bag for path in args.bags for bag in find_bags(path)]
    repaired = _repair(paths, show=not args.json) if args.repair else {}
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
        bags = [{**i.to_dict(), **repaired.get(i.path, {})} for i in inspections]
        print(json.dumps({"ok": ok, "bags": bags}, indent=2))
    elif len(inspections) > 1:
        good = sum(inspection.ok for inspection in inspections)
        print(f"{good} of {len(inspections)} bags are sound")
    return 0 if ok else 1


def _repair(paths: list[Path], *, show: bool) -> dict[Path, dict[str, Any]]:
    """Finish what was not closed; what cannot be is told by the inspection and here."""
    from vla_recorder.bag_repair import repair_bag
    from vla_recorder.errors import BagError

    repaired: dict[Path, dict[str, Any]] = {}
    for path in paths:
        try:
            repair = repair_bag(path)
        except BagError as error:
            print(f"vla inspect: {error}", file=sys.stderr)
            continue
        if repair is not None:
            repaired[path] = {
                "repaired": {"messages": repair.messages, "cut_bytes": repair.cut_bytes}
            }
            if show:
                print(f"repaired {path}: {repair.text}")
    return repaired
