"""Dock the simulated robot a few times with the shipped policy, and show how it went.

Simulator, policy and recorder run as processes of a ROS graph of their own and are reset to
held-out starts. Left in the output folder: results.md, .json and .csv, docking.gif, paths.png,
one bag per run, and what the nodes printed (graph.log). Exit code 1 if a run did not dock.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vla_bringup.resources import default_contract, default_policy

HELP = "dock a few times and leave a table, a plot and a video"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--runs", type=_positive, default=5, help="dockings (default %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("out/demo"), help="folder (default %(default)s)"
    )
    parser.add_argument("--policy", type=Path, default=default_policy(), help="policy bundle")
    parser.add_argument(
        "--contract", type=Path, default=default_contract(), help="robot's contract"
    )
    parser.add_argument("--suite", default="nominal", help="suite (default %(default)s)")
    parser.add_argument(
        "--seed",
        type=int,
        default=1_000_000,
        help="of the first run (default %(default)s); from 1000000 on, no training has seen them",
    )
    parser.add_argument("--no-video", action="store_true", help="leave the video out")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_bringup.demo.program import DemoOptions, run_demo

    return run_demo(
        DemoOptions(
            runs=args.runs,
            out=args.out,
            policy=args.policy.absolute(),
            contract=args.contract.absolute(),
            suite=args.suite,
            seed=args.seed,
            video=not args.no_video,
        )
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {number}")
    return number
