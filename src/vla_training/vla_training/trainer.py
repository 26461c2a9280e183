"""Training a policy: one loop, exact to repeat and to resume.

What a step does depends on the seed and its number alone: which samples, which augmentation, which
dropout. A run that is stopped or killed and resumed therefore ends with the same bits as one that
was not, and several processes train as one.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from vla_training.checkpoints import (
    Checkpoint,
    load_checkpoint,
    take_weights,
)
from vla_training.dataset.prefetching import Prefetcher
from vla_training.distribution import Processes
from vla_training.errors import TrainingError
from vla_training.models import build_model
from vla_training.optimization import (
    WeightAverage,
    keep_freed_memory,
    make_optimizer,
    make_schedule,
)
from vla_training.progress import ProgressBar, progress_bar
from vla_training.run_keeper import BEST_FILE, CHECKPOINT_FILE, RunKeeper
from vla_training.training_checks import check_and_resolve
from vla_training.training_config import TrainingConfig
from vla_training.training_data import TrainingData
from vla_training.training_state import TrainingState, check_same_run
from vla_training.training_step import TrainingStep


@dataclass(frozen=True)
class TrainingResult:
    """What a run made.

    Attributes:
        checkpoint: The newest state.
        best: The policy that docked most often; None without a selection.
        steps: Steps of the whole run.
        samples: Samples seen in them.
        duration_s: Time spent on the steps, earlier parts of a resumed run included.
        samples_per_s: Rate of this part of the run.
        data_wait: Share of that time in which a step waited for its batch.
        parameters: Trained numbers of the policy.
        metrics: Offline metrics of the last validation; empty without validation episodes.
        selection: The best evaluation, see `Selection`; empty without any.
    """

    checkpoint: Path
    best: Path | None
    steps: int
    samples: int
    duration_s: float
    samples_per_s: float
    data_wait: float
    parameters: int
    metrics: dict[str, float]
    selection: dict[str, Any]


class Trainer:
    """One run: loads the data, restores or makes the state, and steps.

    Args:
        config: Of the run.
        resume: Go on from the checkpoint in the output folder, if there is one.

    Raises:
        ConfigurationError: Naming every mistake, those that only the data show included.
        DatasetError: If the data set cannot be used.
        TrainingError: If the checkpoint belongs to another run.
    """

    def __init__(self, config: TrainingConfig, resume: bool = False) -> None:
        self._processes = Processes(config)
        self._config = config = check_and_resolve(config, self._processes.count)
        self._folder = Path(config.output)
        if config.threads:
            torch.set_num_threads(config.threads)
        keep_freed_memory()
        self._batches = TrainingData(
            config, self._processes.device, self._processes.count, self._processes.rank
        )
        self._data = self._batches.training
        self._step, self._spent_s = 0, 0.0
        torch.manual_seed(config.seed)
        data, device = self._data, self._processes.device
        policy = build_model(config.model, data.contract, data.statistics, data.vocabulary)
        if config.initial:
            take_weights(policy, load_checkpoint(Path(config.initial)), data.vocabulary)
        twin = copy.deepcopy(policy).to(device) if self._processes.is_main else None
        self._keeper = RunKeeper(config, self._batches, twin, device)
        if not self._processes.sharded:  # which wants contiguous weights
            policy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._module = TrainingStep(policy, config)
        self._processes.place(self._module)
        optimizer = make_optimizer(policy, config.optimizer)
        self._state = TrainingState(
            policy,
            WeightAverage(policy, config.optimizer.ema_decay),
            optimizer,
            make_schedule(optimizer, config.optimizer, config.steps),
            torch.amp.GradScaler(self._processes.device.type, enabled=config.precision == "fp16"),
        )
        checkpoint = self._folder / CHECKPOINT_FILE
        if resume and checkpoint.is_file():
            self._restore(load_checkpoint(checkpoint))
        self._shared = self._processes.share(self._module)

    def run(self, progress: bool = True, stop_after: int | None = None) -> TrainingResult:
        """Step to the end of the run.

        Args:
            progress: Whether to show a bar.
            stop_after: Stop early, with a checkpoint, when this many steps are done.

        Raises:
            TrainingError: If the loss is no longer finite or a file cannot be written.
        """
        config, first, begun_s = self._config, self._step, self._spent_s
        last = min(config.steps, stop_after or config.steps)
        if self._processes.is_main:
            self._keeper.open(first)
        with (
            self._keeper,
            progress_bar("training", config.steps, progress and self._processes.is_main) as bar,
            self._batches.batches(first, last) as batches,
        ):
            bar.advance(steps=first)
            over = self._processes.from_main(self._keeper.patience_is_over)
            while self._step < last and not over:
                started = time.monotonic()
                parts = self._advance(batches)
                self._spent_s += time.monotonic() - started
                bar.advance(" ".join(f"{name} {value:.4f}" for name, value in parts.items()))
                if self._keeper.is_due(self._step, last):
                    waited = batches.waited_s / (self._spent_s - begun_s)
                    self._report(parts, waited, bar)
                    over = self._processes.from_main(self._keeper.patience_is_over)
        spent_s = max(self._spent_s - begun_s, 1e-9)
        self._processes.free()
        return TrainingResult(
            checkpoint=self._folder / CHECKPOINT_FILE,
            best=self._folder / BEST_FILE if config.select.suite else None,
            steps=self._step,
            samples=self._step * self._batches.batch_size,
            duration_s=self._spent_s,
            samples_per_s=(self._step - first) * self._batches.batch_size / spent_s,
            data_wait=batches.waited_s / spent_s,
            parameters=sum(p.numel() for p in self._state.policy.parameters()),
            metrics=self._keeper.metrics,
            selection=self._keeper.selection.to_dict() if config.select.suite else {},
        )

    def _advance(self, batches: Prefetcher) -> dict[str, float]:
        """One optimizer step; returns the parts of the loss."""
        config, state = self._config, self._state
        self._module.train()
        losses: list[dict[str, Tensor]] = []
        for micro in range(config.accumulate):
            batch = batches.take()
            torch.manual_seed(self._batches.seed(self._step * config.accumulate + micro))
            with self._processes.gradients(self._shared, micro == config.accumulate - 1):
                loss, parts = self._shared(batch)
                state.scaler.scale(loss / config.accumulate).backward()
            losses.append({"loss": loss.detach(), **parts})
        state.scaler.unscale_(state.optimizer)
        clip_grad_norm_(state.policy.parameters(), config.optimizer.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.schedule.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.average.update()
        self._step += 1
        return self._checked(losses)

    def _checked(self, losses: list[dict[str, Tensor]]) -> dict[str, float]:
        """The loss and its parts, the mean over the micro-batches."""
        table = torch.stack([torch.stack(list(parts.values())).float() for parts in losses])
        values = dict(zip(losses[0], table.mean(0).tolist(), strict=True))
        if not math.isfinite(values["loss"]):
            raise TrainingError(
                f"the loss is {values['loss']} at step {self._step} ({values}); lower "
                "optimizer.learning_rate, or look for bad labels in the data set"
            )
        return values

    def _report(self, parts: dict[str, float], waited: float, bar: ProgressBar) -> None:
        """Validate, evaluate, log and save; every process has to call it."""
        figures = {
            "training_s": round(self._spent_s, 3),
            "data_wait": round(waited, 5),
            "learning_rate": self._state.schedule.get_last_lr()[0],
            "training": self._processes.mean(parts),
        }
        checkpoint = self._checkpoint()
        if self._processes.is_main:
            self._keeper.keep(checkpoint, figures, bar)

    def _checkpoint(self) -> Checkpoint:
        """The state as it is, whole; every process has to call it."""
        return Checkpoint(
            config=self._config,
            contract=self._data.contract,
            statistics=self._data.statistics,
            vocabulary=self._data.vocabulary,
            dataset=self._data.provenance,
            step=self._step,
            training_s=self._spent_s,
            weights=self._state.average.weights(),
            trainer=self._state.capture(),
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        check_same_run(self._config, self._data.provenance["episodes_sha256"], checkpoint)
        self._state.restore(checkpoint.trainer, checkpoint.weights)
        self._step, self._spent_s = checkpoint.step, checkpoint.training_s
        self._keeper.restore(checkpoint)


def train(config: TrainingConfig, *, resume: bool = False, progress: bool = True) -> TrainingResult:
    """Train a policy; the output folder then holds checkpoint, configuration and metrics.

    Args:
        config: See `load_training_config`.
        resume: Go on from the checkpoint in the output folder, if there is one.
        progress: Whether to show a bar.

    Raises:
        ConfigurationError: Naming every mistake, those that only the data show included.
        DatasetError: If the data set cannot be used.
        TrainingError: If a checkpoint does not fit or the loss is no longer finite.
    """
    return Trainer(config, resume).run(progress)
