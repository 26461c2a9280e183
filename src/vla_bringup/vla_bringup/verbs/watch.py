"""Show what the robot's camera sees, live, on a page of this machine.

  vla watch                     # prints the address of the page; Ctrl-C ends it
  vla watch --namespace robot_1 --port 8090

For those who drive by keyboard: see where `vla teleop` drives. Works without RViz or Foxglove.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vla_bringup.resources import default_contract

HELP = "the robot's camera, live, in a browser"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--contract",
        type=Path,
        default=default_contract(),
        metavar="FILE",
        help="names the camera's topic",
    )
    parser.add_argument("--namespace", default="", help="namespace of the robot")
    parser.add_argument(
        "--port", type=int, default=0, metavar="P", help="of the page (default: any free one)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_bringup.camera_page import watch_camera
    from vla_core.contract import Contract

    return watch_camera(Contract.load(args.contract), namespace=args.namespace, port=args.port)
