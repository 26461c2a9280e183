"""Train with many configurations and print how they did, the best first.

  vla sweep sweep.yaml --data out/demonstrations.h5 --out out/sweep --jobs 2

with a file such as

  preset: docking
  method: random            # or grid: every combination of lists
  trials: 16
  metric: loss              # of the validation episodes, or successes in simulation
  set: [steps=500]          # for all of them
  values:
    optimizer.learning_rate: {low: 3e-4, high: 3e-3, log: true}
    batch_size: [64, 128]

A sweep that was interrupted goes on where it was, in the middle of a training, too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "many trainings side by side, and which is best"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="YAML file")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="HDF5 file from `vla convert`"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/sweep"), help="folder (default %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="trainings at a time (default %(default)s)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask scheduler whose workers train instead"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_training.sweep_config import load_sweep
    from vla_training.sweeping import sweep, table_lines

    table = sweep(
        load_sweep(args.sweep),
        args.data,
        args.out,
        jobs=args.jobs,
        scheduler=args.scheduler,
        progress=not args.json,
    )
    print(json.dumps(table, indent=2) if args.json else "\n".join(table_lines(table)))
    return 0 if table["best"] else 1
