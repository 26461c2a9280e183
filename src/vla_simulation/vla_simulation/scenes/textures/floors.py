"""Floors, (512, 512, 3) uint8 RGB, seamless, 4 m wide."""

import numpy as np

from vla_simulation.scenes.textures.noise import Array, finish, fractal_noise, ramp, threshold

_SIZE = 512
_SHAPE = (_SIZE, _SIZE)


def _joints(image: Array, spacing_px: int, width_px: int = 2, depth: float = 0.6) -> None:
    """Saw-cut joints, a little dirty on both sides."""
    for offset in range(0, _SIZE, spacing_px):
        for line in (image[offset : offset + width_px], image[:, offset : offset + width_px]):
            line *= depth
        rim = slice(max(offset - 3, 0), offset + 5)
        image[rim] *= 0.95
        image[:, rim] *= 0.95


def _cracks(image: Array, rng: np.random.Generator, count: int) -> None:
    """Random walks, one pixel wide."""
    for _ in range(count):
        length = int(rng.integers(80, 220))
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.22, length))
        start = rng.uniform(0, _SIZE, 2)
        rows = (start[0] + np.cumsum(np.sin(heading))).astype(int) % _SIZE
        columns = (start[1] + np.cumsum(np.cos(heading))).astype(int) % _SIZE
        image[rows, columns] *= 0.68


def _tyre_marks(image: Array, rng: np.random.Generator, count: int, depth: float) -> None:
    """Pairs of faint dark bands across the floor, slightly bent."""
    t = np.arange(_SIZE)
    for _ in range(count):
        centre = rng.uniform(0, _SIZE) + 20 * np.sin(2 * np.pi * (t / _SIZE + rng.random()))
        half = rng.uniform(4, 8)
        across = np.abs((np.arange(_SIZE)[None] - centre[:, None] + _SIZE / 2) % _SIZE - _SIZE / 2)
        band = np.exp(-((across / half) ** 4))
        fade = 0.5 + 0.5 * np.sin(2 * np.pi * (t / _SIZE + rng.random()))
        mark = (1 - depth * band * fade[:, None]).astype(np.float32)
        image *= (mark if rng.random() < 0.5 else mark.T)[..., None]


def concrete_floor() -> Array:
    """Worn concrete: power-trowelled clouds, saw-cut joints, cracks, stains, tyre marks."""
    rng = np.random.default_rng(11)
    clouds = fractal_noise(rng, _SHAPE, (3, 7, 15, 31, 64, 128))
    image = ramp(clouds, (112, 110, 105), (172, 169, 162))
    stains = fractal_noise(rng, _SHAPE, (4, 9, 20, 40))
    image *= (1 - 0.30 * threshold(stains, 0.62, 5))[..., None]
    image *= (1 + 0.10 * threshold(fractal_noise(rng, _SHAPE, (5, 40)), 0.7, 4))[..., None]
    _tyre_marks(image, rng, 4, 0.16)
    _cracks(image, rng, 5)
    _joints(image, _SIZE // 2)
    return finish(image, rng, 4.0)


def patched_floor() -> Array:
    """Old concrete with darker repair patches and many cracks."""
    rng = np.random.default_rng(16)
    image = ramp(fractal_noise(rng, _SHAPE, (5, 11, 45, 90)), (98, 96, 93), (150, 148, 142))
    for _ in range(7):
        y, x = rng.integers(0, _SIZE - 130, 2)
        h, w = rng.integers(45, 125, 2)
        image[y : y + h, x : x + w] *= rng.uniform(0.78, 1.16)
        image[y : y + h, [x, x + w - 1]] *= 0.7
        image[[y, y + h - 1], x : x + w] *= 0.7
    image *= (1 - 0.35 * threshold(fractal_noise(rng, _SHAPE, (3, 8, 25)), 0.66, 5))[..., None]
    _cracks(image, rng, 12)
    _tyre_marks(image, rng, 3, 0.2)
    return finish(image, rng, 5.0)


def epoxy_floor() -> Array:
    """Grey-green epoxy coating, worn to the screed along the lanes."""
    rng = np.random.default_rng(12)
    image = ramp(fractal_noise(rng, _SHAPE, (5, 10, 20)), (88, 110, 101), (112, 134, 123))
    worn = threshold(fractal_noise(rng, _SHAPE, (3, 12, 48, 96)), 0.68, 7)[..., None]
    image = image * (1 - 0.6 * worn) + np.array((150, 148, 142), np.float32) * 0.6 * worn
    image[rng.random(_SHAPE) > 0.99] += 22
    _tyre_marks(image, rng, 5, 0.22)
    _joints(image, _SIZE, 2, 0.75)
    return finish(image, rng, 2.5)


def blue_epoxy_floor() -> Array:
    """Blue-grey coating, lightly worn, with scuffs."""
    rng = np.random.default_rng(13)
    image = ramp(fractal_noise(rng, _SHAPE, (4, 9, 27, 54)), (84, 97, 118), (118, 131, 150))
    image *= (1 - 0.2 * threshold(fractal_noise(rng, _SHAPE, (4, 30, 90)), 0.64, 5))[..., None]
    _tyre_marks(image, rng, 5, 0.2)
    _cracks(image, rng, 2)
    return finish(image, rng, 2.5)


def tile_floor() -> Array:
    """Light industrial tiles, 8 x 8, each with its own shade, and dark grout."""
    rng = np.random.default_rng(14)
    step = _SIZE // 8
    shade = rng.uniform(0.3, 0.9, (8, 8)).repeat(step, 0).repeat(step, 1)
    level = 0.6 * shade + 0.4 * fractal_noise(rng, _SHAPE, (6, 16, 32, 64))
    image = ramp(level, (144, 140, 132), (196, 191, 183))
    image *= (1 - 0.25 * threshold(fractal_noise(rng, _SHAPE, (4, 12, 36)), 0.62, 4))[..., None]
    _joints(image, step, 2, 0.65)
    return finish(image, rng)


def asphalt_floor() -> Array:
    """Dark, coarse screed with tyre marks and polished lanes."""
    rng = np.random.default_rng(15)
    image = ramp(fractal_noise(rng, _SHAPE, (3, 6, 64, 128, 256)), (62, 62, 63), (106, 104, 102))
    image *= (1 + 0.2 * threshold(fractal_noise(rng, _SHAPE, ((2, 8), (4, 24))), 0.6, 3))[..., None]
    _cracks(image, rng, 4)
    _tyre_marks(image, rng, 4, 0.25)
    return finish(image, rng, 6.0)
