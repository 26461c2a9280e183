"""Building blocks of the policies: FiLM, residual blocks, keypoints, TokenLearner, attention.

Every block is batch-independent (group and layer norm, no batch norm), so that one process, several
processes and ONNX Runtime compute the same function.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def group_norm(channels: int) -> nn.GroupNorm:
    """A group norm with eight channels a group, the last group included."""
    return nn.GroupNorm(max(1, channels // 8), channels)


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


class ResidualStage(nn.Module):
    """Strided convolution, FiLM, then one residual block: halves height and width.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        condition: Size of the FiLM condition.
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm = group_norm(outputs)
        self.film = Film(condition, outputs)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm1 = group_norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        # The block starts as the identity: deep features are not noise at the first step.
        self.gain = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Map (B, inputs, h, w) and (B, C) to (B, outputs, h/2, w/2)."""
        reduced = functional.relu(self.film(self.norm(self.reduce(features)), condition))
        inner = functional.relu(self.norm1(self.conv1(reduced)))
        return functional.relu(reduced + self.gain * self.conv2(inner))


class SpatialSoftmax(nn.Module):
    """Expected image coordinates of K learned keypoints.

    Levine et al., "End-to-End Training of Deep Visuomotor Policies", JMLR 2016. Computed in
    float32: half precision would round coordinates to a fifth of a pixel.

    Args:
        channels: Channels in.
        keypoints: Number of keypoints K.
        height: Rows of the feature map.
        width: Columns of the feature map.
    """

    positions: Tensor

    def __init__(self, channels: int, keypoints: int, height: int, width: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, keypoints, 1)
        self.register_buffer("positions", pixel_positions(height, width), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, 3 K) float32: column and row in [-1, 1], peak height."""
        return expected_positions(self.score(features).float().flatten(2), self.positions)


class AskedKeypoints(nn.Module):
    """Image coordinates of what the condition asks for: attention with queries made of it.

    FiLM has to turn "the red one" into channels before anything can look for red; here the
    sentence is compared with the features of every position directly.

    Args:
        condition: Size C of the condition.
        channels: Channels of the feature map.
        keypoints: Number of queries K.
        height: Rows of the feature map.
        width: Columns of the feature map.
    """

    positions: Tensor

    def __init__(
        self, condition: int, channels: int, keypoints: int, height: int, width: int
    ) -> None:
        super().__init__()
        self.query = nn.Linear(condition, keypoints * channels)
        self.keypoints = keypoints
        self.register_buffer("positions", pixel_positions(height, width), persistent=False)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Map (B, channels, h, w) and (B, C) to (B, 3 K) float32, as `SpatialSoftmax`."""
        channels = features.shape[1]
        queries = self.query(condition).view(-1, self.keypoints, channels)  # (B, K, channels)
        scores = queries @ features.float().flatten(2) * channels**-0.5  # (B, K, h w)
        return expected_positions(scores, self.positions)


def pixel_positions(height: int, width: int) -> Tensor:
    """Column and row in [-1, 1] of every position of a feature map, (h w, 2), row by row."""
    rows = torch.linspace(-1.0, 1.0, height).repeat_interleave(width)
    columns = torch.linspace(-1.0, 1.0, width).repeat(height)
    return torch.stack([columns, rows], dim=1)


def expected_positions(scores: Tensor, positions: Tensor) -> Tensor:
    """Softmax of scores (B, K, h w) over positions (h w, 2): (B, 3 K) mean place, peak height."""
    weights = scores.softmax(dim=-1)
    peaks = weights.amax(dim=-1, keepdim=True)
    return torch.cat([weights @ positions, peaks], dim=-1).flatten(1)


class TokenLearner(nn.Module):
    """Pools a feature map into K tokens by K learned attention maps.

    Ryoo et al., "TokenLearner: What Can 8 Learned Tokens Do for Images and Videos?", NeurIPS 2021;
    the maps are normalised with a softmax over positions.

    Args:
        channels: Channels in.
        tokens: Number of tokens K.
        positions: Positions h w of the feature map.
        width: Size D of a token.
    """

    def __init__(self, channels: int, tokens: int, positions: int, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(channels, tokens)
        self.value = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(positions, channels) * 0.02)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, K, D)."""
        sequence = features.flatten(2).transpose(1, 2) + self.position  # (B, h w, channels)
        weights = self.score(sequence).float().softmax(dim=1)  # (B, h w, K)
        return weights.transpose(1, 2) @ self.value(sequence).float()


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
        scores = (query @ key.transpose(-1, -2)) * (width // self.heads) ** -0.5
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch, count, width)
        tokens = tokens + self.dropout(self.out(mixed))
        hidden = functional.gelu(self.up(self.norm2(tokens)))
        return tokens + self.dropout(self.down(hidden))
