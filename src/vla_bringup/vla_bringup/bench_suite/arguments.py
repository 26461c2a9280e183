"""Arguments of `vla bench all` and `vla bench check`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from vla_bringup.bench_suite.plan import PLAN

VERBS: Final = ("all", "check")
DEFAULT_OUT: Final = Path("out/bench")
DEFAULT_REFERENCE: Final = Path("docs/benchmarks.json")

_ALL: Final = (
    "those benchmarks that need nothing, one after the other: within an hour on two cores, --quick "
    "within ten minutes"
)
_CHECK: Final = "compare the figures of `vla bench all` with stored ones: what got worse"


def add_verbs(names: Any) -> None:
    """Declare both.

    Args:
        names: Subparsers of `vla bench`.
    """
    measure = names.add_parser(
        "all",
        help=_ALL,
        description=f"{_ALL}. Each is a process of its own; one that fails is reported, and the "
        "rest goes on. What was interrupted, or failed, is gone on with by the next call; after a "
        "complete one everything is measured anew.",
    )
    _add_shared(measure)
    measure.add_argument(
        "--only",
        nargs="+",
        choices=tuple(PLAN),
        metavar="NAME",
        help="measure these, anew: " + ", ".join(PLAN),
    )
    measure.add_argument(
        "--again", action="store_true", help="begin anew where the last call was interrupted"
    )
    measure.add_argument("--data", type=Path, metavar="FILE", help="data set for load")
    measure.add_argument(
        "--peer",
        type=Path,
        metavar="DIR",
        help="environment with LeRobot, made there if need be (8 GB); default: the one that `vla "
        "bench train` installs, if it is there. --quick leaves it out",
    )
    measure.add_argument(
        "--list", action="store_true", help="list what would be measured and how long that takes"
    )
    check = names.add_parser("check", help=_CHECK, description=f"{_CHECK}. Code 1 if one did.")
    _add_shared(check)
    check.add_argument(
        "--reference",
        type=Path,
        default=DEFAULT_REFERENCE,
        metavar="FILE",
        help="stored figures (default %(default)s)",
    )
    check.add_argument(
        "--store", action="store_true", help="store the figures in place of comparing them"
    )
    check.add_argument("--json", metavar="FILE", help="write the verdicts here; - prints them")


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick",
        action="store_true",
        help="less of everything; results are kept, stored and compared on their own",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=DEFAULT_OUT,
        metavar="DIR",
        help="folder of the results, those of --quick in quick below it (default %(default)s)",
    )
    parser.add_argument(
        "--docs", type=Path, metavar="FILE.md", help="page that receives tables and picture"
    )
