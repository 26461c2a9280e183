"""Calibrate the confidence of a policy: what is familiar to it, and when it shall be in doubt.

  vla calibrate out/policy --data out/all.h5
  vla calibrate out/policy --data out/all.h5 --episodes 400 --false-alarms 0.005

Statistics of the network's features on training frames, limits from familiar simulated episodes,
and the rates of false alarms and misses go into the bundle, which is rewritten. On a robot the
policy node then publishes a score, see the parameter confidence_action.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HELP = "when a policy shall doubt itself: limits and rates into its bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bundle", type=Path, help="folder that `vla export` wrote")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="HDF5", help="data set that it was trained on"
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=10_000,
        metavar="N",
        help="training frames to use at most (default %(default)s)",
    )
    parser.add_argument(
        "--episodes",
        type=int,
        default=100,
        metavar="N",
        help="familiar episodes that set the limits (default %(default)s)",
    )
    parser.add_argument(
        "--false-alarms",
        type=float,
        default=0.02,
        metavar="SHARE",
        help="of familiar episodes (default %(default)s)",
    )
    parser.add_argument(
        "--check-episodes",
        type=int,
        default=60,
        metavar="N",
        help="further ones, to count false alarms in (default %(default)s)",
    )
    parser.add_argument(
        "--anomaly-episodes",
        type=int,
        default=12,
        metavar="N",
        help="episodes with each anomaly, to count misses in (default %(default)s)",
    )
    parser.add_argument(
        "--suite", default="nominal", metavar="NAME", help="of familiar episodes (default nominal)"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--json", action="store_true", help="print limits and rates as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_training.confidence.calibrate import CalibrationOptions, calibrate

    options = CalibrationOptions(
        frames=args.frames,
        episodes=args.episodes,
        check_episodes=args.check_episodes,
        anomaly_episodes=args.anomaly_episodes,
        false_alarms=args.false_alarms,
        suite=args.suite,
        jobs=args.jobs,
    )
    figures = calibrate(args.bundle, args.data, options, progress=not args.json).manifest.confidence
    if args.json:
        print(json.dumps(figures, indent=1))
        return 0
    print("\n".join(_table(figures)))
    return 0


def _table(figures: dict[str, Any]) -> list[str]:
    """The rates as Markdown, as the documentation has them."""
    lines = ["| familiar episodes | with an alarm | alarms per hour |", "|---|---|---|"]
    for name in ("calibration", "check"):
        found = figures[name]
        if found["episodes"]:
            share = f"{found['with_alarm']} of {found['episodes']}"
            lines.append(f"| {name} | {share} | {found['alarms_per_hour']:.1f} |")
    if not figures["anomalies"]:
        return lines
    lines += [
        "",
        "| what is wrong | missed | 95 % interval | told after | by |",
        "|---|---|---|---|---|",
    ]
    for name, found in figures["anomalies"].items():
        missed = f"{found['missed']} of {found['episodes']}"
        interval = f"{found['wilson_low']:.0%} to {found['wilson_high']:.0%}"
        delay = "-" if found["delay_s"] is None else f"{found['delay_s']:.1f} s"
        lines.append(f"| {name} | {missed} | {interval} | {delay} | {found['told_by'] or '-'} |")
    return lines
