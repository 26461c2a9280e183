"""Fine-tuning: drive with noise, learn what was better, and keep the result only if it helped.

What an iteration does depends on the seed, its number and the state before it alone. A run that is
stopped or killed and resumed therefore ends with the same bits as one that was not.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import yaml

from vla_training.checkpoints import Checkpoint, load_checkpoint, remove_partial, save_checkpoint
from vla_training.configuration import flatten, to_dict
from vla_training.distribution import Processes
from vla_training.errors import TrainingError
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.report import write_json
from vla_training.executors import Executor, Work, standing_executor
from vla_training.progress import progress_bar
from vla_training.reinforcement.config import (
    FIRST_CHECK_SEED,
    STATE_FILE,
    FinetuneConfig,
    check_finetuning,
)
from vla_training.reinforcement.driving import (
    NOISE,
    Trajectory,
    drive_episode,
    forget_simulator,
)
from vla_training.reinforcement.experience import Experience
from vla_training.reinforcement.learner import Learner
from vla_training.reinforcement.plan import plan_iteration, remember_failures
from vla_training.reinforcement.run_state import (
    check_same_finetuning,
    identity_of,
    tuned_checkpoint,
    unchanged,
)
from vla_training.reinforcement.verdict import (
    AFTER_FILE,
    BEFORE_FILE,
    VERDICT_FILE,
    Verdict,
    judge,
)
from vla_training.run_keeper import CHECKPOINT_FILE, CONFIG_FILE
from vla_training.run_log import RunLog
from vla_training.selection import Selection

TUNED_FILE: Final = "tuned.pt"
DRIVING: Final = Work(TrainingError, "driving", "", single_threaded=True)

_RUN: Final = "finetuning"
_RESULTS: Final = (TUNED_FILE, VERDICT_FILE, BEFORE_FILE, AFTER_FILE)
_SHOWN: Final = ("docked", "precise", "shaped_return", "explained", "kl", "reference_kl")

Say = Callable[[str], None]


@dataclass(frozen=True)
class FinetuneResult:
    """What a run made.

    Attributes:
        checkpoint: The result: the tuned policy if it is kept, else the one that was begun with.
        tuned: The tuned policy, kept or not.
        iterations: Of the whole run.
        tuned_iteration: After how many the tuned policy was taken.
        episodes: Driven with noise.
        duration_s: Spent on iterations and checks, earlier parts of a resumed run included.
        verdict: Of the paired comparison.
    """

    checkpoint: Path
    tuned: Path
    iterations: int
    tuned_iteration: int
    episodes: int
    duration_s: float
    verdict: Verdict


class Finetuner:
    """One run: loads the policy, restores or makes the state, and iterates.

    Args:
        config: Of the run.
        resume: Go on from the state in the output folder, if there is one.
        workers: Processes that drive; None for as many as there are cores.
        progress: Whether to show bars and lines.

    Raises:
        ConfigurationError: Naming every mistake.
        TrainingError: If a checkpoint cannot be used, or belongs to another run.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        *,
        resume: bool = False,
        workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self._config = config
        self._initial = load_checkpoint(config.initial)
        check_finetuning(config, self._initial)
        self._folder = Path(config.output)
        self._workers = workers or os.cpu_count() or 1
        if self._workers < 1:
            raise TrainingError(f"--workers is {workers}, expected 1 or more")
        self._progress = progress
        if config.threads:
            torch.set_num_threads(config.threads)
        self._processes = Processes(self._initial.config)
        self._learner = Learner(config, self._initial, self._processes.device)
        self._iteration, self._checked, self._spent_s = 0, 0, 0.0
        self._failures: list[int] = []
        self._selection = Selection()
        state = self._folder / STATE_FILE
        if resume and state.is_file():
            self._restore(load_checkpoint(state))

    def run(self, stop_after: int | None = None) -> FinetuneResult | None:
        """Iterate to the end of the run, and judge.

        Args:
            stop_after: Stop early, with a state to resume from, when this many iterations are done.

        Returns:
            What it made; None if it was stopped early.

        Raises:
            TrainingError: If a loss is no longer finite or a file cannot be written.
            VlaError: If the simulator cannot be used.
        """
        config = self._config
        last = config.iterations if stop_after is None else min(config.iterations, stop_after)
        log = self._open()
        drivers = min(self._workers, config.drive.episodes)
        try:
            with standing_executor(DRIVING, drivers) as drive:
                while self._iteration < last:
                    started = time.monotonic()
                    record = self._iterate(drive)
                    self._spent_s += time.monotonic() - started
                    log.append({"step": self._iteration, "spent_s": self._spent_s, **record})
                    self._save()
            if self._iteration >= config.iterations and self._checked < self._iteration:
                log.append({"step": self._iteration, "check": self._check()})
                self._save()
        finally:
            log.close()
            forget_simulator()
        return None if self._iteration < config.iterations else self._judged()

    def _open(self) -> RunLog:
        settings = to_dict(self._config)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_partial(self._folder)
            text = yaml.safe_dump(settings, sort_keys=False)
            (self._folder / CONFIG_FILE).write_text(text, encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"output {self._folder} cannot be written: {error}") from error
        if self._iteration == 0:
            for name in (*_RESULTS, CHECKPOINT_FILE):  # of an earlier run
                (self._folder / name).unlink(missing_ok=True)
            self._save()
        return RunLog(self._folder, self._config.log, self._iteration, flatten(settings))

    def _iterate(self, drive: Executor[Any, Any]) -> dict[str, Any]:
        """Drive, learn and perhaps check; returns the figures."""
        config, number = self._config, self._iteration
        jobs = plan_iteration(config, self._folder / STATE_FILE, number, self._failures)
        title = f"iteration {number + 1} of {config.iterations}"
        found: list[Trajectory] = []
        with progress_bar(title, len(jobs), self._progress) as bar:
            for trajectory in drive(drive_episode, jobs):
                found.append(trajectory)
                docked = sum(each.outcome == "docked" for each in found)
                bar.advance(f"{docked} of {len(found)} docked")
            found.sort(key=lambda each: each.number)
            experience = Experience.of(found)
            driven = experience.figures(config.ppo.horizon_s)
            record: dict[str, Any] = {
                "driving": driven,
                "learning": self._learner.learn(experience, number),
            }
            self._failures = remember_failures(self._failures, found, config.drive.failures)
            self._iteration += 1
            bar.say(f"{title}: {_shown({**driven, **record['learning']})}")
        every = config.check.every
        if every and self._iteration % every == 0:
            record["check"] = self._check()
        return record

    def _check(self) -> dict[str, float]:
        """Evaluate without noise, and take the policy if it is the best so far."""
        check, path = self._config.check, self._folder / TUNED_FILE
        self._checked = self._iteration
        if check.every == 0:
            self._selection.step = self._iteration
            save_checkpoint(self._tuned(), path)
            return {}
        candidate = self._folder / "candidate.pt"
        save_checkpoint(self._tuned(), candidate)
        report = evaluate(
            candidate,
            check.suite,
            check.episodes,
            FIRST_CHECK_SEED,
            jobs=self._workers,
            progress=self._progress,
        )
        best = self._selection.take(self._iteration, list(report.results))
        if best:
            candidate.replace(path)
        candidate.unlink(missing_ok=True)
        return {"successes": report.successes, "episodes": check.episodes, "best": int(best)}

    def _judged(self) -> FinetuneResult:
        """Compare with the policy that was begun with, and write the result."""
        config, folder = self._config, self._folder
        tuned = folder / TUNED_FILE
        initial = Path(config.initial)
        verdict = judge(initial, tuned, folder, config.verdict, self._workers, self._progress)
        write_json(verdict.to_dict(), folder / VERDICT_FILE)
        chosen = load_checkpoint(tuned) if verdict.kept else unchanged(self._initial, config)
        save_checkpoint(chosen, folder / CHECKPOINT_FILE)
        return FinetuneResult(
            checkpoint=folder / CHECKPOINT_FILE,
            tuned=tuned,
            iterations=self._iteration,
            tuned_iteration=self._selection.step,
            episodes=self._iteration * config.drive.episodes,
            duration_s=self._spent_s,
            verdict=verdict,
        )

    def _tuned(self) -> Checkpoint:
        weights, spent_s = self._learner.weights(), self._spent_s
        return tuned_checkpoint(self._initial, self._config, weights, self._iteration, spent_s)

    def _save(self) -> None:
        """Everything that the next iteration depends on."""
        state = {
            **identity_of(self._config, self._initial),
            "iteration": self._iteration,
            "checked": self._checked,
            "spent_s": self._spent_s,
            "failures": list(self._failures),
            "selection": self._selection.to_dict(),
            "learner": self._learner.state(),
        }
        noise = {n: v.detach().cpu().clone() for n, v in self._learner.noise.state_dict().items()}
        checkpoint = dataclasses.replace(self._tuned(), trainer={_RUN: state, NOISE: noise})
        save_checkpoint(checkpoint, self._folder / STATE_FILE)

    def _restore(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.trainer[_RUN]
        check_same_finetuning(self._config, self._initial, state)
        self._learner.restore(checkpoint.weights, checkpoint.trainer[NOISE], state["learner"])
        self._iteration, self._checked = state["iteration"], state["checked"]
        self._spent_s = state["spent_s"]
        self._failures = list(state["failures"])
        self._selection = Selection(**state["selection"])


def finetune(
    config: FinetuneConfig,
    *,
    resume: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> FinetuneResult:
    """Fine-tune a policy; see `Finetuner`."""
    result = Finetuner(config, resume=resume, workers=workers, progress=progress).run()
    assert result is not None  # nothing stopped it early
    return result


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {figures[name]:.3g}" for name in _SHOWN if name in figures)
