"""Send a docking goal to the graph that runs in this ROS_DOMAIN_ID, and follow it.

  vla dock "dock at the orange charger"

Exit code 0 if the robot docked, 1 if it did not. Ctrl-C cancels the goal.
"""

from __future__ import annotations

import argparse
import json
import sys

HELP = "send one docking goal to the running graph"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("instruction", help="the sentence that the policy is told")
    parser.add_argument(
        "--timeout", type=float, default=0.0, metavar="S", help="longest docking (0: the server's)"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=10.0,
        metavar="S",
        help="how long to look for the docking server (default %(default)g)",
    )
    parser.add_argument("--namespace", default="", help="namespace of the robot")
    parser.add_argument(
        "--record", action="store_true", help="record it with the graph's recorder (record:=true)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_bringup.dock_client import dock_once
    from vla_bringup.dock_display import describe_result, result_as_dict

    outcome = dock_once(
        args.instruction,
        timeout_s=args.timeout,
        server_timeout_s=args.wait,
        namespace=args.namespace,
        record=args.record,
        show_progress=not args.json,
    )
    if args.json:
        print(json.dumps({**result_as_dict(outcome.result), "bag": str(outcome.bag or "")}))
    elif outcome.result.success:
        print(describe_result(outcome.result))
        if outcome.bag is not None:
            print(f"recorded {outcome.bag}")
    else:
        print(f"vla dock: error: {describe_result(outcome.result)}", file=sys.stderr)
    return 0 if outcome.result.success else 1
