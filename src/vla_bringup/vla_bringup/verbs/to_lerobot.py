"""Write a data set (HDF5) as a LeRobotDataset (format v3.0).

  vla to-lerobot out/demonstrations.h5 --out out/lerobot

Pictures become PNG files within the tables, so that nothing is lost; videos are not written.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "a data set to a LeRobotDataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("data", type=Path, help="data set from `vla convert`")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--map",
        nargs="+",
        action="extend",
        default=[],
        metavar="FEATURE=KEY",
        help="name the feature of a stream, of action or of dock_pose, such as "
        "observation.images.front=image",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_training.lerobot.exporting import export_dataset
    from vla_training.lerobot.mapping import parse_pairs

    summary = export_dataset(
        args.data, args.out, features=parse_pairs(args.map), progress=not args.json
    )
    if args.json:
        figures = {
            "path": str(summary.path),
            "episodes": summary.episodes,
            "frames": summary.frames,
            "tasks": summary.tasks,
            "size_bytes": summary.size_bytes,
            "features": dict(summary.features),
            "duration_s": summary.duration_s,
        }
        print(json.dumps(figures, indent=2))
        return 0
    print(
        f"{summary.path}: {summary.episodes} episodes, {summary.frames} frames, {summary.tasks} "
        f"tasks, {summary.size_bytes / 1e6:.1f} MB, in {summary.duration_s:.1f} s"
    )
    return 0
