"""Make a data set (HDF5) of recorded demonstrations.

  vla convert out/demonstrations --out out/demonstrations.h5

Frames are aligned by header stamps with the functions that the policy node uses live.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vla_bringup.resources import default_contract

HELP = "bags to an HDF5 data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "bags", nargs="+", type=Path, metavar="BAG", help="bags, or folders of bags"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/demonstrations.h5"), help="default %(default)s"
    )
    parser.add_argument(
        "--contract", type=Path, default=default_contract(), metavar="FILE", help="what to read"
    )
    parser.add_argument(
        "--include",
        nargs="+",
        default=["success"],
        choices=("success", "failure", "unknown"),
        metavar="OUTCOME",
        help="outcomes that are wanted (default: success)",
    )
    parser.add_argument(
        "--validation-fraction",
        type=float,
        default=0.1,
        metavar="F",
        help="share of the episodes that is kept from training (default %(default)s)",
    )
    parser.add_argument("--split-seed", type=int, default=0, metavar="S", help="of that choice")
    parser.add_argument("--compression", choices=("lzf", "gzip"), help="of the images")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--strict", action="store_true", help="stop at the first damaged bag")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_core.contract import Contract
    from vla_training.conversion.pipeline import convert

    summary = convert(
        args.bags,
        args.out,
        Contract.load(args.contract),
        include=args.include,
        validation_fraction=args.validation_fraction,
        split_seed=args.split_seed,
        strict=args.strict,
        jobs=args.jobs,
        compression=args.compression,
        progress=not args.json,
    )
    skipped = [
        {"bag": str(bag.bag), "reason": bag.reason, "damaged": bag.damaged}
        for bag in summary.skipped
    ]
    if args.json:
        figures = {
            "path": str(summary.path),
            "episodes": summary.episodes,
            "training_episodes": summary.training_episodes,
            "validation_episodes": summary.validation_episodes,
            "frames": summary.frames,
            "late_messages": summary.late_messages,
            "skipped": skipped,
            "duration_s": summary.duration_s,
        }
        print(json.dumps(figures, indent=2))
        return 0
    for bag in skipped:
        print(f"left out {bag['bag']}: {bag['reason']}")
    print(
        f"{summary.path}: {summary.episodes} episodes ({summary.training_episodes} for training), "
        f"{summary.frames} frames, in {summary.duration_s:.1f} s"
    )
    return 0
