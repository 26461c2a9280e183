"""Show a recording in Rerun: camera, scan and path, commands, what the policy intended.

  vla view out/demo/bags/run_1
  vla view out/demo/bags/run_1 --out out/run_1.rrd    # without a display: a file for `rerun`

Every bag works whose messages are of the contract's types; it need not be of the recorder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "a bag in the Rerun viewer, or as a file for it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="folder of a bag, or its file")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.rrd", help="write this and open no window"
    )
    parser.add_argument("--json", action="store_true", help="with --out: print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_bringup.rerun_recording import show, write_recording

    if args.out is None:
        return show(args.bag)
    summary = write_recording(args.bag, args.out)
    if args.json:
        print(json.dumps(summary.to_dict()))
        return 0
    messages = sum(summary.logged.values())
    print(f"{summary.path}: {messages} messages, {summary.size_bytes / 1e6:.1f} MB")
    if summary.left_out:
        names = ", ".join(sorted(summary.left_out))
        print(f"left out, as Rerun has no picture of their types: {names}")
    return 0
