"""Residual networks of basic blocks, such as ResNet-18, told the instruction after every stage.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from vla_training.configuration import bounded
from vla_training.models.layers import Film, FrozenNormConv2d, group_norm
from vla_training.models.vision.backbone import Backbone, Level, grid


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes of the network; the defaults are those of ResNet-18.

    Attributes:
        channels: Channels at strides 4, 8, 16 and 32.
        blocks: Blocks of each stage.
        norm: "group", or "affine" (a scale and a shift for each channel, as of a batch norm whose
            statistics never change: cheaper, and less stable from random weights).
    """

    channels: tuple[int, int, int, int] = bounded((64, 128, 256, 512), 8, 4096)
    blocks: tuple[int, int, int, int] = bounded((2, 2, 2, 2), 1, 64)
    norm: str = bounded("group", choices=("group", "affine"))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Of the first convolution.
        norm: As in `ResNetConfig`.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: str) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, 3, stride, norm)
        # The block starts as its shortcut.
        self.second = _convolution(outputs, outputs, 3, 1, norm, gain=0.0)
        self.shortcut = (
            _convolution(inputs, outputs, 1, stride, norm)
            if stride > 1 or inputs != outputs
            else nn.Identity()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, h / stride, w / stride)."""
        inner = functional.relu(self.first(features))
        return functional.relu(self.shortcut(features) + self.second(inner))


class ResNet(Backbone):
    """A stem of stride 4 and four stages; gives the feature maps at strides 4, 8, 16 and 32.

    Args:
        config: Sizes.
        height: Rows of the image.
        width: Columns of the image.
        condition: Size of the FiLM condition; 0 for none.
    """

    def __init__(self, config: ResNetConfig, height: int, width: int, condition: int) -> None:
        super().__init__(
            Level(channels, 4 << index, *grid(height, width, 4 << index))
            for index, channels in enumerate(config.channels)
        )
        inputs = config.channels[0]
        self.stem = _convolution(3, inputs, 7, 2, config.norm)
        self.stages, self.films = nn.ModuleList(), nn.ModuleList()
        for index, (outputs, blocks) in enumerate(zip(config.channels, config.blocks, strict=True)):
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if index and not block else 1
                stage.append(BasicBlock(inputs, outputs, stride, config.norm))
                inputs = outputs
            self.stages.append(stage)
            if condition:
                self.films.append(Film(condition, outputs))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixels: Tensor, condition: Tensor) -> list[Tensor]:
        """Map standardised pixels (B, 3, H, W) and (B, C) to the maps of the levels."""
        features = functional.relu(self.stem(pixels))
        features = functional.max_pool2d(features, 3, stride=2, padding=1)
        maps = []
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if self.films:
                features = self.films[index](features, condition)
            maps.append(features)
        return maps


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int, norm: str, gain: float = 1.0
) -> nn.Module:
    """A convolution that keeps height and width up to its stride, and its norm."""
    if norm == "affine":
        folded = FrozenNormConv2d(inputs, outputs, kernel, stride, kernel // 2)
        nn.init.constant_(folded.scale, gain)
        return folded
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    groups = group_norm(outputs)
    nn.init.constant_(groups.weight, gain)
    return nn.Sequential(conv, groups)
