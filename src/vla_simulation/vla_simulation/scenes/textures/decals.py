"""Tiles of the decal atlas: what lies on floors and walls, half transparent.

They are (H, W, 4) float32: red, green, blue and opacity, 0 to 255. Shadows and stains fade out
before the rim, so that no edge of the quad shows.
"""

import numpy as np

from vla_simulation.scenes.textures.noise import Array, Colour, Painter, fractal_noise, threshold


def _filled(shape: tuple[int, int], colour: Colour, alpha: Array) -> Array:
    image = np.empty((*shape, 4), np.float32)
    image[..., :3] = colour
    image[..., 3] = np.clip(alpha, 0, 1) * 255
    return image


def _grid(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Coordinates -1 to 1 of the pixels' centres, down and right."""
    v, u = ((np.arange(n) + 0.5) / n * 2 - 1 for n in shape)
    return v[:, None], u[None]


def soft_box(strength: float) -> Painter:
    """Shadow of something square: full inside three quarters of the tile, fading to its rim."""

    def paint(_rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        v, u = _grid(shape)
        outside = np.hypot(np.maximum(np.abs(u) - 0.72, 0), np.maximum(np.abs(v) - 0.72, 0)) / 0.26
        return _filled(shape, (0, 0, 0), strength * np.clip(1 - outside, 0, 1) ** 1.5)

    return paint


def soft_disc(strength: float) -> Painter:
    """Shadow of something round."""

    def paint(_rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        v, u = _grid(shape)
        return _filled(
            shape, (0, 0, 0), strength * np.clip((0.97 - np.hypot(u, v)) / 0.35, 0, 1) ** 1.5
        )

    return paint


def fade_down(strength: float) -> Painter:
    """Dark at the lower edge, clear at the upper one: ambient occlusion beside an inner edge."""

    def paint(_rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        v, _ = _grid(shape)
        return _filled(shape, (0, 0, 0), np.repeat(strength * ((v + 1) / 2) ** 2.2, shape[1], 1))

    return paint


def blotch(colour: Colour, strength: float) -> Painter:
    """Oil stain, spilt dust: an irregular blotch."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        v, u = _grid(shape)
        edge = 0.75 - np.hypot(u, v) + 0.7 * (fractal_noise(rng, shape, (3, 7, 16)) - 0.5)
        fade = np.clip((1 - np.maximum(np.abs(u), np.abs(v))) * 8, 0, 1)
        return _filled(shape, colour, strength * np.clip(edge * 5, 0, 1) * fade)

    return paint


def tyre_marks(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Two black tracks that bend."""
    v, u = _grid(shape)
    centre = 0.35 * np.sin(v * 1.7 + 0.4)
    alpha = np.zeros(shape)
    for side in (-0.35, 0.35):
        alpha += np.clip(1 - np.abs(u - centre - side) / 0.11, 0, 1) ** 0.5
    alpha *= 0.25 + 0.5 * fractal_noise(rng, shape, ((6, 3), (40, 20)))
    return _filled(shape, (22, 22, 22), 0.55 * alpha * np.clip((1 - np.abs(v)) * 3, 0, 1))


def painted(colour: Colour) -> Painter:
    """Floor paint, worn through in places."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        worn = threshold(fractal_noise(rng, shape, (4, 12, 32)), 0.55, 4)
        image = _filled(shape, colour, 0.92 - 0.7 * worn)
        image[..., :3] *= (0.85 + 0.2 * fractal_noise(rng, shape, (3, 9)))[..., None]
        return image

    return paint


def zebra(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Pedestrian crossing."""
    image = painted((222, 221, 214))(rng, shape)
    image[..., 3] *= ((np.arange(shape[1]) * 10 // shape[1]) % 2 == 0)[None]
    return image


def hatched_area(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Keep-clear area: yellow frame and diagonals."""
    image = painted((214, 172, 36))(rng, shape)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    stripe = ((x + y) * 9 // shape[1]) % 3 == 0
    v, u = _grid(shape)
    rim = np.maximum(np.abs(u), np.abs(v)) > 0.92
    image[..., 3] *= stripe | rim
    return image


def arrow(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Lane arrow that points up in the tile."""
    image = painted((224, 222, 214))(rng, shape)
    v, u = _grid(shape)
    shaft = (np.abs(u) < 0.2) & (v > -0.2) & (v < 0.95)
    head = (v > -0.95) & (v <= -0.2) & (np.abs(u) < (v + 0.95) * 0.9)
    image[..., 3] *= shaft | head
    return image


def drain(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Drain channel with a steel grate."""
    image = np.empty((*shape, 4), np.float32)
    image[:] = (108, 110, 112, 255)
    image[..., :3] *= (0.8 + 0.3 * fractal_noise(rng, shape, (4, 12)))[..., None]
    image[int(shape[0] * 0.2) : int(shape[0] * 0.8), 2::6, :3] = (18, 18, 20)
    image[int(shape[0] * 0.2) : int(shape[0] * 0.8), 3::6, :3] = (18, 18, 20)
    return image


def glare(colour: Colour, strength: float) -> Painter:
    """Reflection of a window on a polished floor, brightest at the upper edge."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        v, u = _grid(shape)
        along = np.clip((1 - v) / 2, 0, 1) ** 1.3
        across = np.clip((1 - np.abs(u)) * 2.2, 0, 1)
        streaks = 0.75 + 0.4 * (fractal_noise(rng, shape, ((2, 16), (4, 40))) - 0.5)
        return _filled(shape, colour, strength * along * across * streaks)

    return paint


def sun_patch(_rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Sunlight through panes: bright cells with soft rims."""
    v, u = _grid(shape)
    off_centre = np.maximum(np.abs((u + 1) * 2 % 1 - 0.5), np.abs((v + 1) % 1 - 0.5))
    return _filled(shape, (255, 246, 222), 0.42 * np.clip((0.5 - off_centre) * 9, 0, 1))
