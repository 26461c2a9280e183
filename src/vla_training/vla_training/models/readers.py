"""Readers of feature maps: where something is, as image coordinates, and what is there, as tokens.

Each has `maps`, the attention over positions that its answer is a mean under.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_CONFINED = 6.0
"""Largest initial weight of a focus in a score."""


class SpatialSoftmax(nn.Module):
    """Expected image coordinates of K learned keypoints.

    Levine et al., "End-to-End Training of Deep Visuomotor Policies", JMLR 2016. Computed in
    float32: half precision would round coordinates to a fifth of a pixel.

    Args:
        channels: Channels in.
        keypoints: Number of keypoints K.
        height: Rows of the feature map.
        width: Columns of the feature map.
        focused: Whether it is given a focus.
    """

    positions: Tensor

    def __init__(
        self, channels: int, keypoints: int, height: int, width: int, focused: bool = False
    ) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, keypoints, 1)
        # Some stay within the focus from the beginning, some look everywhere.
        self.confined = (
            nn.Parameter(torch.linspace(0.0, _CONFINED, keypoints)[:, None, None])
            if focused
            else None
        )
        self.register_buffer("positions", pixel_positions(height, width), persistent=False)

    def maps(self, features: Tensor, focus: Tensor | None = None) -> Tensor:
        """Map (B, channels, h, w), and a focus (B, 1, h', w'), to (B, K, h w) float32.

        Each map sums to 1.
        """
        scores = self.score(features).float()
        if focus is not None and self.confined is not None:
            size = features.shape[2:]
            scores = scores + self.confined * functional.interpolate(focus, size, mode="nearest")
        return scores.flatten(2).softmax(dim=-1)

    def forward(self, features: Tensor, focus: Tensor | None = None) -> Tensor:
        """Map the same to (B, 3 K) float32: column and row in [-1, 1], peak height."""
        return expected_positions(self.maps(features, focus), self.positions)


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

    def maps(self, features: Tensor, condition: Tensor) -> Tensor:
        """Map (B, channels, h, w) and (B, C) to (B, K, h w) float32, each of which sums to 1."""
        channels = features.shape[1]
        queries = self.query(condition).view(-1, self.keypoints, channels)  # (B, K, channels)
        scores = queries @ features.float().flatten(2) * channels**-0.5
        return scores.softmax(dim=-1)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Map (B, channels, h, w) and (B, C) to (B, 3 K) float32, as `SpatialSoftmax`."""
        return expected_positions(self.maps(features, condition), self.positions)


def pixel_positions(height: int, width: int) -> Tensor:
    """Column and row in [-1, 1] of every position of a feature map, (h w, 2), row by row."""
    rows = torch.linspace(-1.0, 1.0, height).repeat_interleave(width)
    columns = torch.linspace(-1.0, 1.0, width).repeat(height)
    return torch.stack([columns, rows], dim=1)


def expected_positions(maps: Tensor, positions: Tensor) -> Tensor:
    """Mean place under maps (B, K, h w) over positions (h w, 2), and their peaks: (B, 3 K)."""
    peaks = maps.amax(dim=-1, keepdim=True)
    return torch.cat([maps @ positions, peaks], dim=-1).flatten(1)


class Pooling(nn.Module):
    """From a feature map to tokens.

    Args:
        tokens: Their number K.

    Attributes:
        tokens: The same.
    """

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, K, D)."""
        raise NotImplementedError


class TokenLearner(Pooling):
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
        super().__init__(tokens)
        self.score = nn.Linear(channels, tokens)
        self.value = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(positions, channels) * 0.02)

    def maps(self, features: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, K, h w) float32, each of which sums to 1."""
        return self._maps(self._sequence(features))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, K, D)."""
        sequence = self._sequence(features)
        return self._maps(sequence) @ self.value(sequence).float()

    def _sequence(self, features: Tensor) -> Tensor:
        return features.flatten(2).transpose(1, 2) + self.position  # (B, h w, channels)

    def _maps(self, sequence: Tensor) -> Tensor:
        return self.score(sequence).float().softmax(dim=1).transpose(1, 2)


class PositionTokens(Pooling):
    """A token for every position of a feature map.

    Args:
        channels: Channels in.
        positions: Positions h w of the feature map.
        width: Size D of a token.
    """

    def __init__(self, channels: int, positions: int, width: int) -> None:
        super().__init__(positions)
        self.value = nn.Linear(channels, width)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, h w, D)."""
        return self.value(features.flatten(2).transpose(1, 2))


class MeanToken(Pooling):
    """One token: the mean of a feature map.

    Args:
        channels: Channels in.
        width: Size D of a token.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(1)
        self.value = nn.Linear(channels, width)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, 1, D)."""
        return self.value(features.flatten(2).mean(2)).unsqueeze(1)
