"""Watch the simulated robot drive: on a page, in a window, as a video, or as a line per episode.

  vla sim --view                              # the expert, in real time, until Ctrl-C
  vla sim --policy out/policy --view --seed 7
  vla sim --policy out/policy --video run.mp4
  vla sim --suite wide_start --episodes 20    # no pictures, as fast as the machine can

In lock-step and without ROS: the robot waits for its driver. The page is for this machine alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "watch an episode of the simulator, or run some without pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--view",
        nargs="?",
        const="auto",
        choices=("auto", "page", "window"),
        help="show it in real time on a page; with a display (auto, window) in a window, too",
    )
    parser.add_argument("--video", type=Path, metavar="FILE", help="write FILE.mp4 or FILE.gif")
    parser.add_argument("--suite", default="nominal", help="default %(default)s")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="first one (default %(default)s)"
    )
    parser.add_argument(
        "--episodes",
        type=_positive,
        metavar="N",
        help="how many (default: 1, with --view without end)",
    )
    parser.add_argument(
        "--policy",
        default="expert",
        help="who drives: a bundle, `expert`, `fiducial` or `scan_matching` (default %(default)s)",
    )
    parser.add_argument(
        "--instruction", default="", metavar="TEXT", help="tell the policy this instead"
    )
    parser.add_argument(
        "--station",
        type=_index,
        metavar="K",
        help="command this one, counted from 0 at the left (default: as drawn)",
    )
    parser.add_argument(
        "--port", type=int, default=0, metavar="P", help="of the page (default: any free one)"
    )
    parser.add_argument("--json", action="store_true", help="print the episodes as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_bringup.simulation_view import SimulationView, watch

    return watch(
        SimulationView(
            policy=args.policy,
            suite=args.suite,
            seed=args.seed,
            episodes=args.episodes,
            instruction=args.instruction,
            station=args.station,
            view=args.view,
            video=args.video,
            port=args.port,
            as_json=args.json,
        )
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {number}")
    return number


def _index(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, received {number}")
    return number
