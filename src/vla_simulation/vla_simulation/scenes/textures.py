"""Procedural textures: floors, walls and surfaces, drawn with numpy from fixed seeds.

Every function returns (H, W, 3) uint8 RGB. They repeat without a seam in both directions, except
the wall textures, which span the height of the wall (row 0 at the top).
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def _fractal_noise(rng: np.random.Generator, size: int, octaves: tuple[int, ...]) -> Array:
    """Seamless value noise in [0, 1], float32 (size, size); octaves are cells per side."""
    total = np.zeros((size, size), np.float32)
    weight = 1.0
    for cells in octaves:
        grid = rng.random((cells, cells), np.float32)
        position = np.arange(size) * cells / size
        low = position.astype(int)
        t = (position - low).astype(np.float32)
        t = t * t * (3 - 2 * t)
        high = (low + 1) % cells
        rows = grid[low] * (1 - t)[:, None] + grid[high] * t[:, None]
        total += weight * (rows[:, low] * (1 - t) + rows[:, high] * t)
        weight *= 0.55
    total -= total.min()
    return total / total.max()


def _tinted(level: Array, dark: tuple[int, int, int], light: tuple[int, int, int]) -> Array:
    """Map a level in [0, 1] to colours between dark and light; float32 (H, W, 3)."""
    a, b = np.array(dark, np.float32), np.array(light, np.float32)
    return a + (b - a) * np.clip(level, 0, 1)[..., None]


def _finish(image: Array, rng: np.random.Generator, grain: float = 3.0) -> Array:
    noise = rng.normal(0, grain, image.shape[:2]).astype(np.float32)
    return np.clip(image + noise[..., None], 0, 255).astype(np.uint8)


def concrete_floor(size: int = 512) -> Array:
    """Worn concrete with saw-cut joints and tyre marks."""
    rng = np.random.default_rng(11)
    image = _tinted(_fractal_noise(rng, size, (4, 8, 16, 32, 64)), (118, 116, 112), (168, 166, 160))
    joint = size // 2
    for offset in (0, joint):
        image[offset : offset + 2] *= 0.62
        image[:, offset : offset + 2] *= 0.62
    stains = _fractal_noise(rng, size, (3, 6, 12))
    image *= (1 - 0.22 * np.clip((stains - 0.6) * 4, 0, 1))[..., None]
    return _finish(image, rng)


def epoxy_floor(size: int = 512) -> Array:
    """Grey-green epoxy coating with fine speckle and scuffs."""
    rng = np.random.default_rng(12)
    image = _tinted(_fractal_noise(rng, size, (5, 10, 20)), (92, 112, 104), (116, 136, 126))
    speckle = rng.random((size, size)) > 0.985
    image[speckle] += 26
    scuffs = _fractal_noise(rng, size, (2, 24, 48))
    image *= (1 - 0.16 * np.clip((scuffs - 0.66) * 5, 0, 1))[..., None]
    return _finish(image, rng, 2.0)


def blue_epoxy_floor(size: int = 512) -> Array:
    """Blue-grey coating, lightly worn."""
    rng = np.random.default_rng(13)
    image = _tinted(_fractal_noise(rng, size, (4, 9, 27, 54)), (84, 98, 122), (122, 136, 156))
    return _finish(image, rng, 2.5)


def tile_floor(size: int = 512) -> Array:
    """Light tiles, 8 x 8, each with its own shade, and dark grout."""
    rng = np.random.default_rng(14)
    tiles = 8
    shade = rng.uniform(0.3, 0.9, (tiles, tiles)).repeat(size // tiles, 0).repeat(size // tiles, 1)
    level = 0.65 * shade + 0.35 * _fractal_noise(rng, size, (8, 16, 32, 64))
    image = _tinted(level, (150, 146, 138), (198, 194, 186))
    step = size // tiles
    for k in range(0, size, step):
        image[k : k + 2] *= 0.6
        image[:, k : k + 2] *= 0.6
    return _finish(image, rng)


def asphalt_floor(size: int = 512) -> Array:
    """Dark, coarse screed."""
    rng = np.random.default_rng(15)
    image = _tinted(_fractal_noise(rng, size, (3, 6, 64, 128, 256)), (58, 58, 60), (104, 103, 101))
    return _finish(image, rng, 6.0)


def _wall_shading(rows: int, columns: int) -> Array:
    """Darker towards floor and ceiling, as under ceiling lamps; (rows, columns, 1)."""
    height = np.linspace(1, 0, rows, dtype=np.float32)
    shade = 1.0 - 0.22 * np.exp(-height * 9) - 0.12 * np.exp(-(1 - height) * 6)
    return np.repeat(shade[:, None, None], columns, axis=1)


def _skirting(image: Array, colour: tuple[int, int, int], share: float = 0.035) -> None:
    image[int(image.shape[0] * (1 - share)) :] = colour


def painted_wall(size: int = 512) -> Array:
    """Off-white paint over a coloured lower band, skirting board below."""
    rng = np.random.default_rng(21)
    image = _tinted(_fractal_noise(rng, size, (4, 8, 32)), (202, 200, 192), (222, 220, 213))
    band = int(size * 0.66)
    image[band:] = _tinted(_fractal_noise(rng, size, (6, 12)), (112, 128, 140), (128, 144, 156))[
        band:
    ]
    image[band - 3 : band] = (84, 96, 108)
    _skirting(image, (62, 62, 64))
    return _finish(image * _wall_shading(size, size), rng, 2.0)


def corrugated_wall(size: int = 512) -> Array:
    """Trapezoidal sheet metal, vertical ribs."""
    rng = np.random.default_rng(22)
    phase = np.arange(size) / size * 24 * 2 * np.pi
    rib = np.clip(np.sin(phase) * 1.8, -1, 1) * 0.5 + 0.5
    level = np.repeat(rib[None], size, 0).astype(np.float32)
    image = _tinted(level, (128, 136, 142), (184, 190, 194))
    image *= (0.9 + 0.1 * _fractal_noise(rng, size, (4, 8, 16)))[..., None]
    image[[size // 3, size // 3 + 1]] *= 0.75
    _skirting(image, (88, 88, 90), 0.06)
    return _finish(image * _wall_shading(size, size), rng, 2.0)


def brick_wall(size: int = 512) -> Array:
    """Whitewashed brick with a few bare ones."""
    rng = np.random.default_rng(23)
    rows, columns = 32, 12
    image = np.empty((size, size, 3), np.float32)
    height, width = size // rows, size / columns
    for r in range(rows):
        shift = 0.5 * width * (r % 2)
        x = (np.arange(size) + shift) % size
        column = (x / width).astype(int) % columns
        shade = rng.uniform(0.55, 1.0, columns)
        tone = np.where(rng.random(columns) > 0.93, 0.0, 1.0)[column]
        pale = np.array([206, 198, 188]) * shade[column][:, None]
        bare = np.array([168, 104, 84]) * (0.7 + 0.3 * shade[column][:, None])
        line = pale * tone[:, None] + bare * (1 - tone[:, None])
        line[(x % width) < 2] = (150, 146, 140)
        image[r * height : (r + 1) * height] = line[None]
        image[r * height : r * height + 2] = (150, 146, 140)
    image *= (0.92 + 0.08 * _fractal_noise(rng, size, (8, 32, 64)))[..., None]
    _skirting(image, (96, 94, 90))
    return _finish(image * _wall_shading(size, size), rng)


def block_wall(size: int = 512) -> Array:
    """Grey concrete blocks with a yellow line at hip height."""
    rng = np.random.default_rng(24)
    rows, columns = 16, 8
    shade = rng.uniform(0.3, 0.8, (rows, columns))
    level = shade.repeat(size // rows, 0).repeat(size // columns, 1)
    level = 0.6 * level + 0.4 * _fractal_noise(rng, size, (8, 16, 64, 128))
    image = _tinted(level.astype(np.float32), (136, 134, 130), (186, 184, 178))
    for k in range(0, size, size // rows):
        image[k : k + 2] *= 0.78
    for k in range(0, size, size // columns):
        image[:, k : k + 2] *= 0.82
    line = int(size * 0.7)
    image[line : line + size // 48] = (206, 172, 60)
    _skirting(image, (72, 70, 68))
    return _finish(image * _wall_shading(size, size), rng)


def panel_wall(size: int = 512) -> Array:
    """Insulated cold-store panels, dark joints, kick plate."""
    rng = np.random.default_rng(25)
    image = _tinted(_fractal_noise(rng, size, (2, 5, 11)), (172, 184, 188), (198, 208, 210))
    for k in range(0, size, size // 4):
        image[:, k : k + 4] = (112, 122, 126)
    _skirting(image, (148, 150, 152), 0.12)
    image[int(size * 0.88) - 2 : int(size * 0.88)] = (96, 98, 100)
    return _finish(image * _wall_shading(size, size), rng, 2.0)


def cardboard(size: int = 128) -> Array:
    """Corrugated cardboard with packing tape and a printed label."""
    rng = np.random.default_rng(31)
    image = _tinted(_fractal_noise(rng, size, (4, 8, 32)), (162, 124, 82), (190, 150, 104))
    tape = slice(int(size * 0.44), int(size * 0.56))
    image[tape] = image[tape] * 0.55 + np.array([206, 186, 146]) * 0.45
    label = (slice(int(size * 0.64), int(size * 0.84)), slice(int(size * 0.6), int(size * 0.86)))
    image[label] = (226, 224, 216)
    bars = rng.random(size) > 0.5
    rows = slice(int(size * 0.74), int(size * 0.82))
    columns = np.arange(int(size * 0.63), int(size * 0.83))
    image[rows, columns[bars[columns]]] = (40, 40, 40)
    image[[0, 1, -1, -2]] *= 0.72
    image[:, [0, 1, -1, -2]] *= 0.72
    return _finish(image, rng)


def wood(size: int = 128) -> Array:
    """Pallet boards, grain along the columns."""
    rng = np.random.default_rng(32)
    grain = _fractal_noise(rng, size, (2, 4, 32))[:1].repeat(size, 0)
    level = 0.7 * grain + 0.3 * _fractal_noise(rng, size, (4, 16))
    image = _tinted(level, (144, 108, 70), (200, 164, 116))
    for k in range(0, size, size // 4):
        image[:, k : k + 5] = (58, 44, 32)
    return _finish(image, rng)


def hazard_stripes(size: int = 128) -> Array:
    """Yellow and black diagonal stripes."""
    rng = np.random.default_rng(33)
    y, x = np.mgrid[0:size, 0:size]
    stripe = ((x + y) * 4 // size) % 2 == 0
    image = _tinted(stripe.astype(np.float32), (34, 34, 34), (232, 186, 30))
    return _finish(image, rng)


def bolt_sign(size: int = 128) -> Array:
    """White lightning bolt in a ring on a field that the station's colour tints."""
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    image = np.full((size, size, 3), 150, np.float32)
    radius = np.hypot(x, y)
    image[(radius < 0.47) & (radius > 0.40)] = 255
    corners = [(0.08, -0.33), (-0.20, 0.05), (-0.02, 0.05), (-0.10, 0.33), (0.20, -0.07)]
    corners.append((0.03, -0.07))
    image[_inside_polygon(x, y, corners)] = 255
    return image.astype(np.uint8)


def _inside_polygon(x: Array, y: Array, corners: list[tuple[float, float]]) -> Array:
    """Even-odd rule, vectorised over the pixels."""
    inside = np.zeros(x.shape, bool)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def roller_door(size: int = 128) -> Array:
    """Horizontal slats with a hazard edge below."""
    rng = np.random.default_rng(34)
    slat = 0.5 + 0.5 * np.sin(np.arange(size) / size * 18 * 2 * np.pi)
    image = _tinted(np.repeat(slat[:, None], size, 1), (104, 112, 120), (168, 174, 178))
    image[:, : size // 24] = image[:, -size // 24 :] = (70, 74, 78)
    edge = int(size * 0.93)
    image[edge:] = hazard_stripes(size)[edge:]
    return _finish(image, rng, 2.0)


def poster(size: int = 128) -> Array:
    """A safety notice."""
    image = np.full((size, size, 3), 236, np.float32)
    image[: size // 4] = (38, 92, 160)
    for k in range(5):
        row = int(size * (0.36 + 0.12 * k))
        image[row : row + size // 32, size // 8 : size - size // 8 - 9 * k] = (90, 90, 96)
    image[[0, 1, -2, -1]] = 60
    image[:, [0, 1, -2, -1]] = 60
    return image.astype(np.uint8)


FLOORS: dict[str, Callable[[], Array]] = {
    "concrete": concrete_floor,
    "epoxy": epoxy_floor,
    "blue_epoxy": blue_epoxy_floor,
    "tile": tile_floor,
    "asphalt": asphalt_floor,
}
WALLS: dict[str, Callable[[], Array]] = {
    "painted": painted_wall,
    "corrugated": corrugated_wall,
    "brick": brick_wall,
    "block": block_wall,
    "panel": panel_wall,
}
SURFACES: dict[str, Callable[[], Array]] = {
    "cardboard": cardboard,
    "wood": wood,
    "hazard": hazard_stripes,
    "bolt": bolt_sign,
    "roller_door": roller_door,
    "poster": poster,
}
