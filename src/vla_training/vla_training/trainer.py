"""Training a policy: one loop, exact to repeat and to resume.

What a step does depends on the seed and its number alone: which samples, which augmentation, which
dropout. A run that is stopped and resumed therefore ends with the same bits as one that was not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import yaml
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel

from vla_core import keys
from vla_training.checkpoints import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    take_weights,
)
from vla_training.configuration import to_dict
from vla_training.dataset.batch import Batch
from vla_training.errors import TrainingError
from vla_training.losses import LossConfig, policy_loss
from vla_training.metrics import MetricsLog, offline_metrics
from vla_training.models import DockingCnn, build_model
from vla_training.optimization import RampedAverage, keep_freed_memory, make_optimizer
from vla_training.progress import ProgressBar, progress_bar
from vla_training.training_config import TrainingConfig
from vla_training.training_data import TrainingData

CHECKPOINT_FILE = "checkpoint.pt"
CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.jsonl"
_FREE_TO_CHANGE = (
    "output",
    "dataset",
    "threads",
    "storage",
    "prefetch",
    "validate_every",
    "validation_samples",
)


@dataclass(frozen=True)
class TrainingResult:
    """What a run made.

    Attributes:
        checkpoint: The file.
        steps: Steps of the whole run.
        samples: Samples seen in them.
        duration_s: Time spent on the steps, earlier parts of a resumed run included.
        samples_per_s: Rate of this part of the run.
        data_wait: Share of that time in which a step waited for its batch.
        parameters: Trained numbers of the policy.
        metrics: Offline metrics of the last validation; empty without validation episodes.
    """

    checkpoint: Path
    steps: int
    samples: int
    duration_s: float
    samples_per_s: float
    data_wait: float
    parameters: int
    metrics: dict[str, float]


class _TrainingStep(nn.Module):
    """Policy and loss in one module: one forward pass for whatever Accelerate wraps around it.

    Autocast is here and not Accelerate's, whose precision is one for the life of a process.
    """

    def __init__(self, policy: DockingCnn, loss: LossConfig, half: bool) -> None:
        super().__init__()
        self.policy = policy
        self._loss = loss
        self._half = half

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        device = batch[keys.VALID].device.type
        with torch.autocast(device, torch.bfloat16, enabled=self._half):
            output = self.policy.predict(batch)
        return policy_loss(output, batch, self.policy.action_spread, self._loss)


class Trainer:
    """One run: loads the data, restores or makes the state, and steps.

    Args:
        config: Validated configuration.
        resume: Go on from the checkpoint in the output folder, if there is one.

    Raises:
        DatasetError: If the data set cannot be used.
        TrainingError: If the checkpoint belongs to another run.
        ConfigurationError: If configuration and contract contradict each other.
    """

    def __init__(self, config: TrainingConfig, resume: bool = False) -> None:
        self._config = config
        self._folder = Path(config.output)
        self._log = MetricsLog(self._folder / METRICS_FILE)
        if config.threads:
            torch.set_num_threads(config.threads)
        keep_freed_memory()
        self._accelerator = Accelerator()
        self._batches = TrainingData(config, self._accelerator.device)
        self._data = self._batches.training
        torch.manual_seed(config.seed)
        policy = build_model(
            config.model, self._data.contract, self._data.statistics, self._data.vocabulary.size
        )
        if config.initial:
            take_weights(policy, load_checkpoint(Path(config.initial)), self._data.vocabulary)
        policy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._step, self._spent_s, self._metrics = 0, 0.0, dict[str, float]()
        module = _TrainingStep(policy, config.loss, config.precision == "bf16")
        optimizer = make_optimizer(policy, config.optimizer)
        self._schedule = OneCycleLR(
            optimizer,
            max_lr=config.optimizer.learning_rate,
            total_steps=config.steps,
            pct_start=config.optimizer.warmup,
            cycle_momentum=False,
        )
        self._module, self._optimizer = self._accelerator.prepare(module, optimizer)
        self._policy: DockingCnn = self._accelerator.unwrap_model(self._module).policy
        self._average = AveragedModel(
            self._policy, avg_fn=RampedAverage(config.optimizer.ema_decay)
        )
        checkpoint = self._folder / CHECKPOINT_FILE
        if resume and checkpoint.is_file():
            self._restore(load_checkpoint(checkpoint))

    def run(self, progress: bool = True, stop_after: int | None = None) -> TrainingResult:
        """Step to the end of the run.

        Args:
            progress: Whether to show a bar.
            stop_after: Stop early, with a checkpoint, when this many steps are done.

        Raises:
            TrainingError: If the loss is no longer finite or a file cannot be written.
        """
        config = self._config
        self._write_config()
        last = min(config.steps, stop_after or config.steps)
        first, begun_s = self._step, self._spent_s
        with (
            progress_bar("training", config.steps, progress) as bar,
            self._batches.batches(first, last) as batches,
        ):
            bar.advance(steps=first)
            while self._step < last:
                started = time.monotonic()
                parts = self._advance(batches.take())
                self._spent_s += time.monotonic() - started
                bar.advance(" ".join(f"{name} {value:.4f}" for name, value in parts.items()))
                if self._step % config.validate_every == 0 or self._step == last:
                    self._validate(parts, bar, batches.waited_s / (self._spent_s - begun_s))
                    self._save()
        spent_s = max(self._spent_s - begun_s, 1e-9)
        self._accelerator.free_memory()
        seen = (self._step - first) * min(config.batch_size, len(self._data))
        return TrainingResult(
            checkpoint=self._folder / CHECKPOINT_FILE,
            steps=self._step,
            samples=self._step * min(config.batch_size, len(self._data)),
            duration_s=self._spent_s,
            samples_per_s=seen / spent_s,
            data_wait=batches.waited_s / spent_s,
            parameters=sum(p.numel() for p in self._policy.parameters()),
            metrics=self._metrics,
        )

    def _advance(self, batch: Batch) -> dict[str, float]:
        """One optimizer step; returns the parts of the loss."""
        torch.manual_seed(self._batches.step_seed(self._step))
        self._module.train()
        loss, parts = self._module(batch)
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(
            self._module.parameters(), self._config.optimizer.clip_norm
        )
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._average.update_parameters(self._policy)
        self._step += 1
        values = {name: float(value) for name, value in parts.items()}
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self._step} ({values}); lower "
                "optimizer.learning_rate, or look for bad labels in the data set"
            )
        return values

    def _validate(self, parts: dict[str, float], bar: ProgressBar, data_wait: float) -> None:
        if self._batches.validation is not None:
            self._metrics = offline_metrics(
                cast("DockingCnn", self._average.module),
                self._batches.validation,
                self._config.loss,
                self._accelerator.device,
                self._config.validation_samples,
            )
        record = {
            "step": self._step,
            "training_s": round(self._spent_s, 3),
            "data_wait": round(data_wait, 5),
            "learning_rate": self._schedule.get_last_lr()[0],
            "training": parts,
            "validation": self._metrics,
        }
        self._log.append(record)
        figures = {
            **{f"training {name} loss": value for name, value in parts.items()},
            **{f"validation {name}": self._metrics[name] for name in ("loss",) if self._metrics},
        }
        shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        bar.say(f"step {self._step} of {self._config.steps}: {shown}")

    def _write_config(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            text = yaml.safe_dump(to_dict(self._config), sort_keys=False)
            (self._folder / CONFIG_FILE).write_text(text, encoding="utf-8")
            self._log.forget_after(self._step)
        except OSError as error:
            raise TrainingError(f"output {self._folder} cannot be written: {error}") from error

    def _save(self) -> None:
        if not self._accelerator.is_main_process:
            return
        checkpoint = Checkpoint(
            config=self._config,
            contract=self._data.contract,
            statistics=self._data.statistics,
            vocabulary=self._data.vocabulary,
            dataset=self._data.provenance,
            step=self._step,
            training_s=self._spent_s,
            weights=_to_cpu(self._average.module.state_dict()),
            trainer={
                "weights": _to_cpu(self._policy.state_dict()),
                "averaged": int(self._average.n_averaged),
                "optimizer": self._optimizer.state_dict(),
                "schedule": self._schedule.state_dict(),
            },
            metrics=self._metrics,
        )
        save_checkpoint(checkpoint, self._folder / CHECKPOINT_FILE)

    def _restore(self, checkpoint: Checkpoint) -> None:
        ours, theirs = to_dict(self._config), to_dict(checkpoint.config)
        changed = [
            f"{key} is {ours[key]!r} now and {theirs[key]!r} in the checkpoint"
            for key in ours
            if key not in _FREE_TO_CHANGE and ours[key] != theirs[key]
        ]
        if self._data.provenance["episodes_sha256"] != checkpoint.dataset["episodes_sha256"]:
            changed.append(f"the episodes of {self._config.dataset} are not those it began with")
        if changed:
            raise TrainingError(
                f"{self._folder} cannot be resumed: {'; '.join(changed)}; use another output "
                "folder or train without resuming"
            )
        state = checkpoint.trainer
        self._policy.load_state_dict(state["weights"])
        self._average.module.load_state_dict(checkpoint.weights)
        self._average.n_averaged.fill_(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._step, self._spent_s = checkpoint.step, checkpoint.training_s
        self._metrics = dict(checkpoint.metrics)


def train(config: TrainingConfig, *, resume: bool = False, progress: bool = True) -> TrainingResult:
    """Train a policy; the output folder then holds checkpoint, configuration and metrics.

    Args:
        config: See `load_training_config`.
        resume: Go on from the checkpoint in the output folder, if there is one.
        progress: Whether to show a bar.

    Raises:
        DatasetError: If the data set cannot be used.
        ConfigurationError: If configuration and contract contradict each other.
        TrainingError: If a checkpoint does not fit or the loss is no longer finite.
    """
    return Trainer(config, resume).run(progress)


def _to_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}
