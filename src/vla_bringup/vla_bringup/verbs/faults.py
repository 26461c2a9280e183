"""Break one thing at a time while the policy drives, and measure how soon the robot stands.

  vla faults --trials 200 --json out/faults.jsonl
  vla faults --trials 2000 --seed 7 --json out/faults.jsonl --resume
  vla faults --kinds scan_frozen emergency_stop --trials 20
  vla faults --list

The policy node runs as it does on a robot, with its processes; sensors, clock, policy server and
observer are processes of the campaign. A trial is unsafe when the zero comes later than 100 ms
after the fault (or after the moment from which the fault can be noticed, see --list), or when
anything but zero follows without a new goal. To repeat one: --trials 1 --kinds KIND --seed SEED.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vla_bringup.resources import default_contract, default_policy

HELP = "fault campaign against the policy node"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--trials", type=_positive, default=100, metavar="N", help="how many (default %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="of all that is drawn (default %(default)s)",
    )
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="faults (default: all)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="results, a line of JSON for each trial"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with FILE, where the campaign was interrupted"
    )
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="begin no further trial after this time"
    )
    parser.add_argument(
        "--policy",
        type=Path,
        default=default_policy(),
        metavar="DIR",
        help="bundle that drives (default: shipped one)",
    )
    parser.add_argument(
        "--contract",
        type=Path,
        default=default_contract(),
        metavar="FILE",
        help="of the robot (default: shipped one)",
    )
    parser.add_argument(
        "--logs", type=Path, metavar="DIR", help="output of all processes (default: thrown away)"
    )
    parser.add_argument("--list", action="store_true", help="list the faults, and run none")


def run(args: argparse.Namespace) -> int:
    """Run the verb; 1 if a trial was unsafe or could not be carried out."""
    from vla_bringup.faults.program import list_kinds, run_faults

    if args.list:
        print(list_kinds(args.contract))
        return 0
    return run_faults(
        trials=args.trials,
        seed=args.seed,
        kinds=args.kinds,
        path=args.json,
        resume=args.resume,
        minutes=args.minutes,
        policy=args.policy,
        contract=args.contract,
        logs=args.logs,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value
