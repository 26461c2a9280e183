"""Make a data set (HDF5) of recorded demonstrations.

  vla convert out/demonstrations --out out/demonstrations.h5

Frames are aligned by header stamps as in the policy node. Bags that are converted already are not
read again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vla_bringup.resources import default_contract

HELP = "bags to an HDF5 data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "bags", nargs="+", type=Path, metavar="BAG", help="bags, or folders of bags"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/demonstrations.h5"), help="default %(default)s"
    )
    parser.add_argument(
        "--contract", type=Path, default=default_contract(), metavar="FILE", help="what to read"
    )
    parser.add_argument(
        "--include",
        nargs="+",
        default=["success"],
        choices=("success", "failure", "unknown"),
        metavar="OUTCOME",
        help="outcomes that are wanted (default: success)",
    )
    parser.add_argument(
        "--instruction", default="", metavar="TEXT", help="sentence of bags that have none"
    )
    parser.add_argument(
        "--action-delay-s",
        type=float,
        default=0.0,
        metavar="S",
        help="the action of a row is the newest command up to this much after it (default 0)",
    )
    _add_split_arguments(parser)
    _add_segment_arguments(parser)
    parser.add_argument(
        "--pack", action="store_true", help="one self-contained file in place of index and parts"
    )
    parser.add_argument("--compression", choices=("lzf", "gzip"), help="of the images, with --pack")
    report = parser.add_mutually_exclusive_group()
    report.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="what was used, dropped and why: .html (and .json beside it), or .json alone "
        "(default: .report.html beside the data set)",
    )
    report.add_argument("--no-report", action="store_true", help="write none")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="convert on the workers of this Dask scheduler"
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first damaged bag")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _add_split_arguments(parser: argparse.ArgumentParser) -> None:
    for name, share in (("validation", 0.1), ("test", 0.05)):
        parser.add_argument(
            f"--{name}-fraction",
            type=float,
            default=share,
            metavar="F",
            help=f"share of the episodes that is kept for {name} (default %(default)s)",
        )
    parser.add_argument("--split-seed", type=int, default=0, metavar="S", help="of that choice")


def _add_segment_arguments(parser: argparse.ArgumentParser) -> None:
    plain = parser.add_argument_group("bags that were not recorded as episodes are cut")
    for name, seconds, text in (
        ("max-gap-s", 1.0, "where a stream or the commands are silent for longer than this"),
        ("max-idle-s", 3.0, "where the robot stands still for longer than this"),
    ):
        plain.add_argument(
            f"--{name}", type=float, default=seconds, metavar="S", help=f"{text} (%(default)s)"
        )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_core.contract import Contract
    from vla_training.conversion.episodes import SegmentLimits
    from vla_training.conversion.pipeline import convert
    from vla_training.conversion.report import write_report

    contract = Contract.load(args.contract)
    summary = convert(
        args.bags,
        args.out,
        contract,
        include=args.include,
        validation_fraction=args.validation_fraction,
        test_fraction=args.test_fraction,
        split_seed=args.split_seed,
        instruction=args.instruction,
        action_delay_s=args.action_delay_s,
        limits=SegmentLimits(max_gap_s=args.max_gap_s, max_idle_s=args.max_idle_s),
        strict=args.strict,
        pack=args.pack,
        compression=args.compression,
        jobs=args.jobs,
        scheduler=args.scheduler,
        progress=not args.json,
    )
    report = None if args.no_report else args.report or args.out.with_suffix(".report.html")
    if report is not None:
        write_report(summary, report)
    skipped = [
        {"bag": str(bag.bag), "reason": bag.reason, "damaged": bag.damaged}
        for bag in summary.skipped
    ]
    if args.json:
        figures = {
            "path": str(summary.path),
            "episodes": summary.episodes,
            "split_episodes": dict(summary.split_episodes),
            "frames": summary.frames,
            "converted": summary.converted,
            "reused": summary.reused,
            "skipped": skipped,
            "report": str(report) if report else None,
            "duration_s": summary.duration_s,
        }
        print(json.dumps(figures, indent=2))
        return 0
    for bag in skipped:
        print(f"left out {bag['bag']}: {bag['reason']}")
    split = ", ".join(f"{count} {name}" for name, count in summary.split_episodes.items())
    print(
        f"{summary.path}: {summary.episodes} episodes ({split}), {summary.frames} frames; "
        f"{summary.converted} bags converted, {summary.reused} unchanged, "
        f"in {summary.duration_s:.1f} s"
    )
    if report is not None:
        print(f"report: {report}")
    return 0
