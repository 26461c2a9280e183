"""Run a driver in lock-step through simulated episodes and report how often it docks.

  vla evaluate --policy out/policy --suite nominal --episodes 100 --json out/evaluation.json
  vla evaluate --policy fiducial --suite nominal lighting --swap

Drivers that are no bundle: `expert` knows the true pose; `fiducial` and `scan_matching` are
classical peers. Seeds from 1000000 on are held out: no training has seen them.
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
        help="bundle, `expert`, `fiducial` or `scan_matching` (default: the shipped bundle)",
    )
    parser.add_argument(
        "--suite",
        nargs="+",
        default=["nominal"],
        metavar="NAME",
        help="one or more (default nominal)",
    )
    parser.add_argument(
        "--episodes", type=int, default=100, metavar="N", help="per suite (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=1_000_000, metavar="S", help="first one (default %(default)s)"
    )
    parser.add_argument(
        "--swap",
        action="store_true",
        help="run every seed with another station's sentence, too: does the robot obey?",
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
    parser.add_argument(
        "--camera",
        type=_size,
        default=(640, 480),
        metavar="WxH",
        help="image of `fiducial` in pixels (default 640x480)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report; - prints it")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    import json

    from vla_training.evaluation.evaluate import evaluate
    from vla_training.evaluation.report import summary_table, write_json

    to_stdout = args.json is not None and str(args.json) == "-"
    reports = {}
    for suite in args.suite:
        report = evaluate(
            args.policy,
            suite,
            args.episodes,
            args.seed,
            swap=args.swap,
            jobs=args.jobs,
            mode=args.mode,
            latency_ticks=args.latency_ticks,
            replan_steps=args.replan_steps,
            camera_px=args.camera,
            progress=not to_stdout,
        )
        reports[suite] = report.to_dict()
        if not to_stdout:
            if len(args.suite) > 1:
                print(suite)
            for name, text in summary_table(report):
                print(f"{name:<24} {text}")
    # One suite makes one report, several make one of reports by suite.
    several = {"policy": args.policy, "suites": reports}
    document = reports[args.suite[0]] if len(args.suite) == 1 else several
    if to_stdout:
        print(json.dumps(document, indent=1))
    elif args.json is not None:
        write_json(document, args.json)
    return 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}', expected WIDTHxHEIGHT, as 640x480") from None
