"""Vision transformers of the `transformers` package, told the instruction.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_training.configuration import bounded
from vla_training.errors import ConfigurationError
from vla_training.models.layers import Film
from vla_training.models.vision.backbone import Backbone, Level

if TYPE_CHECKING:
    # Imported on demand: it takes seconds, and most policies have none of it.
    from transformers import ViTModel

_PIXEL_CENTER, _PIXEL_SPREAD = 127.5, 127.5
"""What ViT checkpoints expect: channels from -1 to 1."""

_CLASS_TOKENS: Final = 1


@dataclass(frozen=True)
class VitConfig:
    """Sizes of a ViT, or the checkpoint that has them.

    Attributes:
        checkpoint: Folder of a ViT as `transformers` saves it, whose sizes and weights are taken;
            empty for random weights of the sizes below.
        patch: Pixels of a patch's side.
        width: Size of a token.
        layers: Layers.
        heads: Attention heads.
        feedforward: Hidden size of the perceptrons.
        output: "patches": a feature map of all patches; "cls": one of a single position, the CLS
            token.
        instruction: How the instruction gets in, if the vision has FiLM: "film" (scales and
            shifts the tokens after every layer), "token" (is one among them) or "both".
        frozen: Whether the weights stay as they are; what hears the instruction always learns.
    """

    checkpoint: str = ""
    patch: int = bounded(16, 2, 256)
    width: int = bounded(192, 8, 4096)
    layers: int = bounded(12, 1, 64)
    heads: int = bounded(3, 1, 64)
    feedforward: int = bounded(768, 8, 16384)
    output: str = bounded("patches", choices=("patches", "cls"))
    instruction: str = bounded("film", choices=("film", "token", "both"))
    frozen: bool = False

    def __post_init__(self) -> None:
        if not self.checkpoint and self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}")


class Vit(Backbone):
    """A ViT over the whole patches of an image; gives one feature map.

    Args:
        config: Sizes.
        height: Rows of the image; what does not fill a patch is cut off at the end.
        width: Columns of the image, likewise.
        condition: Size of the instruction's vector; 0 for no instruction.

    Raises:
        ConfigurationError: If the checkpoint cannot be used or the image is smaller than a patch.
    """

    def __init__(self, config: VitConfig, height: int, width: int, condition: int) -> None:
        model = _load(config, height, width) if config.checkpoint else _make(config, height, width)
        size, patch = model.config.hidden_size, _patch_of(model)
        rows, columns = height // patch, width // patch
        shape = (rows, columns) if config.output == "patches" else (1, 1)
        super().__init__([Level(size, patch, *shape)])
        self.model = model.requires_grad_(not config.frozen)
        self._image = (rows * patch, columns * patch)
        self._grid = (rows, columns)
        self._class_only = config.output == "cls"
        if config.checkpoint:
            self.pixel_scale = (_PIXEL_CENTER, _PIXEL_SPREAD)
        films = condition > 0 and config.instruction in ("film", "both")
        self.films = nn.ModuleList(Film(condition, size) for _ in model.layers if films)
        told = condition > 0 and config.instruction in ("token", "both")
        self.token = nn.Linear(condition, size) if told else None

    def forward(self, pixels: Tensor, condition: Tensor) -> list[Tensor]:
        """Map standardised pixels (B, 3, H, W) and (B, C) to one map."""
        rows, columns = self._image
        tokens = self.model.embeddings(pixels[:, :, :rows, :columns])
        if self.token is not None:
            tokens = torch.cat([tokens, self.token(condition).unsqueeze(1)], dim=1)
        for index, layer in enumerate(self.model.layers):
            tokens = layer(tokens, None)
            if self.films:
                # Film is for maps: the tokens are one of a single column.
                told = self.films[index](tokens.transpose(1, 2).unsqueeze(3), condition)
                tokens = told.squeeze(3).transpose(1, 2)
        return [self._map(self.model.layernorm(tokens))]

    def _map(self, tokens: Tensor) -> Tensor:
        """CLS, patches and maybe the instruction (B, N, size) to a map (B, size, h, w)."""
        if self._class_only:
            return tokens[:, 0, :, None, None]
        patches = tokens[:, _CLASS_TOKENS : _CLASS_TOKENS + self._grid[0] * self._grid[1]]
        return patches.transpose(1, 2).unflatten(2, self._grid)

    def attention_maps(self, pixels: Tensor, condition: Tensor) -> dict[str, Tensor]:
        """Attention roll-out: how much of each patch is in what this gives, (B, 1, h, w).

        Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020.
        """
        seen: list[Tensor] = []
        hooks = [
            module.register_forward_hook(lambda _, __, result: seen.append(result[1]))
            for name, module in self.model.layers.named_modules()
            if name.endswith(".attention")
        ]
        fast = self.model.config._attn_implementation
        # The fused attention keeps its weights to itself.
        self.model.set_attn_implementation("eager")
        try:
            self.forward(pixels, condition)
        finally:
            self.model.set_attn_implementation(fast)
            for hook in hooks:
                hook.remove()
        identity = torch.eye(seen[0].shape[-1], device=pixels.device)
        flow = identity
        for weights in seen:  # (B, heads, N, N)
            flow = (0.5 * weights.float().mean(1) + 0.5 * identity) @ flow
        patches = slice(_CLASS_TOKENS, _CLASS_TOKENS + self._grid[0] * self._grid[1])
        of_output = flow[:, :1] if self._class_only else flow[:, patches].mean(1, keepdim=True)
        share = of_output[:, :, patches]
        return {"rollout": (share / share.sum(-1, keepdim=True)).unflatten(2, self._grid)}


def _make(config: VitConfig, height: int, width: int) -> ViTModel:
    """A ViT of random weights for the whole patches of an image."""
    from transformers import ViTConfig, ViTModel

    image = _whole_patches(height, width, config.patch)
    return ViTModel(
        ViTConfig(
            hidden_size=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=config.feedforward,
            image_size=image,
            patch_size=config.patch,
        ),
        add_pooling_layer=False,
    )


def _load(config: VitConfig, height: int, width: int) -> ViTModel:
    """A checkpoint, its position embeddings stretched over the image's patches."""
    from transformers import ViTModel

    where = f"model.vision.vit.checkpoint {config.checkpoint}"
    try:
        about = json.loads((Path(config.checkpoint) / "config.json").read_text(encoding="utf-8"))
        if about.get("model_type") != "vit":
            raise ConfigurationError(
                f"{where}: is a model of type {about.get('model_type')!r}, expected 'vit'; give "
                "the folder of a ViT"
            )
        model = ViTModel.from_pretrained(
            config.checkpoint, add_pooling_layer=False, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"{where}: cannot be loaded ({reason}); give a folder that `save_pretrained` wrote"
        ) from error
    image = _whole_patches(height, width, _patch_of(model))
    _stretch_positions(model, image)
    return model


@torch.no_grad()
def _stretch_positions(model: ViTModel, image: tuple[int, int]) -> None:
    embeddings, patch = model.embeddings, _patch_of(model)
    trained = [size // patch for size in embeddings.image_size]
    wanted = [size // patch for size in image]
    positions = embeddings.position_embeddings  # (1, 1 + h w, size)
    grid = positions[:, _CLASS_TOKENS:].transpose(1, 2).unflatten(2, trained)
    stretched = functional.interpolate(grid, size=wanted, mode="bicubic", align_corners=False)
    embeddings.position_embeddings = nn.Parameter(
        torch.cat([positions[:, :_CLASS_TOKENS], stretched.flatten(2).transpose(1, 2)], dim=1)
    )
    embeddings.image_size = embeddings.patch_embeddings.image_size = image
    model.config.image_size = image


def _patch_of(model: ViTModel) -> int:
    """Side of its patches [px]."""
    patch = model.config.patch_size
    if not isinstance(patch, int):
        raise ConfigurationError(f"model.vision.vit: patches of {patch} pixels, expected squares")
    return patch


def _whole_patches(height: int, width: int, patch: int) -> tuple[int, int]:
    rows, columns = height // patch, width // patch
    if not rows or not columns:
        raise ConfigurationError(
            f"model.vision.vit: an image of {width}x{height} pixels has no whole patch of "
            f"{patch}x{patch}; choose a smaller patch"
        )
    return rows * patch, columns * patch
