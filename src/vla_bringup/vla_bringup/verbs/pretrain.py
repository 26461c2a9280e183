"""Pre-train the vision of a policy on frames without labels: hidden patches are to be guessed.

  vla pretrain out/demonstrations.h5 --out out/pretraining
  vla train out/demonstrations.h5 --set initial=out/pretraining/checkpoint.pt

Frames of episodes that failed, or whose actions are unknown, are as good as any other.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

HELP = "frames without labels to vision weights to begin with"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("dataset", type=Path, help="HDF5 file from `vla convert`")
    parser.add_argument(
        "--out", type=Path, default=Path("out/pretraining"), help="folder (default %(default)s)"
    )
    parser.add_argument(
        "--preset",
        default="docking",
        help="name or YAML file of `vla train`, whose model it is for (default %(default)s)",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="replaces the default")
    parser.add_argument("--seed", type=int, metavar="S", help="replaces the default")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="replaces values")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_training.pretraining import pretrain
    from vla_training.pretraining_config import load_pretraining_config

    config = load_pretraining_config(
        args.dataset,
        args.out,
        preset=args.preset,
        overrides=args.set,
        steps=args.steps,
        seed=args.seed,
    )
    result = pretrain(config, progress=not args.json)
    if args.json:
        figures = {**dataclasses.asdict(result), "checkpoint": str(result.checkpoint)}
        print(json.dumps(figures, indent=2))
        return 0
    share = result.metrics["masked_error"] / result.metrics["masked_error_of_mean"]
    print(
        f"{result.checkpoint}: {result.steps} steps on {result.frames} frames in "
        f"{result.duration_s:.0f} s; hidden pixels are guessed to {share:.0%} of the error of the "
        "mean colour"
    )
    return 0
