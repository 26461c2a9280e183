"""What every image backbone gives: feature maps of one or more strides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Level:
    """One feature map of a backbone.

    Attributes:
        channels: Channels.
        stride: Pixels of the image from one position to the next.
        height: Rows.
        width: Columns.
    """

    channels: int
    stride: int
    height: int
    width: int


class Backbone(nn.Module):
    """From pixels to feature maps, the finest first.

    Args:
        levels: Of the maps, in order.

    Attributes:
        levels: The same.
        pixel_scale: Center and spread of the pixel values that pretrained weights expect; None to
            go by the statistics of the data.
    """

    pixel_scale: tuple[float, float] | None = None

    def __init__(self, levels: Iterable[Level]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    def forward(self, pixels: Tensor, condition: Tensor) -> list[Tensor]:
        """Map standardised pixels (B, 3, H, W) and a condition (B, C) to one map per level.

        Returns:
            (B, channels, height, width) each.
        """
        raise NotImplementedError

    def attention_maps(self, pixels: Tensor, condition: Tensor) -> dict[str, Tensor]:
        """Attention of the backbone itself by name, (B, K, h, w), each map of which sums to 1.

        Convolutions have none.
        """
        return {}


def grid(height: int, width: int, stride: int) -> tuple[int, int]:
    """Rows and columns of a map that halves the image, rounding up, until it has a stride."""
    return -(-height // stride), -(-width // stride)
