"""One forward pass of training: policy and loss in one module."""

from __future__ import annotations

import functools
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vla_core import keys
from vla_training.dataset.batch import Batch
from vla_training.distribution import blocks
from vla_training.losses import policy_loss
from vla_training.models import Policy
from vla_training.training_config import TrainingConfig

HALF: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingStep(nn.Module):
    """Policy and loss in one module: one call for whatever is wrapped around it.

    Autocast is here and not Accelerate's, whose precision is one for the life of a process.

    Args:
        policy: To train.
        config: Of the run.
    """

    def __init__(self, policy: Policy, config: TrainingConfig) -> None:
        super().__init__()
        self.policy = policy
        self._loss = config.loss
        self._half = HALF.get(config.precision)
        if config.checkpoint_activations:
            for block in blocks(policy):
                recompute(block)
        if config.compile:
            self.compile()

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and its parts by name, detached."""
        device = batch[keys.VALID].device.type
        with torch.autocast(device, self._half, enabled=self._half is not None):
            output = self.policy.predict(batch)
        return policy_loss(self.policy, output, batch, self._loss)


def recompute(block: nn.Module) -> None:
    """Let a block keep its inputs only, and compute the rest again in the backward pass.

    Random numbers are drawn again as they were, so that the gradients are the same. Chen et al.,
    "Training Deep Nets with Sublinear Memory Cost", 2016.
    """
    forward = block.forward

    @functools.wraps(forward)
    def checkpointed(*inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, **named)

    block.forward = checkpointed  # type: ignore[method-assign]
