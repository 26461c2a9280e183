"""Let the policy drive, label what it meets by the expert, train on it, and again.

  vla dagger out/demonstrations.h5 --initial out/training --out out/dagger
  vla dagger out/demonstrations.h5 --out out/dagger --rounds 8 --target 0.99 --patience 2

Each round drives training scenes with the policy, in simulation, and keeps the expert's command at
every state visited; adds that to all earlier data; trains on from the last weights; and judges the
policy on scenes of its own, with either sentence. The folder then holds the best policy, a
learning curve and every round. A run that was interrupted goes on when it is called again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "train on the states that the policy itself leads to"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "datasets", nargs="+", type=Path, metavar="DATASET", help="demonstrations to begin with"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/dagger"), help="folder (default %(default)s)"
    )
    parser.add_argument(
        "--initial",
        type=Path,
        metavar="CHECKPOINT",
        help="first policy, of `vla train` (default: train one on the demonstrations)",
    )
    parser.add_argument(
        "--corrections",
        type=Path,
        nargs="+",
        default=[],
        metavar="DATASET",
        help="data sets in which a person took over from a policy",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="at most (default %(default)s)"
    )
    parser.add_argument(
        "--workers",
        "--jobs",
        type=int,
        metavar="N",
        help="processes that drive (default: one per core)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    _add_visit_arguments(parser.add_argument_group("what is driven in a round"))
    _add_fit_arguments(parser.add_argument_group("how a round is trained"))
    _add_check_arguments(parser.add_argument_group("how a round is judged"))


def _add_visit_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--scenes", type=int, default=200, metavar="N", help="seeds (default %(default)s)"
    )
    group.add_argument(
        "--seed", type=int, default=200_000, metavar="S", help="first one (default %(default)s)"
    )
    group.add_argument(
        "--suite",
        default="nominal",
        metavar="NAME[:SHARE],…",
        help="one, or several by their shares (default %(default)s)",
    )
    group.add_argument(
        "--goals",
        choices=("one", "every"),
        default="every",
        help="drive each start for the drawn goal or for every station (default %(default)s)",
    )
    group.add_argument(
        "--starts",
        choices=("suite", "path", "dock"),
        default="suite",
        help="where episodes begin, see `vla rollout` (default %(default)s)",
    )
    group.add_argument(
        "--looks", type=int, default=1, metavar="K", help="starts with path and dock"
    )
    group.add_argument("--duration", type=float, metavar="S", help="of an episode")
    group.add_argument(
        "--expert-share",
        type=float,
        default=0.5,
        metavar="F",
        help="of the time in the first round in which the expert drives (default %(default)s)",
    )
    group.add_argument(
        "--decay",
        type=float,
        default=0.5,
        metavar="F",
        help="of that share from round to round (default %(default)s)",
    )


def _add_fit_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--preset", default="docking", help="of a first policy to be trained")
    group.add_argument(
        "--first-steps", type=int, metavar="N", help="of that training (default: the preset's)"
    )
    group.add_argument(
        "--steps", type=int, default=600, metavar="N", help="of each round (default %(default)s)"
    )
    group.add_argument(
        "--learning-rate", type=float, default=5e-4, metavar="R", help="(default %(default)s)"
    )
    group.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="of every training"
    )


def _add_check_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--check-suite", default="nominal", metavar="NAME", help="(default %(default)s)"
    )
    group.add_argument(
        "--check-episodes",
        type=int,
        default=50,
        metavar="N",
        help="starts, each with either sentence (default %(default)s)",
    )
    group.add_argument(
        "--target",
        type=float,
        default=1.0,
        metavar="F",
        help="share of successes that is enough (default %(default)s)",
    )
    group.add_argument(
        "--patience",
        type=int,
        default=0,
        metavar="N",
        help="rounds without more successes after which it ends; 0 for never (default 0)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_simulation.suite_mix import SuiteMix
    from vla_training.export import export_bundle
    from vla_training.rollouts.dagger import dagger
    from vla_training.rollouts.dagger_config import (
        CheckConfig,
        DaggerConfig,
        FitConfig,
        VisitConfig,
    )

    config = DaggerConfig(
        output=args.out,
        datasets=tuple(args.datasets),
        initial=args.initial,
        corrections=tuple(args.corrections),
        rounds=args.rounds,
        visit=VisitConfig(
            scenes=args.scenes,
            seed=args.seed,
            mix=SuiteMix.parse(args.suite),
            goals=args.goals,
            starts=args.starts,
            looks=args.looks,
            duration_s=args.duration,
            expert_share=args.expert_share,
            decay=args.decay,
        ),
        fit=FitConfig(
            preset=args.preset,
            overrides=tuple(args.set),
            first_steps=args.first_steps,
            steps=args.steps,
            learning_rate=args.learning_rate,
        ),
        check=CheckConfig(
            suite=args.check_suite,
            episodes=args.check_episodes,
            target=args.target,
            patience=args.patience,
        ),
        workers=args.workers,
    )
    say = (lambda line: None) if args.json else (lambda line: print(line, flush=True))
    result = dagger(config, progress=not args.json, say=say)
    best = result.best
    say(f"exporting the policy of round {best.number}")
    bundle = export_bundle(best.checkpoint, args.out / "policy", dataset=best.data)
    if args.json:
        print(json.dumps({**result.to_dict(), "policy": str(bundle.path)}))
        return 0
    print(
        f"{bundle.path}: policy of round {best.number}, {best.successes} of {best.runs} docked "
        f"where told ({best.wilson_low:.1%} to {best.wilson_high:.1%}); ended by {result.stopped}"
    )
    print(f"learning curve: {args.out / 'learning_curve.json'}")
    return 0
