"""One optimizer step as the trainer takes it, whole or without a part of what makes it fast."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from vla_core.contract import Contract
from vla_training.benchmarks.untrained import random_batch, untrained_policy
from vla_training.models.layers import FrozenNormConv2d
from vla_training.optimization import WeightAverage, make_optimizer
from vla_training.training_config import TrainingConfig
from vla_training.training_step import TrainingStep

WITHOUT: Final = ("channels_last", "folded_norms", "fused_optimizer")
"""What is taken away from our step with equal sizes, one at a time."""


class OurStep:
    """One optimizer step as the trainer takes it, on a batch in memory.

    Args:
        config: Of the run.
        contract: Of the robot.
        without: One of `WITHOUT`, to leave out; empty for nothing.

    Attributes:
        parameters: Of the policy.
    """

    def __init__(self, config: TrainingConfig, contract: Contract, without: str = "") -> None:
        policy = untrained_policy(config, contract)
        if without == "channels_last":
            policy.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if without == "folded_norms":
            _unfold_norms(policy)
        self._batch = random_batch(contract, config.batch_size)
        if without == "channels_last":
            self._batch = {
                name: value.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
                if value.dim() == 4
                else value
                for name, value in self._batch.items()
            }
        self._policy = policy
        self._module = TrainingStep(policy, config).train()
        self._optimizer: torch.optim.Optimizer = make_optimizer(policy, config.optimizer)
        if without == "fused_optimizer":
            self._optimizer = torch.optim.AdamW(
                [{**group, "fused": None} for group in self._optimizer.param_groups]
            )
        self._average = WeightAverage(policy, config.optimizer.ema_decay)
        self._clip_norm = config.optimizer.clip_norm
        self.parameters = sum(parameter.numel() for parameter in policy.parameters())

    def __call__(self, index: int = 0) -> float:
        """Take a step; returns the loss.

        Args:
            index: Not used: every step is alike.
        """
        loss, _ = self._module(self._batch)
        loss.backward()
        clip_grad_norm_(self._policy.parameters(), self._clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._average.update()
        return loss.item()


class _Unfolded(nn.Module):
    """What `FrozenNormConv2d` computes, norm after convolution, as most libraries have it."""

    def __init__(self, folded: FrozenNormConv2d) -> None:
        super().__init__()
        self.folded = folded

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        layer = self.folded
        scale = layer.scale * (layer.variance + layer._epsilon).rsqrt()
        shift = layer.shift - layer.mean * scale
        plain = nn.functional.conv2d(
            features, layer.weight, None, layer.stride, layer.padding, groups=layer.groups
        )
        return plain * scale[:, None, None] + shift[:, None, None]


def _unfold_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, FrozenNormConv2d):
            setattr(module, name, _Unfolded(child))
        else:
            _unfold_norms(child)
