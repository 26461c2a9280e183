"""Run a policy in lock-step through simulated episodes and report how often it docks.

  vla evaluate --policy out/policy --suite nominal --episodes 100 --json out/evaluation.json

Seeds from 1000000 on are held out: no training has seen them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vla_bringup.resources import default_policy

HELP = "success rate and errors over many simulated starts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--policy",
        default=str(default_policy()),
        help="bundle, or `expert` (default: the shipped bundle)",
    )
    parser.add_argument("--suite", default="nominal", help="default %(default)s")
    parser.add_argument(
        "--episodes", type=int, default=100, metavar="N", help="default %(default)s"
    )
    parser.add_argument(
        "--seed", type=int, default=1_000_000, metavar="S", help="first one (default %(default)s)"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument(
        "--mode",
        default="receding_horizon",
        choices=("open_loop", "receding_horizon", "temporal_ensemble"),
        help="how overlapping chunks become one action (default %(default)s)",
    )
    parser.add_argument(
        "--latency-ticks",
        type=int,
        default=1,
        metavar="N",
        help="control periods from a frame to its chunk (default %(default)s)",
    )
    parser.add_argument(
        "--replan-steps",
        type=int,
        default=2,
        metavar="N",
        help="control periods between two inferences (default %(default)s, as in the policy node)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report; - prints it")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    import json

    from vla_training.evaluation.evaluate import evaluate, summary_table

    to_stdout = args.json is not None and str(args.json) == "-"
    report = evaluate(
        args.policy,
        args.suite,
        args.episodes,
        args.seed,
        jobs=args.jobs,
        mode=args.mode,
        latency_ticks=args.latency_ticks,
        replan_steps=args.replan_steps,
        progress=not to_stdout,
    )
    if to_stdout:
        print(json.dumps(report.to_dict(), indent=1))
        return 0
    if args.json is not None:
        report.write_json(args.json)
    for name, text in summary_table(report):
        print(f"{name:<24} {text}")
    return 0
