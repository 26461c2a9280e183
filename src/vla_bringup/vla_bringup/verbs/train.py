"""Train a policy on a data set.

  vla train out/demonstrations.h5 --out out/training
  vla train out/demonstrations.h5 --set batch_size=64 model.width=48

The folder then holds the checkpoint, the whole configuration and the metrics. A run that was
interrupted goes on with --resume. Several processes on one machine train with --processes; under
torchrun or `accelerate launch`, which start them on several machines, the command is the same.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "a data set to a trained policy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("dataset", type=Path, help="HDF5 file from `vla convert`")
    parser.add_argument(
        "--out", type=Path, default=Path("out/training"), help="folder (default %(default)s)"
    )
    parser.add_argument(
        "--preset", default="docking", help="name or YAML file (default %(default)s)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="replaces the preset's")
    parser.add_argument("--seed", type=int, metavar="S", help="replaces the preset's")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="replaces values of the preset"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="train in so many processes here, one for each GPU (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_training.distribution import is_main_process, start_processes
    from vla_training.trainer import train
    from vla_training.training_checks import check_and_resolve
    from vla_training.training_config import load_training_config

    config = load_training_config(
        args.dataset,
        args.out,
        preset=args.preset,
        overrides=args.set,
        steps=args.steps,
        seed=args.seed,
    )
    if args.processes != 1:
        check_and_resolve(config, args.processes)
        return start_processes(args.processes, ["-m", "vla_bringup.cli", *_arguments(args)])
    result = train(config, resume=args.resume, progress=not args.json)
    if not is_main_process():
        return 0
    if args.json:
        figures = {
            "checkpoint": str(result.checkpoint),
            "steps": result.steps,
            "samples": result.samples,
            "parameters": result.parameters,
            "duration_s": result.duration_s,
            "samples_per_s": result.samples_per_s,
            "metrics": result.metrics,
            "best": str(result.best) if result.best else None,
            "selection": result.selection,
        }
        print(json.dumps(figures, indent=2))
        return 0
    print(
        f"{result.checkpoint}: {result.steps} steps, {result.samples} samples, "
        f"{result.parameters / 1e6:.2f} M parameters, in {result.duration_s:.0f} s "
        f"({result.samples_per_s:.0f} samples/s)"
    )
    for name, value in result.metrics.items():
        print(f"  {name:<28} {value:.5g}")
    if result.best:
        best = result.selection
        print(f"{result.best}: {best['successes']} docked, step {best['step']}")
    return 0


def _arguments(args: argparse.Namespace) -> list[str]:
    """The same command for each of the processes."""
    again = ["train", str(args.dataset), "--out", str(args.out), "--preset", args.preset]
    for flag in ("steps", "seed"):
        if getattr(args, flag) is not None:
            again += [f"--{flag}", str(getattr(args, flag))]
    if args.set:
        again += ["--set", *args.set]
    again += [f"--{flag}" for flag in ("resume", "json") if getattr(args, flag)]
    return again
