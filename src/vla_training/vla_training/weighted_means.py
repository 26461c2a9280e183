"""Means that count some values more than others, in one process or in several."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values where the mask is true; 0 if it is true nowhere."""
    return weighted_mean(values, mask.to(values.dtype))


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Sum of the weighted values by the sum of the weights; 0 if that is 0.

    Where several processes train together, the sum of the weights is the mean of theirs: the mean
    of the processes' gradients is then that of one process with all samples, however the padding
    is spread.
    """
    total = weights.detach().sum()
    if torch.is_grad_enabled() and distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(total)
        total = total / distributed.get_world_size()
    numerator = (values * weights).sum()
    return numerator / torch.where(total > 0.0, total, 1.0)
