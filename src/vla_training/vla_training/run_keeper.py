"""What is kept of a run: its configuration, log and checkpoints, and the best of its policies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import torch
import yaml

from vla_training.checkpoints import Checkpoint, remove_partial, save_checkpoint
from vla_training.configuration import flatten, to_dict
from vla_training.errors import TrainingError
from vla_training.metrics import offline_metrics
from vla_training.models import Policy
from vla_training.progress import ProgressBar, progress_bar
from vla_training.run_log import RunLog
from vla_training.selection import Selection, selection_episodes
from vla_training.training_config import TrainingConfig
from vla_training.training_data import TrainingData

CHECKPOINT_FILE: Final = "checkpoint.pt"
BEST_FILE: Final = "best.pt"
CONFIG_FILE: Final = "config.yaml"


class RunKeeper:
    """Validates, evaluates, logs and saves, in the main process; a context manager while stepping.

    Args:
        config: Of the run.
        data: Of the run.
        twin: A policy of the same kind, to be given the averaged weights; None in other processes
            than the main one.
        device: That validates.

    Attributes:
        metrics: Of the newest validation.
        selection: The best evaluation.
    """

    def __init__(
        self, config: TrainingConfig, data: TrainingData, twin: Policy | None, device: torch.device
    ) -> None:
        self._config = config
        self._data = data
        self._twin = twin
        self._device = device
        self._folder = Path(config.output)
        self._log: RunLog | None = None
        self.metrics: dict[str, float] = {}
        self.selection = Selection()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.metrics = dict(checkpoint.metrics)
        self.selection = Selection(**checkpoint.trainer["selection"])

    def open(self, step: int) -> None:
        """Make the folder ready for a run that goes on from a step.

        Raises:
            TrainingError: If it cannot be written.
        """
        settings = to_dict(self._config)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_partial(self._folder)
            text = yaml.safe_dump(settings, sort_keys=False)
            (self._folder / CONFIG_FILE).write_text(text, encoding="utf-8")
            if step == 0:
                (self._folder / BEST_FILE).unlink(missing_ok=True)
        except OSError as error:
            raise TrainingError(f"output {self._folder} cannot be written: {error}") from error
        self._log = RunLog(self._folder, self._config.log, step, flatten(settings))

    def __enter__(self) -> RunKeeper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    @property
    def patience_is_over(self) -> bool:
        """Whether the evaluations have not become better for too long."""
        select = self._config.select
        return bool(select.suite) and 0 < select.patience <= self.selection.waited

    def is_due(self, step: int, last: int) -> bool:
        """Whether anything is to be done after a step.

        Args:
            step: The number of steps done.
            last: Where this part of the run ends.
        """
        return step == last or step % self._config.validate_every == 0 or self._evaluates(step)

    def _evaluates(self, step: int) -> bool:
        select = self._config.select
        return bool(select.suite) and (step % select.every == 0 or step == self._config.steps)

    def keep(self, checkpoint: Checkpoint, figures: Mapping[str, Any], bar: ProgressBar) -> None:
        """Do what is due at a step, and save.

        Args:
            checkpoint: The state after the step.
            figures: For the log; `training` has the parts of the loss.
            bar: To tell of it.
        """
        step, losses = checkpoint.step, dict(figures["training"])
        if self._data.validation is not None:
            self.metrics = self._validate(checkpoint)
            losses["validation"] = self.metrics["loss"]
        shown = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        bar.say(f"step {step} of {self._config.steps}: {shown}")
        record = {"step": step, **figures, "validation": self.metrics}
        if self._evaluates(step):
            record["selection"] = self._evaluate(checkpoint, bar)
        if self._log is not None:
            self._log.append(record)
        save_checkpoint(self._complete(checkpoint), self._folder / CHECKPOINT_FILE)

    def _complete(self, checkpoint: Checkpoint) -> Checkpoint:
        trainer = {**checkpoint.trainer, "selection": self.selection.to_dict()}
        return dataclasses.replace(checkpoint, metrics=self.metrics, trainer=trainer)

    def _validate(self, checkpoint: Checkpoint) -> dict[str, float]:
        assert self._data.validation is not None
        assert self._twin is not None
        self._twin.load_state_dict(checkpoint.weights)
        return offline_metrics(
            self._twin,
            self._data.validation,
            self._config.loss,
            self._device,
            self._config.validation_samples,
        )

    def _evaluate(self, checkpoint: Checkpoint, bar: ProgressBar) -> dict[str, float]:
        """Let the policy drive, and keep it if it is the best one."""
        select = self._config.select
        with progress_bar(f"evaluating {select.suite}", select.episodes, bar.shown) as inner:
            results = selection_episodes(checkpoint, select, inner.advance)
        best = self.selection.take(checkpoint.step, results)
        if best:
            save_checkpoint(self._complete(checkpoint), self._folder / BEST_FILE)
        docked = sum(result.success for result in results)
        bar.say(
            f"step {checkpoint.step}: {docked} of {len(results)} docked"
            f"{', the best so far' if best else ''}"
        )
        return {"successes": docked, "episodes": len(results), "best": int(best)}
