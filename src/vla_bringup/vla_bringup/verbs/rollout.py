"""Drive episodes in simulation, without ROS, straight into a data set.

  vla rollout --out out/looks.h5 --episodes 2000 --goals every --starts path --looks 8 --duration 1
  vla rollout --out out/full.h5 --episodes 300 --suite nominal:0.7,wide_start:0.3
  vla rollout --out out/visited.h5 --episodes 100 --seed 5000 --driver policy --policy out/policy

The rows are those that `vla convert` makes of `vla collect`'s bags: what the policy node would see
at each control tick, and the expert's clean command there, whoever drives. With --goals every,
each start is driven once for every station of its scene; with --starts path, episodes begin on
the expert's way to any of them, with --starts dock close to one, aside and crooked. Seeds from
1000000 on and suites for evaluation are refused. Run again to go on after an interruption, or with
more --episodes to extend.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vla_bringup.resources import default_contract

HELP = "simulated episodes straight to a data set, without ROS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")
    parser.add_argument("--episodes", type=int, required=True, metavar="N", help="how many scenes")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the first scene (default %(default)s)"
    )
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
        help="drive each start for the goal that is drawn, or for every station (default "
        "%(default)s)",
    )
    parser.add_argument(
        "--starts",
        choices=("suite", "path", "dock"),
        default="suite",
        help="begin where the suite does, on the expert's ways, or close to a station, aside and "
        "crooked (default %(default)s)",
    )
    parser.add_argument(
        "--looks",
        type=int,
        metavar="K",
        help="starts per scene with --starts path and dock (default 8)",
    )
    parser.add_argument(
        "--duration",
        type=float,
        metavar="S",
        help="end each episode after so many seconds (default: when it is docked or has failed)",
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=1.5,
        metavar="S",
        help="seconds that are kept at the dock (default %(default)s)",
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=1.0,
        metavar="F",
        help="scale of the disturbance of what the expert executes (default %(default)s)",
    )
    _add_policy_arguments(parser)
    for name, share in (("validation", 0.1), ("test", 0.05)):
        parser.add_argument(
            f"--{name}-fraction",
            type=float,
            default=share,
            metavar="F",
            help=f"share of the scenes that is kept for {name} (default %(default)s)",
        )
    parser.add_argument("--split-seed", type=int, default=0, metavar="S", help="of that choice")
    parser.add_argument(
        "--contract", type=Path, default=default_contract(), help="robot's contract"
    )
    parser.add_argument(
        "--workers",
        "--jobs",
        type=int,
        metavar="N",
        help="processes (default: one per core)",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _add_policy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--driver",
        choices=("expert", "policy"),
        default="expert",
        help="who drives; the labels are the expert's (default %(default)s)",
    )
    parser.add_argument(
        "--policy", type=Path, metavar="PATH", help="bundle or checkpoint, with --driver policy"
    )
    parser.add_argument(
        "--expert-share",
        type=float,
        default=0.0,
        metavar="F",
        help="share of the time in which the expert takes over (default %(default)s)",
    )
    parser.add_argument(
        "--segment",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds between two draws of who drives (default %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_core.contract import Contract
    from vla_core.errors import VlaError
    from vla_simulation.suite_mix import SuiteMix
    from vla_training.dataset.head import SplitChoice
    from vla_training.rollouts.options import RolloutOptions
    from vla_training.rollouts.policies import choose_policy
    from vla_training.rollouts.rollout import rollout

    if (args.driver == "policy") != (args.policy is not None):
        raise VlaError(
            f"driver is {args.driver} and policy {args.policy}, expected --driver policy and "
            "--policy PATH together, or neither"
        )
    contract = Contract.load(args.contract)
    has_looks = args.starts != "suite"
    options = RolloutOptions(
        contract=contract,
        mix=SuiteMix.parse(",".join(args.suite or ["nominal"])),
        goals=args.goals,
        starts=args.starts,
        looks=args.looks if args.looks is not None else 8 if has_looks else 1,
        duration_s=args.duration,
        settle_s=args.settle,
        noise=args.noise,
        policy=None if args.policy is None else choose_policy(args.policy, contract),
        expert_share=args.expert_share,
        segment_s=args.segment,
    )
    summary = rollout(
        args.out,
        range(args.seed, args.seed + args.episodes),
        options,
        split=SplitChoice(args.validation_fraction, args.test_fraction, args.split_seed),
        workers=args.workers,
        progress=not args.json,
    )
    figures = summary.to_dict()
    if args.json:
        print(json.dumps(figures))
        return 0
    split = ", ".join(f"{count} {name}" for name, count in summary.split_episodes.items())
    ends = ", ".join(f"{count} {name}" for name, count in sorted(summary.reasons.items()))
    print(
        f"{summary.path}: {summary.episodes} episodes ({split}) of {summary.scenes} scenes, "
        f"{summary.frames} frames; {ends}"
    )
    if summary.new_frames:
        print(
            f"drove {summary.new_frames} control periods in {summary.wall_s:.1f} s, "
            f"{figures['ticks_per_s']:.0f} per second; {summary.reused} scenes were there already"
        )
    return 0
