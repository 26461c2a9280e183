"""Run a driver through simulated episodes and report how often it docks.

  vla evaluate --policy out/policy --suite nominal --episodes 100 --json out/evaluation.json
  vla evaluate --policy fiducial --suite nominal lighting --swap
  vla evaluate --suite nominal wide_start --report out/evaluation.html
  vla evaluate --disturb shuffle_image shuffle_odometry no_scan
  vla evaluate --mode ros --episodes 100 --json out/live.json

Drivers that are no bundle: `expert` knows the true pose; `fiducial` and `scan_matching` are
classical peers. Seeds from 1000000 on are held out: no training has seen them. With --mode ros the
same episodes run in real time through simulator node, policy node and docking action; with --json
an evaluation that was interrupted goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vla_bringup.benchmarks.catalogue import DEFAULT_EXECUTION_MODE, EXECUTION_MODES
from vla_bringup.resources import default_policy
from vla_core.errors import VlaError

if TYPE_CHECKING:
    from vla_training.evaluation.report import EvaluationReport

HELP = "success rate and errors over many simulated starts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--policy",
        default=str(default_policy()),
        help="bundle, checkpoint, `expert`, `fiducial`, `scan_matching`, or `lerobot:DIR` of `vla "
        "bench lerobot` (default: shipped)",
    )
    parser.add_argument(
        "--peer",
        type=Path,
        metavar="DIR",
        help="environment with LeRobot, for a policy of it (default: the one that `vla bench` "
        "installs)",
    )
    parser.add_argument(
        "--suite",
        nargs="+",
        default=["nominal"],
        metavar="NAME",
        help="one or more (default nominal)",
    )
    parser.add_argument(
        "--episodes", type=int, default=100, metavar="N", help="per suite (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=1_000_000, metavar="S", help="first one (default %(default)s)"
    )
    parser.add_argument(
        "--swap",
        action="store_true",
        help="run every seed with another station's sentence, too: does the robot obey?",
    )
    parser.add_argument(
        "--disturb",
        nargs="+",
        default=[],
        metavar="NAME",
        help="run every seed again with one stream spoilt: shuffle_KEY takes it from other "
        "moments of other episodes, no_KEY takes it away; KEY is a stream of the contract",
    )
    parser.add_argument(
        "--variant", default="", metavar="NAME", help="of the bundle's graph, such as int8-static"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask scheduler whose workers run the episodes, such as tcp://10.0.0.5:8786",
    )
    parser.add_argument(
        "--mode",
        default="lock_step",
        choices=("lock_step", "ros"),
        help="simulator and policy take turns here, or run as the nodes of a live graph (default "
        "%(default)s)",
    )
    parser.add_argument(
        "--retries",
        type=int,
        metavar="N",
        help="with --mode ros: times that the robot may back off and come in again (default 0, as "
        "in lock-step)",
    )
    parser.add_argument(
        "--execution",
        default=DEFAULT_EXECUTION_MODE,
        choices=EXECUTION_MODES,
        help="how overlapping chunks become one action (default %(default)s)",
    )
    parser.add_argument(
        "--latency-ticks",
        type=int,
        metavar="N",
        help="control periods from a frame to its chunk (default 1; with --mode ros as it comes)",
    )
    parser.add_argument(
        "--replan-steps",
        type=int,
        default=2,
        metavar="N",
        help="control periods between two inferences (default %(default)s, as in the policy node)",
    )
    parser.add_argument(
        "--in-flight",
        type=int,
        default=1,
        metavar="N",
        help="inferences that may be under way at once (default %(default)s)",
    )
    parser.add_argument(
        "--camera",
        type=_size,
        default=(640, 480),
        metavar="WxH",
        help="image of `fiducial` in pixels (default 640x480)",
    )
    parser.add_argument(
        "--offline",
        type=Path,
        metavar="DATA.h5",
        help="do not drive: compare the policy's chunks with the labels of held-out episodes",
    )
    parser.add_argument(
        "--split",
        default="validation",
        choices=("validation", "test", "training"),
        help="of that data set (default %(default)s); training: does it fit what it learned?",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report; - prints it")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.html",
        help="write a page to read: paths, errors, failures with moving pictures",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    import json

    from vla_training.evaluation.report import summary_table, write_json
    from vla_training.evaluation.report_page.making import write_report

    to_stdout = args.json is not None and str(args.json) == "-"
    if args.offline is not None:
        return _offline(args)
    reports, documents = {}, {}
    for suite, report in _live(args) if args.mode == "ros" else _lock_step(args):
        reports[suite], documents[suite] = report, report.to_dict()
        if not to_stdout:
            if len(args.suite) > 1:
                print(suite)
            for name, text in summary_table(report):
                print(f"{name:<25} {text}")
    # One suite makes one report, several make one of reports by suite.
    several = {"policy": args.policy, "suites": documents}
    document = documents[args.suite[0]] if len(args.suite) == 1 else several
    if to_stdout:
        print(json.dumps(document, indent=1))
    elif args.json is not None:
        write_json(document, args.json)
    if args.report is not None:
        write_report(
            reports,
            args.report,
            jobs=args.jobs,
            scheduler=args.scheduler,
            progress=not to_stdout,
        )
    if args.mode == "ros" and (kept := _kept_in(args)) is not None:
        kept.unlink(missing_ok=True)
    return 0


def _lock_step(args: argparse.Namespace) -> Iterator[tuple[str, EvaluationReport]]:
    """The reports by suite, each as soon as it is there."""
    from vla_training.evaluation.evaluate import evaluate

    if args.retries is not None:
        raise _not_with("lock_step", "--retries", "nothing retries in lock-step")
    for suite in args.suite:
        yield (
            suite,
            evaluate(
                args.policy,
                suite,
                args.episodes,
                args.seed,
                swap=args.swap,
                jobs=args.jobs,
                scheduler=args.scheduler,
                mode=args.execution,
                latency_ticks=1 if args.latency_ticks is None else args.latency_ticks,
                replan_steps=args.replan_steps,
                camera_px=args.camera,
                disturb=args.disturb,
                variant=args.variant,
                in_flight=args.in_flight,
                peer="" if args.peer is None else str(args.peer.absolute()),
                trace=args.report is not None,
                progress=str(args.json) != "-",
            ),
        )


def _live(args: argparse.Namespace) -> Iterable[tuple[str, EvaluationReport]]:
    """The reports by suite, when all of them are there."""
    from vla_bringup.live_evaluation.evaluating import evaluate_live
    from vla_bringup.live_evaluation.options import LiveOptions

    for flag, given, why in (
        ("--disturb", args.disturb, "nodes see what sensors publish"),
        ("--scheduler", args.scheduler, "the graph runs here"),
        ("--jobs", args.jobs not in (None, 1), "graphs beside each other would share the cores"),
        ("--latency-ticks", args.latency_ticks is not None, "an inference takes what it takes"),
    ):
        if given:
            raise _not_with("ros", flag, why)
    options = LiveOptions(
        policy=Path(args.policy),
        suites=args.suite,
        episodes=args.episodes,
        seed=args.seed,
        swap=args.swap,
        execution=args.execution,
        replan_steps=args.replan_steps,
        in_flight=args.in_flight,
        variant=args.variant,
        retries=args.retries or 0,
    )
    return evaluate_live(options, _kept_in(args), progress=str(args.json) != "-").items()


def _kept_in(args: argparse.Namespace) -> Path | None:
    """Where an evaluation through the graph keeps what it has: beside what it will write."""
    if args.json is None or str(args.json) == "-":
        return None
    return args.json.with_name(f"{args.json.name}.partial")


def _not_with(mode: str, flag: str, why: str) -> VlaError:
    return VlaError(f"{flag} is given with --mode {mode}: {why}; leave it out")


def _offline(args: argparse.Namespace) -> int:
    import json

    from vla_training.evaluation.offline import offline_report, offline_rows
    from vla_training.evaluation.report import write_json

    report = offline_report(args.policy, args.offline, args.split)
    if args.json is not None and str(args.json) == "-":
        print(json.dumps(report, indent=1))
        return 0
    for name, text in offline_rows(report):
        print(f"{name:<32} {text}")
    if args.json is not None:
        write_json(report, args.json)
    return 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}', expected WIDTHxHEIGHT, as 640x480") from None
