"""Begin another episode in the simulator of the running graph, and print its sentence.

  vla reset                     # another start, drawn from the training seeds
  vla reset --seed 7 --suite wide_start
  vla reset --seed 7 --goal 1   # the same scene, another station

For those who drive by hand: `vla up record driver:=none`, `vla teleop`, and this between episodes.
"""

from __future__ import annotations

import argparse
import json

HELP = "begin another episode in the running simulator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--seed", type=int, metavar="S", help="of scene and start (default: one that is drawn)"
    )
    parser.add_argument("--suite", default="", metavar="NAME", help="default: as before")
    parser.add_argument(
        "--goal",
        type=int,
        default=-1,
        metavar="K",
        help="command this station, counted from 0 at the left (default: as drawn)",
    )
    parser.add_argument("--namespace", default="", help="namespace of the simulator")
    parser.add_argument("--json", action="store_true", help="print the episode as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_bringup.simulator_client import begin_episode, draw_seed

    seed = draw_seed() if args.seed is None else args.seed
    episode = begin_episode(seed, suite=args.suite, goal=args.goal, namespace=args.namespace)
    if args.json:
        figures = {
            "seed": seed,
            "instruction": episode.instruction,
            "goal": episode.goal,
            "station_count": episode.station_count,
        }
        print(json.dumps(figures, ensure_ascii=False))
    else:
        stations = f"{episode.station_count} station{'s' * (episode.station_count > 1)}"
        print(f"seed {seed}, {stations}: {episode.instruction}")
    return 0
