"""From one stream to tokens; one encoder for each kind of stream that a contract may name.

Each takes raw SI values and normalises them itself, as the contract says, with statistics that it
keeps as buffers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_core.contract import StreamSpec
from vla_core.contract_specs import ImageDecoder, ScanDecoder
from vla_core.normalization import FieldStatistics
from vla_training.configuration import bounded
from vla_training.models.layers import AskedKeypoints, ResidualStage, SpatialSoftmax, TokenLearner

_NEAR_M = 0.3


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoders.

    Attributes:
        channels: Channels of the image encoder at strides 2, 4, 8 and 16.
        keypoints: Spatial-softmax keypoints at each of strides 4 and 8.
        asked_keypoints: Keypoints that the instruction asks for, at each of strides 4 and 8.
        learned_tokens: TokenLearner tokens at stride 16.
        scan_sectors: Sectors of a scan, one token each.
    """

    channels: tuple[int, int, int, int] = bounded((32, 48, 80, 128), 8, 4096)
    keypoints: int = bounded(24, 1, 1024)
    asked_keypoints: int = bounded(8, 1, 1024)
    learned_tokens: int = bounded(8, 1, 256)
    scan_sectors: int = bounded(6, 1, 256)


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


class ImageEncoder(nn.Module):
    """CNN with FiLM at strides 4, 8 and 16; a token of keypoints and TokenLearner tokens."""

    def __init__(
        self,
        stream: StreamSpec,
        statistics: FieldStatistics,
        config: EncoderConfig,
        condition: int,
        width: int,
    ) -> None:
        super().__init__()
        self.tokens = 1 + config.learned_tokens
        height, columns, _ = stream.shape
        sizes = [(-(-height // stride), -(-columns // stride)) for stride in (4, 8, 16)]
        c2, c4, c8, c16 = config.channels
        self.standardize = Standardize(statistics)
        self.stem = nn.Conv2d(3, c2, 5, stride=2, padding=2)
        self.stage4 = ResidualStage(c2, c4, condition)
        self.stage8 = ResidualStage(c4, c8, condition)
        self.stage16 = ResidualStage(c8, c16, condition)
        self.keypoints4 = SpatialSoftmax(c4, config.keypoints, *sizes[0])
        self.keypoints8 = SpatialSoftmax(c8, config.keypoints, *sizes[1])
        self.keypoint_token = nn.Sequential(
            nn.Linear(6 * config.keypoints, width), nn.ReLU(), nn.Linear(width, width)
        )
        self.asked4 = AskedKeypoints(condition, c4, config.asked_keypoints, *sizes[0])
        self.asked8 = AskedKeypoints(condition, c8, config.asked_keypoints, *sizes[1])
        self.asked_token = nn.Sequential(
            nn.Linear(6 * config.asked_keypoints, width), nn.ReLU(), nn.Linear(width, width)
        )
        positions = sizes[2][0] * sizes[2][1]
        self.token_learner = TokenLearner(c16, config.learned_tokens, positions, width)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Map an image (B, H, W, 3) uint8 and a condition (B, C) to tokens (B, K, D)."""
        # NHWC seen as NCHW is channels_last already: no copy.
        pixels = self.standardize(image.float()).permute(0, 3, 1, 2)
        features = functional.relu(self.stem(pixels))
        stride4 = self.stage4(features, condition)
        stride8 = self.stage8(stride4, condition)
        stride16 = self.stage16(stride8, condition)
        with torch.autocast(image.device.type, enabled=False):
            keypoints = torch.cat(
                [self.keypoints4(stride4.float()), self.keypoints8(stride8.float())], dim=1
            )
            asked = torch.cat(
                [self.asked4(stride4, condition), self.asked8(stride8, condition)], dim=1
            )
            found = self.keypoint_token(keypoints) + self.asked_token(asked)
            learned = self.token_learner(stride16.float())
            return torch.cat([found.unsqueeze(1), learned], dim=1)


class ScanEncoder(nn.Module):
    """1-D convolutions over the beams, cut into sectors of one token each."""

    def __init__(
        self, stream: StreamSpec, statistics: FieldStatistics, config: EncoderConfig, width: int
    ) -> None:
        super().__init__()
        (beams,) = stream.shape
        self.tokens = config.scan_sectors
        self.standardize = Standardize(statistics, pooled=True)
        # Half the beams, twice, rounded up; then padded so that the sectors divide them.
        reduced = -(-beams // 4)
        self.padding = -reduced % self.tokens
        self.layers = nn.Sequential(
            nn.Conv1d(2, 32, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(32, 64, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv1d(64, 64, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.projection = nn.Linear(64 * (reduced + self.padding) // self.tokens, width)
        self.position = nn.Parameter(torch.randn(self.tokens, width) * 0.02)

    def forward(self, scan: Tensor) -> Tensor:
        """Map ranges (B, beams) float32 [m] to tokens (B, K, D)."""
        # Inverse range beside range: a centimetre matters near the station, not across the room.
        near = _NEAR_M / scan.clamp(min=_NEAR_M / 6.0)
        features = self.layers(torch.stack([self.standardize(scan), near], dim=1))
        features = functional.pad(features, (0, self.padding))  # (B, 64, K p)
        sectors = features.transpose(1, 2).reshape(features.shape[0], self.tokens, -1)
        return self.projection(sectors) + self.position


class OdometryEncoder(nn.Module):
    """Two layers over the velocities: one token."""

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


def build_encoder(
    stream: StreamSpec,
    statistics: FieldStatistics,
    config: EncoderConfig,
    condition: int,
    width: int,
) -> nn.Module:
    """The encoder for a stream; it has an attribute `tokens`, their number."""
    if isinstance(stream.decoder, ImageDecoder):
        return ImageEncoder(stream, statistics, config, condition, width)
    if isinstance(stream.decoder, ScanDecoder):
        return ScanEncoder(stream, statistics, config, width)
    return OdometryEncoder(stream, statistics, width)
