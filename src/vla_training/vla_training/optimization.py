"""The optimizer, its rate, the average of the weights, and what makes a step cheap."""

from __future__ import annotations

import ctypes
import math
import sys
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from vla_training.distribution import part_of, whole
from vla_training.training_config import OptimizerConfig

_FIRST_SHARE: Final = 1.0 / 25.0
_LAST_SHARE: Final = _FIRST_SHARE / 1e4


class WeightAverage:
    """Exponential moving average of weights that forgets the first steps sooner.

    Args:
        module: Whose parameters to follow; sharded ones have sharded averages.
        decay: Share of the old average that stays, in the long run.

    Attributes:
        updates: How often the weights were taken in.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        self._decay = decay
        self._parameters = list(module.parameters())
        self._values = [parameter.detach().clone() for parameter in self._parameters]
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights in, as they are now."""
        if self.updates == 0:
            for value, parameter in zip(self._values, self._parameters, strict=True):
                value.copy_(parameter)
        else:
            ramp = (1.0 + self.updates) / (10.0 + self.updates)
            share = 1.0 - min(self._decay, ramp)
            for value, parameter in zip(self._values, self._parameters, strict=True):
                value.lerp_(parameter.detach(), share)
        self.updates += 1

    def weights(self) -> dict[str, Tensor]:
        """The module's state with averaged weights, whole; every process has to call it."""
        averaged = {id(p): value for p, value in zip(self._parameters, self._values, strict=True)}
        state = self._module.state_dict(keep_vars=True)
        return {name: whole(averaged.get(id(value), value)) for name, value in state.items()}

    def restore(self, weights: dict[str, Tensor], updates: int) -> None:
        """Go on from what `weights` gave after so many updates."""
        places = {id(p): value for p, value in zip(self._parameters, self._values, strict=True)}
        for name, parameter in self._module.named_parameters():
            value = places[id(parameter)]
            value.copy_(part_of(weights[name], value))
        self.updates = updates


def make_optimizer(policy: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW that decays weight matrices only: no biases, gains, embeddings or learned tokens.

    Embeddings have a rate of their own: a word is in few samples, and the others do not move it.
    """
    decayed = [
        module.weight
        for module in policy.modules()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
    ]
    words = [module.weight for module in policy.modules() if isinstance(module, nn.Embedding)]
    chosen = {id(parameter) for parameter in (*decayed, *words)}
    rest = [parameter for parameter in policy.parameters() if id(parameter) not in chosen]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    if words:
        rate = config.learning_rate * config.embedding_rate
        groups.append({"params": words, "weight_decay": 0.0, "lr": rate})
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def make_schedule(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, steps: int
) -> LRScheduler:
    """The learning rate of each of so many steps, see `OptimizerConfig.schedule`."""
    shares = {"onecycle": one_cycle, "cosine": warm_cosine}[config.schedule]
    return LambdaLR(optimizer, lambda step: shares(step, steps, config.warmup))


def one_cycle(step: int, steps: int, warmup: float) -> float:
    """Share of the largest rate: a cosine up from 1/25, a cosine down to 4e-6."""
    top = max(0.0, warmup * steps - 1.0)
    if step <= top:
        return _between(_FIRST_SHARE, 1.0, step / top if top else 1.0)
    return _between(1.0, _LAST_SHARE, (step - top) / (max(steps - 1, step) - top))


def warm_cosine(step: int, steps: int, warmup: float) -> float:
    """Share of the largest rate: a line up, a cosine down to 0, which the step after last has."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return _between(1.0, 0.0, (step - rising + 1) / (steps - rising + 1))


def _between(first: float, last: float, share: float) -> float:
    """From first to last along half a cosine."""
    return last + (first - last) * (0.5 + 0.5 * math.cos(math.pi * min(share, 1.0)))


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
