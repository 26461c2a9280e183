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
    check = figures["check"]
    print(f"{args.bundle}: calibrated in {figures['calibration']['episodes']} episodes")
    if check["episodes"]:
        print(f"  false alarms in {check['with_alarm']} of {check['episodes']} further episodes")
    for name, found in figures["anomalies"].items():
        delay = f"after {found['delay_s']} s by {found['told_by']}" if found["told_by"] else ""
        told = found["episodes"] - found["missed"]
        print(f"  {name:<28} told in {told:>3} of {found['episodes']} {delay}")
    return 0
