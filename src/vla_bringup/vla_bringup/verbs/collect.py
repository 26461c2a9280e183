"""Have the scripted expert demonstrate in simulation, and record it.

  vla collect --episodes 300 --out out/demonstrations
  vla collect --episodes 300 --out out/pairs --goals every --suite nominal:0.7,wide_start:0.3

Simulator, expert and recorder run as processes of a ROS graph, in lock-step and as fast as the
machine can. One rosbag2 bag per episode; episodes in which the expert did not dock are kept and
labelled. With --goals every, each start is demonstrated once for every station of its scene, so
that nothing but the sentence tells where to go. Run again to go on after an interruption, or with
more --episodes to extend.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from vla_bringup.resources import default_contract

HELP = "record demonstrations of the scripted expert"
MAX_DEFAULT_JOBS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--episodes", type=int, required=True, metavar="N", help="how many starts")
    parser.add_argument("--out", type=Path, required=True, help="folder that receives the bags")
    parser.add_argument(
        "--suite",
        action="append",
        metavar="NAME[:SHARE]",
        help="suite; several, given again or with commas, are mixed by their shares (default "
        "nominal)",
    )
    parser.add_argument(
        "--goals",
        choices=("one", "every"),
        default="one",
        help="demonstrate each start for the goal that is drawn, or for every station "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first start (default %(default)s)"
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=1.0,
        metavar="F",
        help="scale of the disturbance of what is executed (default %(default)s)",
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=1.5,
        metavar="S",
        help="seconds that are recorded at the dock (default %(default)s)",
    )
    jobs = min(os.cpu_count() or 1, MAX_DEFAULT_JOBS)
    parser.add_argument(
        "--jobs", type=int, default=jobs, metavar="J", help="simulators (default %(default)s)"
    )
    parser.add_argument(
        "--contract", type=Path, default=default_contract(), help="robot's contract"
    )
    parser.add_argument(
        "--storage",
        choices=("mcap", "sqlite3"),
        default="mcap",
        help="of the bags (default %(default)s)",
    )
    parser.add_argument(
        "--compression",
        choices=("none", "zstd"),
        default="none",
        help="of MCAP bags (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_bringup.collection import CollectionOptions, collect

    options = CollectionOptions(
        episodes=args.episodes,
        out=args.out,
        contract=args.contract,
        suite=",".join(args.suite or ["nominal"]),
        goals=args.goals,
        seed=args.seed,
        noise=args.noise,
        settle_s=args.settle,
        jobs=args.jobs,
        storage=args.storage,
        compression=args.compression,
    )
    try:
        summary = collect(options, show_progress=not args.json)
    except KeyboardInterrupt:
        print("vla collect: interrupted; run it again to go on", file=sys.stderr)
        raise
    figures = summary.to_dict()
    if args.json:
        print(json.dumps(figures))
    else:
        print(
            f"{figures['episodes']} episodes ({figures['successes']} docked) in {args.out}, "
            f"{figures['size_bytes'] / 1e6:.0f} MB"
        )
        if summary.recorded:
            print(
                f"recorded {summary.recorded} of them in {summary.wall_s:.0f} s, "
                f"{figures['ticks_per_s']:.0f} control periods per second"
            )
    return 0
