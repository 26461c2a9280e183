"""What a run goes on from: everything that changes from step to step, as whole tensors.

A state says nothing about how many processes it came from, or how they shared it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vla_training.checkpoints import Checkpoint
from vla_training.configuration import to_dict
from vla_training.distribution import part_of, whole
from vla_training.errors import TrainingError
from vla_training.optimization import WeightAverage
from vla_training.training_config import TrainingConfig

_FREE_TO_CHANGE: Final = (
    "output",
    "dataset",
    "threads",
    "storage",
    "prefetch",
    "validate_every",
    "validation_samples",
    "strategy",
    "log",
)


@dataclass
class TrainingState:
    """The parts of a run that have a state.

    Attributes:
        policy: Whose weights move.
        average: Of its weights.
        optimizer: That moves them.
        schedule: Of its rate.
        scaler: Of the loss.
    """

    policy: nn.Module
    average: WeightAverage
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler

    def weights(self) -> dict[str, Tensor]:
        """The weights as they are; every process has to call it."""
        return {name: whole(value) for name, value in self.policy.state_dict().items()}

    def capture(self) -> dict[str, Any]:
        """What `restore` needs, besides the averaged weights; every process has to call it."""
        optimizer = self.optimizer.state_dict()
        moments = {
            number: {name: whole(value) for name, value in values.items()}
            for number, values in optimizer["state"].items()
        }
        return {
            "weights": self.weights(),
            "averaged": self.average.updates,
            "optimizer": {**optimizer, "state": moments},
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any], averaged: dict[str, Tensor]) -> None:
        """Take over a state; the rest is computed from seed and step."""
        own = self.policy.state_dict()
        for name, value in state["weights"].items():
            own[name].copy_(part_of(value, own[name]))
        self.average.restore(averaged, state["averaged"])
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        moments = {
            number: {
                name: part_of(value, parameters[number]) if value.dim() else value
                for name, value in values.items()
            }
            for number, values in state["optimizer"]["state"].items()
        }
        self.optimizer.load_state_dict({**state["optimizer"], "state": moments})
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])


def check_same_run(config: TrainingConfig, episodes_sha256: str, checkpoint: Checkpoint) -> None:
    """Make sure that a checkpoint is of this run.

    Raises:
        TrainingError: Naming everything that is different.
    """
    ours, theirs = to_dict(config), to_dict(checkpoint.config)
    changed = [
        f"{key} is {ours[key]!r} now and {theirs[key]!r} in the checkpoint"
        for key in ours
        if key not in _FREE_TO_CHANGE and ours[key] != theirs[key]
    ]
    if episodes_sha256 != checkpoint.dataset["episodes_sha256"]:
        changed.append(f"the episodes of {config.dataset} are not those it began with")
    if changed:
        raise TrainingError(
            f"{config.output} cannot be resumed: {'; '.join(changed)}; use another output "
            "folder or train without resuming"
        )
