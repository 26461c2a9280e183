"""Give damaged input to everything that reads data from outside; each must refuse it in one line.

  vla fuzz --minutes 5 --json out/fuzz.json
  vla fuzz bag-mcap dataset --minutes 20 --seed 7
  vla fuzz --replay out/fuzz/findings/contract-error-0123456789.yaml
  vla fuzz --list

Intact inputs, made by the project's own writers, are changed: bytes, values in documents, messages
in bags. Each target runs in a process of its own. A finding is an error that is no line for a user,
a crash, a hang, memory beyond the limit, or damage that was accepted where that can be told; its
input is kept beside its traceback. Exit code 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "damaged input for everything that reads data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help="what is fuzzed (default: all, see --list)"
    )
    parser.add_argument(
        "--minutes",
        type=_positive,
        default=1.0,
        metavar="M",
        help="for each target (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of all that is drawn (default 0)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/fuzz"),
        metavar="DIR",
        help="findings, corpora and logs; what is there is gone on with (default %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="results")
    parser.add_argument(
        "--engine",
        choices=("atheris", "answers"),
        default="atheris",
        help="guided by coverage (the package atheris), or by errors not yet seen "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--hang-s",
        type=_positive,
        default=20.0,
        metavar="S",
        help="processor time that one input may take (default %(default)s)",
    )
    parser.add_argument(
        "--memory-mb",
        type=_positive,
        default=512.0,
        metavar="MB",
        help="memory that one input may take (default %(default)s)",
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try this input again")
    parser.add_argument("--list", action="store_true", help="list the targets, and fuzz none")


def run(args: argparse.Namespace) -> int:
    """Run the verb; 1 if there is a finding."""
    from vla_bringup.fuzzing.campaign import Limits
    from vla_bringup.fuzzing.program import list_targets, run_fuzz, run_replay

    if args.list:
        print(list_targets())
        return 0
    limits = Limits(args.hang_s, round(args.memory_mb * 2**20))
    if args.replay is not None:
        return run_replay(args.replay, args.targets, limits)
    return run_fuzz(
        names=args.targets,
        engine=args.engine,
        seed=args.seed,
        minutes=args.minutes,
        out=args.out,
        json_path=args.json,
        limits=limits,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
