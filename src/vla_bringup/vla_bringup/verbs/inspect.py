"""Show what is in a bag, and judge it by a contract.

  vla inspect demonstrations/episode_000000
  vla inspect demonstrations --json
  vla inspect demonstrations --repair
  vla inspect demonstrations --picture out/pictures

A folder of bags is inspected bag by bag. Exit code 1 if one of them is damaged or violates the
contract. --repair first finishes the bags whose recording was cut off: what is sound is kept, what
is not is put aside and named. It changes nothing about bags that were closed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vla_recorder.bag_driving import Driving
    from vla_recorder.bag_inspection import Inspection

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
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="DIR",
        help="write a PNG per bag here: frames, and velocities over time",
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
    inspections, drivings = [], []
    for path in paths:
        inspection = inspect_bag(path, contract)
        inspections.append(inspection)
        drivings.append(driving := _driving(inspection, args.picture))
        if not args.json:
            from rich.console import Console

            from vla_recorder.bag_table import print_inspection

            print_inspection(Console(), inspection, driving)
    ok = all(inspection.ok for inspection in inspections)
    if args.picture is not None:
        _write_pictures(args.picture, inspections, drivings)
    if args.json:
        bags = [
            {
                **inspection.to_dict(),
                "driving": None if driving is None else driving.to_dict(),
                **repaired.get(inspection.path, {}),
            }
            for inspection, driving in zip(inspections, drivings, strict=True)
        ]
        print(json.dumps({"ok": ok, "bags": bags}, indent=2))
    elif len(inspections) > 1:
        good = sum(inspection.ok for inspection in inspections)
        print(f"{good} of {len(inspections)} bags are sound")
    return 0 if ok else 1


def _driving(inspection: Inspection, picture: Path | None) -> Driving | None:
    """How a bag was driven; None where it cannot be read, or nobody knows what its topics mean."""
    from vla_recorder.bag_driving import FRAMES, read_driving

    contract = inspection.contract
    if inspection.contents is None or contract is None:
        return None
    frames = 0 if picture is None else FRAMES
    return read_driving(inspection.path, contract, inspection.topics, frames=frames)


def _write_pictures(
    folder: Path, inspections: list[Inspection], drivings: list[Driving | None]
) -> None:
    from vla_core import bag_metadata
    from vla_recorder.bag_picture import picture_name, write_picture

    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for inspection, driving in zip(inspections, drivings, strict=True):
        contract, contents = inspection.contract, inspection.contents
        if driving is None or contract is None or contents is None:
            reason = "it is not readable" if contents is None else "name a contract, --contract"
            print(f"vla inspect: no picture of {inspection.path}: {reason}", file=sys.stderr)
            continue
        title = f"{inspection.path.name}: {contents.custom.get(bag_metadata.INSTRUCTION, '')}"
        path = folder / picture_name(inspection.path, taken)
        write_picture(path, title, driving, contract.action)


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
