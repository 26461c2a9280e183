"""What the textures are made of: seamless noise, colour ramps, grain, gradients."""

from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
Colour = tuple[float, float, float] | np.ndarray
"""Red, green, blue, 0 to 255."""
Painter = Callable[[np.random.Generator, tuple[int, int]], Array]
"""Draws (H, W, 3 or 4) float32, 0 to 255, of a shape (H, W)."""


def fractal_noise(
    rng: np.random.Generator, shape: tuple[int, int], octaves: Sequence[int | tuple[int, int]]
) -> Array:
    """Seamless value noise in [0, 1].

    Args:
        rng: source.
        shape: rows and columns.
        octaves: cells along (rows, columns) of every octave, coarse to fine; one number for both.

    Returns:
        (rows, columns) float32.
    """
    total = np.zeros(shape, np.float32)
    weight = 1.0
    for octave in octaves:
        cells = (octave, octave) if isinstance(octave, int) else octave
        grid = rng.random(cells, np.float32)
        for axis in (0, 1):
            position = np.arange(shape[axis]) * cells[axis] / shape[axis]
            low = position.astype(int)
            t = (position - low).astype(np.float32)
            t = t * t * (3 - 2 * t)
            high = (low + 1) % cells[axis]
            blend = t[:, None] if axis == 0 else t[None]
            grid = np.take(grid, low, axis) * (1 - blend) + np.take(grid, high, axis) * blend
        total += weight * grid
        weight *= 0.55
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def ramp(level: Array, dark: Colour, light: Colour) -> Array:
    """Colours between dark and light for levels 0 to 1; (H, W, 3) float32."""
    a, b = np.array(dark, np.float32), np.array(light, np.float32)
    return a + (b - a) * np.clip(level, 0, 1)[..., None]


def threshold(level: Array, start: float, slope: float) -> Array:
    """0 below `start`, rising with `slope` to 1: blotches out of noise."""
    return np.clip((level - start) * slope, 0, 1)


def finish(image: Array, rng: np.random.Generator, grain: float = 3.0) -> Array:
    """Add grain and convert; (H, W, 3) uint8."""
    noise = rng.normal(0, grain, image.shape[:2]).astype(np.float32)
    return np.clip(image + noise[..., None], 0, 255).astype(np.uint8)


def darken_edges(image: Array, width: float = 0.04, depth: float = 0.35) -> None:
    """Ambient occlusion along the rim of a surface, in place."""
    rows, columns = image.shape[:2]
    to_edge = [np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / n for n in (rows, columns)]
    distance = np.minimum(to_edge[0][:, None], to_edge[1][None])
    image *= (1 - depth * np.exp(-distance / width))[..., None].astype(np.float32)


def shade_down(image: Array, depth: float = 0.3) -> None:
    """Darker towards the lower edge, as above a floor, in place."""
    height = np.linspace(1, 0, image.shape[0], dtype=np.float32)
    image *= (1 - depth * np.exp(-height * 4))[:, None, None]


def rectangle(
    image: Array, left: float, top: float, right: float, bottom: float, colour: Colour | float
) -> None:
    """Fill a rectangle that is given in shares of width and height, in place."""
    rows, columns = image.shape[:2]
    image[
        round(top * rows) : max(round(bottom * rows), round(top * rows) + 1),
        round(left * columns) : max(round(right * columns), round(left * columns) + 1),
    ] = colour
