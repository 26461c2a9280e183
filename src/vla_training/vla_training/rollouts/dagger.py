"""DAgger: the policy drives, the expert says what it should have done, the policy learns that.

Ross, Gordon and Bagnell, "A reduction of imitation learning and structured prediction to no-regret
online learning", AISTATS 2011. A policy that imitates the expert's drives only meets states of its
own in operation: its errors lead where no demonstration was. Each round adds those states.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from vla_core.contract import Contract
from vla_training.checkpoints import load_checkpoint
from vla_training.configuration import to_dict
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import SPLITS
from vla_training.dataset.merging import merge
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.intervals import wilson_interval
from vla_training.evaluation.report import write_json
from vla_training.rollouts.corrections import keep_corrections
from vla_training.rollouts.dagger_config import DaggerConfig
from vla_training.rollouts.dagger_state import open_state, write_state
from vla_training.rollouts.learning_curve import write_curve
from vla_training.rollouts.policies import choose_policy
from vla_training.rollouts.rollout import rollout
from vla_training.trainer import train
from vla_training.training_config import load_training_config

Say = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """What a round came to.

    Attributes:
        number: 0 is the policy that was begun with.
        labels: Training rows that its policy has learned from.
        runs: Validation runs, those with another station's sentence included.
        successes: Of these, docked at the station that was named.
        success_rate: Their share.
        wilson_low: Lower end of its 95 % interval.
        wilson_high: Upper end.
        collisions: Of the runs.
        wrong_station: Of the runs.
        data: Data set of all these rows.
        checkpoint: The policy.
    """

    number: int
    labels: int
    runs: int
    successes: int
    success_rate: float
    wilson_low: float
    wilson_high: float
    collisions: int
    wrong_station: int
    data: str
    checkpoint: str


@dataclass(frozen=True)
class DaggerResult:
    """What a run came to.

    Attributes:
        rounds: All of them, the first policy included.
        best: The one with the most successes, the earliest of equal ones.
        stopped: Why the run ended: "target", "patience" or "rounds".
    """

    rounds: tuple[Round, ...]
    best: Round
    stopped: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "rounds": [asdict(each) for each in self.rounds],
            "best": self.best.number,
            "stopped": self.stopped,
        }


def dagger(
    config: DaggerConfig, *, progress: bool = True, say: Say = lambda line: None
) -> DaggerResult:
    """Run rounds until the policy is good enough, no longer gets better, or they are over.

    Everything is in the output folder, one folder per round; a run that was interrupted goes on
    where it stopped.

    Args:
        config: See there.
        progress: Whether to show bars.
        say: Told what is done and what came of it, line by line.

    Raises:
        RolloutError: If the folder holds a run with other settings.
        VlaError: If a data set, the first policy or a value cannot be used.
    """
    run = _Run(config, progress, say)
    rounds = [run.round(0)]
    while not (stopped := why_over(rounds, config)):
        rounds.append(run.round(len(rounds)))
        write_curve(rounds, config.output)
    write_curve(rounds, config.output)
    return DaggerResult(tuple(rounds), _best(rounds), stopped)


def _best(rounds: list[Round]) -> Round:
    return max(rounds, key=lambda each: (each.success_rate, -each.number))


def why_over(rounds: list[Round], config: DaggerConfig) -> str:
    """Why there is no further round; empty if there is one."""
    if rounds[-1].success_rate >= config.check.target:
        return "target"
    if 0 < config.check.patience <= rounds[-1].number - _best(rounds).number:
        return "patience"
    return "rounds" if rounds[-1].number >= config.rounds else ""


class _Run:
    """The steps of a run, each of which is left out where its result is there already.

    Args:
        config: Of the run.
        progress: Whether to show bars.
        say: See `dagger`.
    """

    def __init__(self, config: DaggerConfig, progress: bool, say: Say) -> None:
        self._config = config
        self._progress = progress
        self._say = say
        self._state = open_state(config)

    def round(self, number: int) -> Round:
        """One round, or what is known of it."""
        known = self._state["rounds"]
        if number < len(known):
            return Round(**known[number])
        folder = self._config.output / f"round_{number}"
        data = self._gather(number, folder)
        checkpoint = self._fit(number, folder, data)
        result = self._judge(number, folder, data, checkpoint)
        known.append(asdict(result))
        write_state(self._state, self._config.output)
        self._say(
            f"round {number}: {result.successes} of {result.runs} docked after {result.labels} "
            f"labels ({result.wrong_station} at a wrong station, {result.collisions} collisions)"
        )
        return result

    def _gather(self, number: int, folder: Path) -> Path:
        """The data set of a round: all that came before, and what its policy visits."""
        config, data = self._config, folder / "data.h5"
        if number == 0:
            sources = list(config.datasets)
            for k, corrections in enumerate(config.corrections):
                sources.append(folder / f"corrections_{k}.h5")
                labels = keep_corrections(corrections, sources[-1])
                self._say(f"{labels} corrections of people in {corrections}")
        else:
            sources = [config.output / f"round_{number - 1}" / "data.h5", folder / "visited.h5"]
            self._visit(number, sources[-1], self._contract(sources[0]))
        merge(sources, data)
        return data

    def _visit(self, number: int, out: Path, contract: Contract) -> None:
        config = self._config
        policy = choose_policy(Path(self._state["rounds"][-1]["checkpoint"]), contract)
        options = config.visit.options(contract, policy, number)
        self._say(
            f"round {number}: driving {config.visit.scenes} scenes, the expert "
            f"{options.expert_share:.0%} of the time"
        )
        summary = rollout(
            out,
            config.visit.seeds(number),
            options,
            workers=config.workers,
            progress=self._progress,
        )
        ends = ", ".join(f"{count} {why}" for why, count in sorted(summary.reasons.items()))
        self._say(f"round {number}: {summary.frames} states in {summary.episodes} episodes; {ends}")

    def _contract(self, path: Path) -> Contract:
        with DatasetFile(path) as file:
            return file.contract

    def _fit(self, number: int, folder: Path, data: Path) -> Path:
        """Train where there is something to train; returns the checkpoint."""
        config, fit, training = self._config, self._config.fit, folder / "training"
        if number == 0 and config.initial is not None:
            return config.initial
        preset, steps, overrides = self._preset(), fit.first_steps, list(fit.overrides)
        if number > 0:
            steps = fit.steps
            overrides += [
                f"initial={json.dumps(self._state['rounds'][-1]['checkpoint'])}",
                f"optimizer.learning_rate={fit.learning_rate}",
            ]
        training_config = load_training_config(
            data,
            training,
            preset=preset,
            overrides=overrides,
            steps=steps,
            seed=fit.seed + number,
        )
        self._say(f"round {number}: training for {training_config.steps} steps")
        result = train(training_config, resume=True, progress=self._progress)
        return result.best or result.checkpoint

    def _preset(self) -> str | Path:
        """The configuration to train with: that of the first policy, where there is one."""
        if self._config.initial is None:
            return self._config.fit.preset
        path = self._config.output / "training.yaml"
        values = to_dict(load_checkpoint(self._config.initial).config)
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        return path

    def _judge(self, number: int, folder: Path, data: Path, checkpoint: Path) -> Round:
        check = self._config.check
        report = evaluate(
            checkpoint,
            check.suite,
            check.episodes,
            check.seed,
            swap=True,
            jobs=self._config.workers,
            progress=self._progress,
        )
        write_json(report.to_dict(), folder / "evaluation.json")
        runs = [*report.results, *report.swapped]
        successes = sum(run.success for run in runs)
        low, high = wilson_interval(successes, len(runs))
        with DatasetFile(data) as file:
            training = [e for e in file.episodes if e.split == SPLITS["training"]]
        return Round(
            number=number,
            labels=sum(episode.length for episode in training),
            runs=len(runs),
            successes=successes,
            success_rate=successes / len(runs),
            wilson_low=low,
            wilson_high=high,
            collisions=sum(run.outcome == "collision" for run in runs),
            wrong_station=sum(run.wrong_station for run in runs),
            data=str(data),
            checkpoint=str(checkpoint),
        )
