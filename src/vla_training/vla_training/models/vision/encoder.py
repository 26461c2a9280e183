"""From an image to tokens: a backbone, then keypoints and pooled tokens of its feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from vla_core.contract import StreamSpec
from vla_core.contract_specs import ImageDecoder
from vla_core.normalization import FieldStatistics
from vla_training.configuration import bounded
from vla_training.models.layers import Film, Standardize
from vla_training.models.readers import (
    AskedKeypoints,
    MeanToken,
    Pooling,
    PositionTokens,
    SpatialSoftmax,
    TokenLearner,
)
from vla_training.models.vision.backbone import Backbone, Level
from vla_training.models.vision.cnn import Cnn, CnnConfig
from vla_training.models.vision.efficientnet import EfficientNetConfig, EfficientNetLite0
from vla_training.models.vision.pointer import Pointer, Pointing
from vla_training.models.vision.resnet import ResNet, ResNetConfig
from vla_training.models.vision.vit import Vit, VitConfig


@dataclass(frozen=True)
class VisionConfig:
    """How images become tokens.

    Attributes:
        kind: The backbone.
        film: Whether the instruction modulates the backbone's features.
        pointer: Size of what words and image positions are compared in, on the second coarsest
            map; 0 to not point. The backbone is then not modulated, but its coarsest map is.
        keypoints: Spatial-softmax keypoints of each finer map of the backbone; 0 for none.
        asked_keypoints: Keypoints that the instruction asks for, of the same maps; 0 for none.
        tokens: What becomes of the coarsest map: "learned" (TokenLearner), "mean" (one token) or
            "all" (a token for each position).
        learned_tokens: Tokens of TokenLearner.
        cnn: Of kind cnn.
        resnet: Of kind resnet.
        efficientnet: Of kind efficientnet_lite0.
        vit: Of kind vit.
    """

    kind: str = bounded("cnn", choices=("cnn", "resnet", "efficientnet_lite0", "vit"))
    film: bool = True
    pointer: int = bounded(0, 0, 4096)
    keypoints: int = bounded(24, 0, 1024)
    asked_keypoints: int = bounded(8, 0, 1024)
    tokens: str = bounded("learned", choices=("learned", "mean", "all"))
    learned_tokens: int = bounded(8, 1, 256)
    cnn: CnnConfig = field(default_factory=CnnConfig)
    resnet: ResNetConfig = field(default_factory=ResNetConfig)
    efficientnet: EfficientNetConfig = field(default_factory=EfficientNetConfig)
    vit: VitConfig = field(default_factory=VitConfig)

    def __post_init__(self) -> None:
        if self.pointer and self.film:
            raise ValueError("a pointer needs features that know no sentence: set film to false")
        if self.pointer and self.kind == "vit":
            raise ValueError("a pointer needs maps of two strides, and a vit has one")
        if self.kind == "vit" and self.vit.output == "cls" and self.tokens != "mean":
            raise ValueError(
                f"tokens {self.tokens} needs a feature map, and vit.output cls has none; set "
                "tokens to mean"
            )


class KeypointToken(nn.Module):
    """One token of image coordinates: of learned keypoints, and of those that are asked for.

    Args:
        levels: The feature maps to look at.
        keypoints: Learned keypoints of each map.
        asked: Keypoints of each map that the instruction asks for.
        condition: Size C of the instruction's vector.
        width: Size D of a token.
        focused: Whether learned keypoints are given a focus.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        keypoints: int,
        asked: int,
        condition: int,
        width: int,
        focused: bool = False,
    ) -> None:
        super().__init__()
        self._levels = tuple(levels)
        self.free = nn.ModuleList(
            SpatialSoftmax(level.channels, keypoints, level.height, level.width, focused)
            for level in (levels if keypoints else ())
        )
        self.asked = nn.ModuleList(
            AskedKeypoints(condition, level.channels, asked, level.height, level.width)
            for level in (levels if asked else ())
        )
        size = 3 * len(levels)
        self.free_token = _perceptron(size * keypoints, width) if keypoints else None
        self.asked_token = _perceptron(size * asked, width) if asked else None

    def forward(
        self, maps: Sequence[Tensor], condition: Tensor, focus: Tensor | None = None
    ) -> Tensor:
        """Map one (B, channels, h, w) a level, (B, C) and a focus (B, 1, h', w') to (B, 1, D)."""
        found: list[Tensor] = []
        if self.free_token is not None:
            places = [reader(values, focus) for reader, values in zip(self.free, maps, strict=True)]
            found.append(self.free_token(torch.cat(places, dim=1)))
        if self.asked_token is not None:
            places = [
                reader(values, condition) for reader, values in zip(self.asked, maps, strict=True)
            ]
            found.append(self.asked_token(torch.cat(places, dim=1)))
        return torch.stack(found).sum(0).unsqueeze(1)

    def attention_maps(
        self, maps: Sequence[Tensor], condition: Tensor, focus: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What each keypoint looks at, by name and stride: (B, K, h, w)."""
        found: dict[str, Tensor] = {}
        for level, values, free in zip(self._levels, maps, self.free, strict=False):
            seen = cast("SpatialSoftmax", free).maps(values, focus)
            found[f"keypoints_{level.stride}"] = _as_grid(seen, values)
        for level, values, asked in zip(self._levels, maps, self.asked, strict=False):
            seen = cast("AskedKeypoints", asked).maps(values, condition)
            found[f"asked_{level.stride}"] = _as_grid(seen, values)
        return found


class ImageEncoder(nn.Module):
    """Tokens of an image: where things are, then what is there.

    Where things are is read from all maps of the backbone but the coarsest; a ViT has only one.

    Args:
        config: Kind and sizes.
        stream: The camera.
        statistics: Of its images.
        condition: Size C of the instruction's vector.
        width: Size D of a token.

    Attributes:
        tokens: Their number K.
    """

    def __init__(
        self,
        config: VisionConfig,
        stream: StreamSpec,
        statistics: FieldStatistics,
        condition: int,
        width: int,
    ) -> None:
        super().__init__()
        height, columns, _ = stream.shape
        self.backbone = _build_backbone(config, height, columns, condition if config.film else 0)
        self.standardize = Standardize(statistics)
        if self.backbone.pixel_scale is not None:
            center, spread = self.backbone.pixel_scale
            self.standardize.center.fill_(center)
            self.standardize.spread.fill_(spread)
        *finer, coarsest = self.backbone.levels
        decoder = stream.decoder
        crop = decoder.crop if isinstance(decoder, ImageDecoder) else (0.0, 0.0, 0.0, 0.0)
        self.pointer = (
            Pointer(finer[-1], coarsest, config.pointer, condition, width, crop)
            if config.pointer
            else None
        )
        self.modulate = Film(condition, coarsest.channels) if config.pointer else None
        has_places = bool(finer) and config.keypoints + config.asked_keypoints > 0
        self.places = (
            KeypointToken(
                finer,
                config.keypoints,
                config.asked_keypoints,
                condition,
                width,
                focused=bool(config.pointer),
            )
            if has_places
            else None
        )
        self.contents = _build_pooling(config, coarsest, width)
        self.tokens = bool(config.pointer) + int(has_places) + self.contents.tokens

    def forward(self, image: Tensor, condition: Tensor) -> tuple[Tensor, Pointing | None]:
        """Map an image (B, H, W, 3) uint8 and a condition (B, C) to tokens (B, K, D).

        Returns:
            The tokens, and what the instruction points at, of an encoder that points.
        """
        maps = self.backbone(self._pixels(image), condition)
        # Half precision would round coordinates to a fifth of a pixel.
        with torch.autocast(image.device.type, enabled=False):
            *finer, coarsest = (values.float() for values in maps)
            pointing, found, focus = None, [], None
            if self.pointer is not None and self.modulate is not None:
                pointed, pointing = self.pointer(finer[-1], coarsest, condition)
                found.append(pointed)
                focus = pointing.focus
                coarsest = self.modulate(coarsest, condition)
            if self.places is not None:
                found.append(self.places(finer, condition, focus))
            found.append(self.contents(coarsest))
            return torch.cat(found, dim=1), pointing

    def attention_maps(self, image: Tensor, condition: Tensor) -> dict[str, Tensor]:
        """What each reader looks at, by name: (B, K, h, w), each map of which sums to 1.

        "pointed_8" for the pointer, "keypoints_4" and "asked_4" for the map at stride 4 and so on,
        "learned_16" for TokenLearner, and what the backbone has of its own.

        Args:
            image: (B, H, W, 3) uint8.
            condition: (B, C).
        """
        pixels = self._pixels(image)
        maps = [values.float() for values in self.backbone(pixels, condition)]
        found: dict[str, Tensor] = {}
        focus = None
        if self.pointer is not None and self.modulate is not None:
            _, pointing = self.pointer(maps[-2], maps[-1], condition)
            focus = pointing.focus
            seen = pointing.scores[:, None, :-1].softmax(dim=-1)
            found[f"pointed_{self.backbone.levels[-2].stride}"] = _as_grid(seen, maps[-2])
            maps[-1] = self.modulate(maps[-1], condition)
        if self.places is not None:
            found |= self.places.attention_maps(maps[:-1], condition, focus)
        if isinstance(self.contents, TokenLearner):
            stride = self.backbone.levels[-1].stride
            found[f"learned_{stride}"] = _as_grid(self.contents.maps(maps[-1]), maps[-1])
        return found | self.backbone.attention_maps(pixels, condition)

    def _pixels(self, image: Tensor) -> Tensor:
        # NHWC seen as NCHW is channels_last already: no copy. Standardised after that, as ONNX
        # Runtime broadcasts a value per channel fast over planes and slowly over a last axis of 3.
        scale = self.standardize
        pixels = image.permute(0, 3, 1, 2).float()
        return (pixels - scale.center[:, None, None]) / scale.spread[:, None, None]


def _build_backbone(config: VisionConfig, height: int, width: int, condition: int) -> Backbone:
    if config.kind == "vit":
        return Vit(config.vit, height, width, condition)
    if config.kind == "resnet":
        return ResNet(config.resnet, height, width, condition)
    if config.kind == "efficientnet_lite0":
        return EfficientNetLite0(config.efficientnet, height, width, condition)
    return Cnn(config.cnn, height, width, condition)


def _build_pooling(config: VisionConfig, level: Level, width: int) -> Pooling:
    positions = level.height * level.width
    if config.tokens == "learned":
        return TokenLearner(level.channels, config.learned_tokens, positions, width)
    if config.tokens == "all":
        return PositionTokens(level.channels, positions, width)
    return MeanToken(level.channels, width)


def _as_grid(maps: Tensor, features: Tensor) -> Tensor:
    """Maps (B, K, h w) over features (B, channels, h, w) as (B, K, h, w)."""
    return maps.unflatten(2, features.shape[2:])


def _perceptron(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))
