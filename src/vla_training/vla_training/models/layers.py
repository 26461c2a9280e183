"""Building blocks that several parts of a policy share.

Every block is batch-independent (no statistics of a batch), so that one process, several
processes and ONNX Runtime compute the same function.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_core.normalization import FieldStatistics


class Standardize(nn.Module):
    """Shifts and scales the last axis as statistics say; a buffer, not a parameter.

    Args:
        statistics: Of the stream.
        pooled: One center and one spread for all components: for scans, whose beams are samples of
            one quantity.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, statistics: FieldStatistics, pooled: bool = False) -> None:
        super().__init__()
        if pooled:
            mean, std = (
                statistics.mean.mean(),
                np.hypot(np.sqrt(np.mean(statistics.std**2)), statistics.mean.std()),
            )
            statistics = FieldStatistics(
                np.array([mean]),
                np.array([std]),
                np.array([statistics.min.min()]),
                np.array([statistics.max.max()]),
                statistics.count,
                statistics.normalization,
            )
        center, spread = statistics.center_and_spread()
        self.register_buffer("center", torch.from_numpy(center))
        self.register_buffer("spread", torch.from_numpy(spread))

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        return (values - self.center) / self.spread


def group_norm(channels: int) -> nn.GroupNorm:
    """A group norm with eight channels a group, the last group included."""
    return nn.GroupNorm(max(1, channels // 8), channels)


class FrozenNormConv2d(nn.Conv2d):
    """A convolution and a batch norm with statistics that never change; scale and shift learn.

    Statistics of a batch would make its samples depend on each other, and differ between
    processes. These are folded into the convolution, so that the norm costs nothing.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Size of the kernel.
        stride: Of the convolution.
        padding: On each side.
        groups: Of channels.
        epsilon: Added to the variance.
    """

    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        epsilon: float = 0.0,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.scale = nn.Parameter(torch.ones(outputs))
        self.shift = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("variance", torch.ones(outputs))
        self._epsilon = epsilon

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, h', w')."""
        scale = self.scale * (self.variance + self._epsilon).rsqrt()
        return functional.conv2d(
            features,
            self.weight * scale[:, None, None, None],
            self.shift - self.mean * scale,
            self.stride,
            self.padding,
            groups=self.groups,
        )


class Film(nn.Module):
    """Feature-wise linear modulation: scales and shifts channels by a condition.

    Starts as the identity. Perez et al., "FiLM: Visual Reasoning with a General Conditioning
    Layer", AAAI 2018.

    Args:
        condition: Size C of the condition vector.
        channels: Channels of the feature map.
    """

    def __init__(self, condition: int, channels: int) -> None:
        super().__init__()
        self.projection = nn.Linear(condition, 2 * channels)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Modulate features (B, channels, h, w) by condition (B, C)."""
        scale, shift = self.projection(condition)[:, :, None, None].chunk(2, dim=1)
        return features * (1.0 + scale) + shift


class Attention(nn.Module):
    """Multi-head attention of queries over a context.

    Args:
        width: Size D of a token.
        heads: Attention heads; must divide D.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Map queries (B, N, D) and a context (B, M, D) to (B, N, D)."""
        batch, count, width = queries.shape
        query = self.query(queries).reshape(batch, count, self.heads, -1).transpose(1, 2)
        pairs = self.key_value(context).reshape(batch, context.shape[1], 2, self.heads, -1)
        key, value = pairs.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, M, D/heads)
        return self.out(attend(query, key, value).transpose(1, 2).reshape(batch, count, width))


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention: (..., N, d), (..., M, d), (..., M, d) to (..., N, d)."""
    scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    return scores.softmax(dim=-1) @ value


class AttentionBlock(nn.Module):
    """Pre-norm transformer encoder layer.

    Args:
        width: Size D of a token.
        heads: Attention heads; must divide D.
        feedforward: Hidden size of the two-layer perceptron.
        dropout: Probability of dropping an element of either residual branch.
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, feedforward)
        self.down = nn.Linear(feedforward, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, D) to (B, N, D)."""
        batch, count, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).reshape(batch, count, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, N, D/heads)
        mixed = attend(query, key, value).transpose(1, 2).reshape(batch, count, width)
        tokens = tokens + self.dropout(self.out(mixed))
        hidden = functional.gelu(self.up(self.norm2(tokens)))
        return tokens + self.dropout(self.down(hidden))


class CrossAttentionBlock(nn.Module):
    """Pre-norm transformer decoder layer: queries read each other, then a context.

    Args:
        width: Size D of a token.
        heads: Attention heads; must divide D.
        feedforward: Hidden size of the two-layer perceptron.
        dropout: Probability of dropping an element of a residual branch.
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.among = AttentionBlock(width, heads, feedforward, dropout)
        self.norm = nn.LayerNorm(width)
        self.across = Attention(width, heads)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Map queries (B, N, D), reading a context (B, M, D), to (B, N, D)."""
        queries = queries + self.dropout(self.across(self.norm(queries), context))
        return self.among(queries)
