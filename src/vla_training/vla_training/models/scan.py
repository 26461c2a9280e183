"""From a planar scan to tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_core.contract import StreamSpec
from vla_core.contract_specs import ScanDecoder
from vla_core.normalization import FieldStatistics
from vla_training.configuration import bounded
from vla_training.models.layers import Standardize

_NEAR_M = 0.3


@dataclass(frozen=True)
class ScanEncoderConfig:
    """How scans become tokens.

    Attributes:
        kind: "sectors": convolutions along the beams, then a token for each sector; "beams": a
            token for each few beams.
        sectors: Number of sectors.
        beams: Beams of a token.
    """

    kind: str = bounded("sectors", choices=("sectors", "beams"))
    sectors: int = bounded(6, 1, 256)
    beams: int = bounded(2, 1, 4096)


class SectorEncoder(nn.Module):
    """1-D convolutions over the beams, cut into sectors of one token each.

    Args:
        sectors: Their number K.
        stream: The scanner.
        statistics: Of its scans.
        width: Size D of a token.

    Attributes:
        tokens: Their number.
    """

    def __init__(
        self, sectors: int, stream: StreamSpec, statistics: FieldStatistics, width: int
    ) -> None:
        super().__init__()
        (beams,) = stream.shape
        self.tokens = sectors
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
        for layer in self.layers:
            if isinstance(layer, nn.Conv1d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.projection = nn.Linear(64 * (reduced + self.padding) // self.tokens, width)
        self.position = nn.Parameter(torch.randn(self.tokens, width) * 0.02)

    def forward(self, scan: Tensor) -> Tensor:
        """Map ranges (B, beams) float32 [m] to tokens (B, K, D)."""
        features = self.layers(_near_and_far(scan, self.standardize))
        features = functional.pad(features, (0, self.padding))  # (B, 64, K p)
        sectors = features.transpose(1, 2).reshape(features.shape[0], self.tokens, -1)
        return self.projection(sectors) + self.position


class BeamEncoder(nn.Module):
    """A token for each few beams, which knows where they point and which of them came back.

    Args:
        beams: Beams of a token.
        stream: The scanner.
        statistics: Of its scans.
        width: Size D of a token.

    Attributes:
        tokens: Their number K.
    """

    directions: Tensor

    def __init__(
        self, beams: int, stream: StreamSpec, statistics: FieldStatistics, width: int
    ) -> None:
        super().__init__()
        decoder = stream.decoder
        if not isinstance(decoder, ScanDecoder):
            raise TypeError(f"{stream.key} is decoded by {type(decoder).__name__}, not as a scan")
        self.tokens = -(-decoder.beams // beams)
        self.standardize = Standardize(statistics, pooled=True)
        self.padding = self.tokens * beams - decoder.beams
        self._far_m = decoder.range_max_m
        # Of the middle of each group of beams, counter-clockwise.
        step = (decoder.angle_max_rad - decoder.angle_min_rad) / decoder.beams
        angles = decoder.angle_min_rad + (torch.arange(self.tokens) + 0.5) * beams * step
        directions = torch.stack([angles.cos(), angles.sin()], dim=1)
        self.register_buffer("directions", directions, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(3 * beams + 2, width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, scan: Tensor) -> Tensor:
        """Map ranges (B, beams) float32 [m] to tokens (B, K, D)."""
        returned = (scan < self._far_m).to(scan.dtype).unsqueeze(1)
        beams = torch.cat([_near_and_far(scan, self.standardize), returned], dim=1)
        beams = functional.pad(beams, (0, self.padding)).unflatten(2, (self.tokens, -1))
        groups = beams.transpose(1, 2).flatten(2)  # (B, K, 3 beams of a token)
        directions = self.directions.expand(scan.shape[0], -1, -1)
        return self.layers(torch.cat([groups, directions], dim=2))


def _near_and_far(scan: Tensor, standardize: Standardize) -> Tensor:
    """Ranges (B, beams) [m] as (B, 2, beams): a centimetre matters near, not across the room."""
    near = _NEAR_M / scan.clamp(min=_NEAR_M / 6.0)
    return torch.stack([standardize(scan), near], dim=1)


def build_scan_encoder(
    config: ScanEncoderConfig, stream: StreamSpec, statistics: FieldStatistics, width: int
) -> nn.Module:
    """The encoder of a scanner; its attribute `tokens` is their number."""
    if config.kind == "beams":
        return BeamEncoder(config.beams, stream, statistics, width)
    return SectorEncoder(config.sectors, stream, statistics, width)
