"""Make a data set (HDF5) of a LeRobotDataset (format v3.0).

  vla from-lerobot out/lerobot --out out/data.h5
  vla from-lerobot DIR --out out/data.h5 --contract robot.yaml --map observation.images.front=image

Nothing is resampled: its frames per second must be the contract's rate. Pictures are cropped and
resized to the contract's. Reading videos needs PyAV (python3 -m pip install av).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vla_bringup.resources import default_contract

HELP = "a LeRobotDataset to a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, help="folder of the LeRobotDataset")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="HDF5 file to make")
    parser.add_argument(
        "--contract",
        type=Path,
        metavar="FILE",
        help="what the rows are to be (default: that of the export, else the shipped one)",
    )
    parser.add_argument(
        "--map",
        nargs="+",
        action="extend",
        default=[],
        metavar="FEATURE=KEY",
        help="the feature to read for a stream, for action or for dock_pose, such as "
        "observation.images.front=image",
    )
    for name, share in (("validation", 0.1), ("test", 0.05)):
        parser.add_argument(
            f"--{name}-fraction",
            type=float,
            default=share,
            metavar="F",
            help=f"share of the episodes that is kept for {name} where the LeRobotDataset has no "
            "splits but train (default %(default)s)",
        )
    parser.add_argument("--split-seed", type=int, default=0, metavar="S", help="of that choice")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_core.contract import Contract
    from vla_training.dataset.head import SplitChoice
    from vla_training.lerobot.importing import contract_of, import_dataset
    from vla_training.lerobot.mapping import parse_pairs

    pairs = parse_pairs(args.map)
    contract = None if args.contract else contract_of(args.folder)
    summary = import_dataset(
        args.folder,
        args.out,
        contract or Contract.load(args.contract or default_contract()),
        features=pairs,
        split=SplitChoice(args.validation_fraction, args.test_fraction, args.split_seed),
        progress=not args.json,
    )
    if args.json:
        figures = {
            "path": str(summary.path),
            "episodes": summary.episodes,
            "split_episodes": dict(summary.split_episodes),
            "frames": summary.frames,
            "features": dict(summary.features),
            "ignored": summary.ignored,
            "duration_s": summary.duration_s,
        }
        print(json.dumps(figures, indent=2))
        return 0
    if summary.ignored:
        print(f"not read: {', '.join(summary.ignored)}")
    split = ", ".join(f"{count} {name}" for name, count in summary.split_episodes.items())
    print(
        f"{summary.path}: {summary.episodes} episodes ({split}), {summary.frames} frames, in "
        f"{summary.duration_s:.1f} s"
    )
    return 0
