"""Walls, (512, 1024, 3) uint8 RGB: 3.5 m high (row 0 at the top), 7 m long, seamless along it."""

import numpy as np

from vla_simulation.scenes.textures.noise import (
    Array,
    Colour,
    finish,
    fractal_noise,
    ramp,
    threshold,
)

_ROWS, _COLUMNS = 512, 1024
_SHAPE = (_ROWS, _COLUMNS)
_PX_PER_M = _ROWS / 3.5


def _row(height_m: float) -> int:
    """Row at a height above the floor."""
    return int(_ROWS - height_m * _PX_PER_M)


def _weathered(image: Array, rng: np.random.Generator, dirt: float = 1.0) -> Array:
    """Light from above, dirt rising from the floor, streaks, scuffs of pallets and bumpers."""
    height = np.linspace(3.5, 0, _ROWS, dtype=np.float32)[:, None]
    cloud = fractal_noise(rng, _SHAPE, (4, 9, 20))
    image *= (1.0 - 0.34 * np.exp(-height / 0.22) - 0.10 * np.exp(-(3.5 - height) / 0.4))[..., None]
    pools = 0.5 + 0.5 * np.cos(np.arange(_COLUMNS) / _COLUMNS * 4 * np.pi)[None]
    image *= (0.93 + 0.11 * pools * np.clip(height / 2.5, 0, 1))[..., None].astype(np.float32)
    rising = threshold(cloud, 0.35, 2.0) * np.exp(-height / 0.35)
    streaks = threshold(fractal_noise(rng, _SHAPE, ((2, 64), (3, 128))), 0.66, 5)
    scuffs = threshold(fractal_noise(rng, _SHAPE, ((96, 10), (128, 20))), 0.72, 6)
    low = ((height < 1.2) & (height > 0.1)).astype(np.float32)
    shade = 1 - dirt * (0.28 * rising + 0.10 * streaks + 0.20 * scuffs * low)
    image *= shade[..., None]
    return finish(image, rng, 2.5)


def _skirting(image: Array, colour: Colour, height_m: float = 0.12) -> None:
    row = _row(height_m)
    image[row:] = colour
    image[row - 2 : row] *= 0.7
    image[row : row + 2] *= 1.12


def painted_wall() -> Array:
    """Off-white plaster over a coloured lower band, skirting board below."""
    rng = np.random.default_rng(21)
    image = ramp(fractal_noise(rng, _SHAPE, (4, 8, 32)), (200, 198, 190), (224, 221, 213))
    band = _row(1.2)
    image[band:] = ramp(fractal_noise(rng, _SHAPE, (6, 12)), (104, 122, 134), (122, 140, 152))[
        band:
    ]
    image[band - 4 : band] = (78, 90, 102)
    chipped = threshold(fractal_noise(rng, _SHAPE, (24, 60, 120)), 0.76, 20)[..., None]
    chipped[: _row(1.1)] = 0
    image = image * (1 - chipped) + np.array((196, 190, 180), np.float32) * chipped
    _skirting(image, (62, 62, 64))
    return _weathered(image, rng)


def corrugated_wall() -> Array:
    """Trapezoidal sheet metal with girts, screws and a concrete plinth."""
    rng = np.random.default_rng(22)
    phase = np.arange(_COLUMNS) / _COLUMNS * 28 * 2 * np.pi
    rib = np.clip(np.sin(phase) * 1.9, -1, 1) * 0.5 + 0.5
    edge = np.clip(-np.cos(phase) * 0.8, -0.5, 0.5) * (np.abs(np.sin(phase)) < 0.55)
    level = np.repeat((0.75 * rib + 0.35 * edge)[None], _ROWS, 0).astype(np.float32)
    image = ramp(level, (122, 130, 137), (186, 192, 196))
    image *= (0.9 + 0.1 * fractal_noise(rng, _SHAPE, (4, 8, 16)))[..., None]
    for height in (1.0, 2.1, 3.2):
        image[_row(height) : _row(height) + 3] *= 0.72
        image[_row(height) + 6 : _row(height) + 9, 18::36] *= 0.5
    plinth = _row(0.45)
    image[plinth:] = ramp(
        fractal_noise(rng, _SHAPE, (6, 24, 96)), (120, 118, 114), (158, 156, 150)
    )[plinth:]
    image[plinth - 3 : plinth] *= 0.45
    return _weathered(image, rng)


def brick_wall() -> Array:
    """Whitewashed brick in stretcher bond, with worn and bare bricks."""
    rng = np.random.default_rng(23)
    courses, bricks = 46, 28
    width = _COLUMNS / bricks
    image = np.empty((*_SHAPE, 3), np.float32)
    edges = np.linspace(0, _ROWS, courses + 1).astype(int)
    for course in range(courses):
        x = (np.arange(_COLUMNS) + 0.5 * width * (course % 2)) % _COLUMNS
        column = (x / width).astype(int) % bricks
        shade = rng.uniform(0.82, 1.0, bricks)[column][:, None]
        low = 0.16 if course > courses * 0.6 else 0.05
        bare = (rng.random(bricks) < low)[column][:, None]
        line = np.where(bare, np.array([156, 98, 78]), np.array([202, 196, 186])) * shade
        line[(x % width) < 2] = (158, 154, 147)
        top, bottom = edges[course], edges[course + 1]
        image[top:bottom] = line[None]
        image[top] = (158, 154, 147)
        image[bottom - 1] *= 0.86
    image *= (0.86 + 0.14 * fractal_noise(rng, _SHAPE, (6, 32, 64, 128)))[..., None]
    _skirting(image, (98, 95, 91))
    return _weathered(image, rng)


def red_brick_wall() -> Array:
    """Bare brick, painted grey up to hip height."""
    rng = np.random.default_rng(26)
    courses, bricks = 46, 28
    width = _COLUMNS / bricks
    image = np.empty((*_SHAPE, 3), np.float32)
    edges = np.linspace(0, _ROWS, courses + 1).astype(int)
    for course in range(courses):
        x = (np.arange(_COLUMNS) + 0.5 * width * (course % 2)) % _COLUMNS
        column = (x / width).astype(int) % bricks
        tone = rng.uniform(0.72, 1.08, (bricks, 1)) * np.array([[158, 104, 84]])
        tone += rng.normal(0, 5, (bricks, 3))
        line = tone[column]
        line[(x % width) < 2] = (148, 142, 134)
        top, bottom = edges[course], edges[course + 1]
        image[top:bottom] = line[None]
        image[top] = (148, 142, 134)
    paint = _row(1.0)
    image[paint:] = image[paint:].mean(2, keepdims=True) * 0.35 + np.array((88, 94, 98), np.float32)
    image *= (0.84 + 0.16 * fractal_noise(rng, _SHAPE, (6, 32, 64, 128)))[..., None]
    return _weathered(image, rng)


def block_wall() -> Array:
    """Grey concrete blocks in bond with a yellow line at hip height."""
    rng = np.random.default_rng(24)
    courses, blocks = 17, 14
    width = _COLUMNS / blocks
    image = np.empty((*_SHAPE, 3), np.float32)
    edges = np.linspace(0, _ROWS, courses + 1).astype(int)
    for course in range(courses):
        x = (np.arange(_COLUMNS) + 0.5 * width * (course % 2)) % _COLUMNS
        tone = rng.uniform(0.90, 1.06, (blocks, 1)) * np.array([[168, 165, 159]])
        line = tone[(x / width).astype(int) % blocks]
        line[(x % width) < 3] *= 0.80
        image[edges[course] : edges[course + 1]] = line[None]
        image[edges[course] : edges[course] + 3] *= 0.82
    image *= (0.84 + 0.2 * fractal_noise(rng, _SHAPE, (8, 16, 64, 128, 256)))[..., None]
    stripe = slice(_row(1.12), _row(1.02))
    image[stripe] = image[stripe] * 0.25 + np.array((168, 138, 40), np.float32) * 0.9
    _skirting(image, (76, 74, 72), 0.10)
    return _weathered(image, rng)


def panel_wall() -> Array:
    """Insulated cold-store panels with dark joints, rivets and a steel kick plate."""
    rng = np.random.default_rng(25)
    image = ramp(fractal_noise(rng, _SHAPE, (2, 5, 11)), (176, 187, 190), (200, 209, 211))
    for k in range(0, _COLUMNS, _COLUMNS // 6):
        image[:, k : k + 5] = (112, 121, 125)
        image[:, k + 5 : k + 7] *= 1.06
    kick = _row(0.42)
    image[kick:] = ramp(
        fractal_noise(rng, _SHAPE, ((200, 4), (400, 8))), (126, 129, 132), (164, 167, 170)
    )[kick:]
    image[kick - 3 : kick] = (92, 94, 97)
    image[kick + 8 : kick + 11, 20::64] *= 0.6
    return _weathered(image, rng)


def concrete_wall() -> Array:
    """Cast concrete in formwork panels with tie holes and pour marks."""
    rng = np.random.default_rng(27)
    image = ramp(fractal_noise(rng, _SHAPE, (3, 8, 20, 60, 120)), (128, 126, 122), (172, 170, 165))
    for k in range(0, _COLUMNS, _COLUMNS // 5):
        image[:, k : k + 3] *= 0.72
    for height in (1.15, 2.3):
        image[_row(height) : _row(height) + 3] *= 0.74
    y, x = np.mgrid[0:_ROWS, 0:_COLUMNS]
    spacing = _COLUMNS / 5
    dx = (x % spacing) / spacing
    for height in (0.55, 1.7, 2.9):
        for share in (0.22, 0.78):
            hole = (y - _row(height)) ** 2 + ((dx - share) * spacing) ** 2 < 16
            image[hole] *= 0.5
    image *= (1 - 0.15 * threshold(fractal_noise(rng, _SHAPE, ((10, 3), (40, 8))), 0.6, 4))[
        ..., None
    ]
    return _weathered(image, rng)
