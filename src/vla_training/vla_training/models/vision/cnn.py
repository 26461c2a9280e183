"""A small residual CNN, told the instruction at strides 4, 8 and 16."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_training.configuration import bounded
from vla_training.models.layers import Film, group_norm
from vla_training.models.vision.backbone import Backbone, Level, grid


@dataclass(frozen=True)
class CnnConfig:
    """Sizes of the CNN.

    Attributes:
        channels: Channels at strides 2, 4, 8 and 16.
    """

    channels: tuple[int, int, int, int] = bounded((32, 48, 80, 128), 8, 4096)


class ResidualStage(nn.Module):
    """Strided convolution, FiLM, then one residual block: halves height and width.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        condition: Size of the FiLM condition; 0 for none.
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm = group_norm(outputs)
        self.film = Film(condition, outputs) if condition else None
        self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm1 = group_norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        # The block starts as the identity: deep features are not noise at the first step.
        self.gain = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Map (B, inputs, h, w) and (B, C) to (B, outputs, h/2, w/2)."""
        reduced = self.norm(self.reduce(features))
        if self.film is not None:
            reduced = self.film(reduced, condition)
        reduced = functional.relu(reduced)
        inner = functional.relu(self.norm1(self.conv1(reduced)))
        return functional.relu(reduced + self.gain * self.conv2(inner))


class Cnn(Backbone):
    """Four strided stages; gives the feature maps at strides 4, 8 and 16.

    Args:
        config: Sizes.
        height: Rows of the image.
        width: Columns of the image.
        condition: Size of the FiLM condition; 0 for none.
    """

    def __init__(self, config: CnnConfig, height: int, width: int, condition: int) -> None:
        c2, c4, c8, c16 = config.channels
        super().__init__(
            Level(channels, stride, *grid(height, width, stride))
            for channels, stride in ((c4, 4), (c8, 8), (c16, 16))
        )
        self.stem = nn.Conv2d(3, c2, 5, stride=2, padding=2)
        self.stages = nn.ModuleList(
            ResidualStage(inputs, outputs, condition)
            for inputs, outputs in ((c2, c4), (c4, c8), (c8, c16))
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, pixels: Tensor, condition: Tensor) -> list[Tensor]:
        """Map standardised pixels (B, 3, H, W) and (B, C) to the maps of the levels."""
        features = functional.relu(self.stem(pixels))
        maps = []
        for stage in self.stages:
            features = stage(features, condition)
            maps.append(features)
        return maps
