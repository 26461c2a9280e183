"""Back out of the charging station, along the approach line, and see that it does not charge.

  vla undock

Exit code 0 if the robot left the dock, 1 if it did not. Ctrl-C cancels the goal.
"""

from __future__ import annotations

import argparse
import json
import sys

HELP = "back out of the charging station"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--distance", type=float, default=0.0, metavar="M", help="way out (0: the server's)"
    )
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="S", help="longest undocking (%(default)g)"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=10.0,
        metavar="S",
        help="how long to look for the docking server (default %(default)g)",
    )
    parser.add_argument("--namespace", default="", help="namespace of the robot")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_bringup.dock_client import undock_once
    from vla_bringup.dock_display import describe_undocked, result_as_dict

    result = undock_once(
        distance_m=args.distance,
        timeout_s=args.timeout,
        server_timeout_s=args.wait,
        namespace=args.namespace,
        show_progress=not args.json,
    )
    if args.json:
        print(json.dumps(result_as_dict(result)))
    elif result.success:
        print(describe_undocked(result))
    else:
        print(f"vla undock: error: {describe_undocked(result)}", file=sys.stderr)
    return 0 if result.success else 1
