"""Fine-tune a policy by its own success in simulation, and keep the result only if it helps.

  vla finetune out/training --out out/finetune
  vla finetune out/training --out out/finetune --iterations 100 --set drive.suite=wide_start

The policy drives with noise on its chunks, and learns by PPO from what went better than expected,
held close to what it was. At the end both drive the same episodes, and a paired test decides:
checkpoint.pt of the folder is the tuned policy if it is better, else the one that was begun with.
A run that was interrupted goes on with --resume.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "a policy to a better one, by reinforcement learning in simulation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "checkpoint", type=Path, help="of `vla train`, or its folder: the policy to begin with"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/finetune"), help="folder (default %(default)s)"
    )
    parser.add_argument("--iterations", type=int, metavar="N", help="replaces the default")
    parser.add_argument("--seed", type=int, metavar="S", help="replaces the default")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML with values to begin with"
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="replaces values")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's state")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that drive (default: one per core)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_training.reinforcement.config import load_finetune_config
    from vla_training.reinforcement.finetuner import finetune

    config = load_finetune_config(
        args.checkpoint,
        args.out,
        file=args.config,
        overrides=args.set,
        iterations=args.iterations,
        seed=args.seed,
    )
    result = finetune(config, resume=args.resume, workers=args.workers, progress=not args.json)
    if args.json:
        figures = {
            "checkpoint": str(result.checkpoint),
            "tuned": str(result.tuned),
            "iterations": result.iterations,
            "tuned_iteration": result.tuned_iteration,
            "episodes": result.episodes,
            "duration_s": result.duration_s,
            **result.verdict.to_dict(),
        }
        print(json.dumps(figures, indent=2))
        return 0
    print(
        f"{result.tuned}: {result.tuned_iteration} of {result.iterations} iterations, "
        f"{result.episodes} episodes in {result.duration_s:.0f} s"
    )
    print(result.verdict.reason)
    which = "the tuned policy" if result.verdict.kept else "the policy that was begun with"
    print(f"{result.checkpoint}: {which}")
    return 0
