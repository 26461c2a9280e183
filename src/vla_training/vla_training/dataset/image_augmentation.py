"""Changes of images that leave the right action what it is.

What may be changed, and how far, follows from what an image is used for here. Its columns are
bearings and its rows are distances on the floor: in the middle of a 128 columns wide image with a
view of 94 degrees, a pixel is 1 degree, which is 7 mm beside a station 0.4 m ahead. A robot that
has to dock within 10 mm and 2 degrees bears a shift of a pixel now and then (the tolerance of a
camera's mounting, right and left alike), not rotation, zoom or shear. `crop`, `cutout` and `blur`
keep every pixel that they leave in its place, so they may be larger. And sentences name stations by
their colour: hue and saturation stay so small that orange does not become red or yellow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from vla_training.configuration import bounded
from vla_training.dataset.draws import Draws

# Luma, in-phase and quadrature of RGB, ITU-R BT.601: a rotation of the last two is a change of hue
# that keeps the brightness.
_LUMA: Final = (0.299, 0.587, 0.114)
_YIQ: Final = (_LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))

_BLUR_RADIUS: Final = 2
_NOISE_OFFSETS: Final = 1 << 20


@dataclass(frozen=True)
class LightConfig:
    """Colour and exposure; each change has a probability per sample and a largest size.

    Attributes:
        brightness: Shift, as a share of 255.
        contrast: Relative change about mid-grey.
        white_balance: Relative change of each colour channel.
        saturation: Relative change of the distance from grey.
        hue_rad: Turn of the hue [rad].
        gamma: The exponent is between 1 / (1 + gamma) and 1 + gamma.
        noise: Standard deviation of noise on each value, as a share of 255.
    """

    brightness_probability: float = bounded(0.8, 0.0, 1.0)
    brightness: float = bounded(0.15, 0.0, 1.0)
    contrast_probability: float = bounded(0.8, 0.0, 1.0)
    contrast: float = bounded(0.2, 0.0, 0.9)
    white_balance_probability: float = bounded(0.8, 0.0, 1.0)
    white_balance: float = bounded(0.08, 0.0, 0.5)
    saturation_probability: float = bounded(0.5, 0.0, 1.0)
    saturation: float = bounded(0.15, 0.0, 0.9)
    hue_probability: float = bounded(0.5, 0.0, 1.0)
    hue_rad: float = bounded(0.06, 0.0, 0.35)
    gamma_probability: float = bounded(0.3, 0.0, 1.0)
    gamma: float = bounded(0.25, 0.0, 2.0)
    noise_probability: float = bounded(0.3, 0.0, 1.0)
    noise: float = bounded(0.02, 0.0, 0.5)


@dataclass(frozen=True)
class ImageConfig:
    """What is moved, blurred or hidden; each change has a probability per sample and a size.

    Attributes:
        shift_px: Largest shift along rows and columns [px of the decoded image]; the edge is
            repeated.
        blur_px: Largest standard deviation of a Gaussian blur [px].
        crop: Largest share of height and of width that is cut off at each side. What is left stays
            in its place, the rest takes the mean colour.
        cutout: Largest height and width of a hidden rectangle, as a share of the image's.
    """

    shift_probability: float = bounded(0.1, 0.0, 1.0)
    shift_px: int = bounded(1, 0, 8)
    blur_probability: float = bounded(0.1, 0.0, 1.0)
    blur_px: float = bounded(0.8, 0.0, 1.0)
    crop_probability: float = bounded(0.1, 0.0, 1.0)
    crop: float = bounded(0.1, 0.0, 0.45)
    cutout_probability: float = bounded(0.1, 0.0, 1.0)
    cutout: float = bounded(0.25, 0.0, 1.0)


class ImageAugmentation:
    """Changes images of one size.

    Args:
        light: Colour and exposure.
        image: What is moved, blurred or hidden.
        height: Of the images [px].
        width: Of the images [px].
    """

    def __init__(self, light: LightConfig, image: ImageConfig, height: int, width: int) -> None:
        self._light, self._image = light, image
        self._values = height * width * 3
        # Fresh noise for every value costs as much as everything else together. Windows of a long
        # fixed sequence that begin anywhere are as good: no two samples see the same one twice.
        noise = torch.Generator().manual_seed(0)
        size = _NOISE_OFFSETS + self._values if light.noise_probability and light.noise else 0
        self._noise = torch.randn(size, generator=noise) * 255.0

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Change images; the argument may be overwritten.

        Args:
            images: (F, H, W, 3) uint8 RGB, a sample's frames one after the other.
            draws: For these samples.

        Returns:
            (F, H, W, 3) uint8.
        """
        config = self._image
        if config.shift_px:
            picked = draws.picked(config.shift_probability)
            offsets = (draws.uniform(picked, 2) * (2 * config.shift_px + 1)).long()
            _change(images, picked, lambda some: shifted(some, offsets - config.shift_px))
        images = self._relight(images, draws)
        size = images.shape[1:3]
        picked = draws.picked(config.crop_probability)
        kept = _window(draws.uniform(picked, 4) * config.crop, size)
        _change(images, picked, lambda some: torch.where(kept, some, _mean_colour(some)))
        picked = draws.picked(config.cutout_probability)
        hidden = _rectangle(draws.uniform(picked, 4), config.cutout, size)
        colour = (draws.uniform(picked, 3) * 255.0).to(torch.uint8)[:, None, None]
        _change(images, picked, lambda some: torch.where(hidden, colour, some))
        return images

    def _relight(self, images: Tensor, draws: Draws) -> Tensor:
        light = self._light
        pixels = images.float()
        picked = draws.picked(light.gamma_probability)
        exponent = (1.0 + light.gamma) ** (2.0 * draws.uniform(picked) - 1.0)
        pixels.index_copy_(0, picked, with_gamma(images.index_select(0, picked), exponent))
        matrix, offset = self._colour_transform(draws)
        pixels = torch.bmm(pixels.flatten(1, 2), matrix.transpose(1, 2)).view(images.shape)
        if len(self._noise):
            picked = draws.picked(light.noise_probability)
            amount = draws.uniform(picked, 2)
            self._noise = self._noise.to(images.device)
            begin = (amount[:, 0].double() * _NOISE_OFFSETS).long()
            noise = self._noise.unfold(0, self._values, 1)[begin] * amount[:, 1:] * light.noise
            pixels.index_add_(0, picked, noise.view(-1, *images.shape[1:]))
        picked = draws.picked(self._image.blur_probability)
        deviation = draws.uniform(picked)[:, 0] * self._image.blur_px
        _change(pixels, picked, lambda some: blurred(some, deviation))
        # Half a level more, because the conversion cuts off.
        return pixels.add_(offset[:, :, None, None] + 0.5).clamp_(0.0, 255.0).to(torch.uint8)

    def _colour_transform(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Colour matrix (F, 3, 3) and offset (F, 1) of brightness, contrast and colour."""
        light = self._light
        contrast = 1.0 + draws.spread(light.contrast_probability, light.contrast)
        gains = 1.0 + draws.spread(light.white_balance_probability, light.white_balance, 3)
        saturation = 1.0 + draws.spread(light.saturation_probability, light.saturation)
        hue = draws.spread(light.hue_probability, light.hue_rad)
        offset = 255.0 * draws.spread(light.brightness_probability, light.brightness)
        matrix = colour_matrix(contrast, gains, saturation, hue)
        return matrix, offset + 127.5 * (1.0 - contrast)


def colour_matrix(contrast: Tensor, gains: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Linear map of RGB: channel gains, then hue, then saturation, then contrast.

    Args:
        contrast: (F, 1) factor.
        gains: (F, 3) factor of each channel.
        saturation: (F, 1) factor of the distance from grey.
        hue: (F, 1) angle [rad], in the plane of the colour differences of BT.601.

    Returns:
        (F, 3, 3) float32, to be multiplied with a column of RGB.
    """
    yiq = torch.tensor(_YIQ, dtype=torch.float64)
    to_yiq, to_rgb = yiq.float().to(hue.device), yiq.inverse().float().to(hue.device)
    cosine, sine, zero, one = hue.cos(), hue.sin(), torch.zeros_like(hue), torch.ones_like(hue)
    turn = torch.stack(
        [
            torch.cat([one, zero, zero], 1),
            torch.cat([zero, saturation * cosine, -saturation * sine], 1),
            torch.cat([zero, saturation * sine, saturation * cosine], 1),
        ],
        dim=1,
    )
    return contrast[:, :, None] * (to_rgb @ turn @ to_yiq) * gains[:, None, :]


def shifted(images: Tensor, offsets: Tensor) -> Tensor:
    """Move images by whole pixels; the edge is repeated where nothing comes in.

    Args:
        images: (F, H, W, 3), any type.
        offsets: (F, 2) int64, down and right [px].

    Returns:
        (F, H, W, 3).
    """
    frames, height, width, channels = images.shape
    if frames == 0:
        return images
    reach = int(offsets.abs().max())
    left = images[:, :, :1].expand(-1, -1, reach, -1)
    right = images[:, :, -1:].expand(-1, -1, reach, -1)
    wide = torch.cat([left, images, right], dim=2).view(frames * height, -1)
    # (F H, 2 reach + 1, W 3): every place along the columns, without a copy; then whole rows move.
    places = wide.unfold(1, width * channels, channels)
    rows = (torch.arange(height, device=images.device) - offsets[:, :1]).clamp(0, height - 1)
    rows = rows + height * torch.arange(frames, device=images.device)[:, None]
    columns = (reach - offsets[:, 1:]).expand(-1, height)
    return places[rows.flatten(), columns.flatten()].view(images.shape)


def with_gamma(images: Tensor, exponent: Tensor) -> Tensor:
    """Raise values to a power, by a table of the 256 there are.

    Args:
        images: (F, H, W, 3) uint8.
        exponent: (F, 1), above 0.

    Returns:
        (F, H, W, 3) float32, 0 to 255.
    """
    levels = torch.arange(256, device=images.device) / 255.0
    table = 255.0 * levels**exponent  # (F, 256)
    first = 256 * torch.arange(len(images), device=images.device, dtype=torch.int32)
    places = images.int() + first[:, None, None, None]
    return table.flatten().index_select(0, places.flatten()).view(images.shape)


def blurred(pixels: Tensor, deviation: Tensor) -> Tensor:
    """Gaussian blur, the edge repeated.

    Args:
        pixels: (F, H, W, 3) float32.
        deviation: (F,) standard deviation of each image's blur [px], 0 for none.

    Returns:
        (F, H, W, 3).
    """
    reach = _BLUR_RADIUS
    steps = torch.arange(-reach, reach + 1, device=pixels.device)
    weights = torch.exp(-0.5 * (steps / deviation.clamp(min=1e-3)[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True))[:, :, None, None, None]
    for axis in (1, 2):
        size = pixels.shape[axis]
        first, last = pixels.narrow(axis, 0, 1), pixels.narrow(axis, size - 1, 1)
        wide = torch.cat([*[first] * reach, pixels, *[last] * reach], dim=axis)
        pixels = wide.narrow(axis, 0, size) * weights[:, 0]
        for index in range(1, len(steps)):
            pixels.addcmul_(wide.narrow(axis, index, size), weights[:, index])
    return pixels


def _change(images: Tensor, picked: Tensor, change: Callable[[Tensor], Tensor]) -> None:
    """Change some images in place; on a CPU many times faster than by indexing."""
    if len(picked):
        images.index_copy_(0, picked, change(images.index_select(0, picked)))


def _window(margins: Tensor, size: tuple[int, ...]) -> Tensor:
    """(F, H, W, 1) bool: true inside margins (F, 4), shares at top, bottom, left and right."""
    row, column = _places(size, margins.device)
    top, bottom, left, right = margins[:, :, None].unbind(1)
    rows = (row >= top) & (row < 1.0 - bottom)
    columns = (column >= left) & (column < 1.0 - right)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _rectangle(unit: Tensor, largest: float, size: tuple[int, ...]) -> Tensor:
    """(F, H, W, 1) bool: a rectangle anywhere, of numbers (F, 4) from 0 to 1."""
    extent = unit[:, 2:] * largest
    begin = unit[:, :2] * (1.0 - extent)
    margins = torch.stack([begin, 1.0 - begin - extent], dim=2).flatten(1)
    return _window(margins, size)


def _places(size: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres of rows and columns, 0 to 1."""
    row, column = ((torch.arange(n, device=device) + 0.5) / n for n in size)
    return row, column


def _mean_colour(images: Tensor) -> Tensor:
    """(F, 1, 1, 3) uint8."""
    return images.float().mean(dim=(1, 2), keepdim=True).to(torch.uint8)
