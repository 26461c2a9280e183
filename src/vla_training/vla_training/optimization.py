"""The optimizer, the average of the weights, and what makes a step cheap."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import torch
from torch import Tensor, nn

from vla_training.training_config import OptimizerConfig


class RampedAverage:
    """Exponential moving average that forgets the first steps sooner."""

    def __init__(self, decay: float) -> None:
        self._decay = decay

    def __call__(self, average: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        """The new average, of the old one, the weights and the number of updates before."""
        ramp = (1.0 + float(count)) / (10.0 + float(count))
        return average.lerp(value, 1.0 - min(self._decay, ramp))


def make_optimizer(policy: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW that decays weight matrices only: no biases, gains, embeddings or learned tokens."""
    decayed = [
        module.weight
        for module in policy.modules()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
    ]
    chosen = {id(parameter) for parameter in decayed}
    rest = [parameter for parameter in policy.parameters() if id(parameter) not in chosen]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def keep_freed_memory() -> None:
    """Stop glibc from handing big blocks back to the kernel after every step.

    A step frees and allocates the same activations again; fetching their pages anew costs about a
    tenth of its time on a CPU.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)
