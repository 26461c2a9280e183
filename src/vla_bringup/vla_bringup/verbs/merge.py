"""Make one data set of several, without copying their rows.

  vla merge out/demonstrations.h5 out/looks.h5 --out out/both.h5

Episodes stay in their splits; a scene that one of the data sets keeps from training is kept from
training in all. The rows are linked, so the new data set stays whole when the others are deleted.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "several data sets as one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "datasets",
        nargs="+",
        type=Path,
        metavar="DATASET",
        help="HDF5 files from `vla convert`, `vla rollout` or `vla merge`",
    )
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_training.dataset.merging import merge

    summary = merge(args.datasets, args.out)
    if args.json:
        print(json.dumps(summary.to_dict()))
        return 0
    split = ", ".join(f"{count} {name}" for name, count in summary.split_episodes.items())
    print(f"{summary.path}: {summary.episodes} episodes ({split}), {summary.frames} frames")
    if summary.twins:
        print(f"{summary.twins} parts were in several of the data sets; each is in it once")
    if summary.moved:
        print(f"{summary.moved} scenes were held out in one of the data sets and now are in all")
    return 0
