"""From measured velocities to a token."""

from __future__ import annotations

from torch import Tensor, nn

from vla_core.contract import StreamSpec
from vla_core.normalization import FieldStatistics
from vla_training.models.layers import Standardize


class OdometryEncoder(nn.Module):
    """Two layers over the velocities: one token.

    Args:
        stream: The odometry.
        statistics: Of its velocities.
        width: Size D of a token.

    Attributes:
        tokens: 1.
    """

    def __init__(self, stream: StreamSpec, statistics: FieldStatistics, width: int) -> None:
        super().__init__()
        self.tokens = 1
        self.standardize = Standardize(statistics)
        self.layers = nn.Sequential(
            nn.Linear(stream.shape[0], width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, velocities: Tensor) -> Tensor:
        """Map (B, C) float32 [m/s, rad/s] to tokens (B, 1, D)."""
        return self.layers(self.standardize(velocities)).unsqueeze(1)
