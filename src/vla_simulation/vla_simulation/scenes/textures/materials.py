"""Tiles of the prop atlas that show materials: paint, steel, wood, plastic, cloth, stripes."""

import numpy as np

from vla_simulation.scenes.textures.noise import (
    Array,
    Colour,
    Painter,
    darken_edges,
    fractal_noise,
    ramp,
    rectangle,
    shade_down,
    threshold,
)


def paint_coat(tone: Colour, wear: float = 0.3, edge: float = 0.3) -> Painter:
    """Painted metal or plastic, darker towards its rim and its foot, chipped a little."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        base = np.array(tone, np.float32)
        image = ramp(fractal_noise(rng, shape, (3, 8, 24)), 0.86 * base, base)
        chipped = wear * threshold(fractal_noise(rng, shape, (12, 30)), 0.74, 12)[..., None]
        image = image * (1 - chipped) + np.array((96, 92, 88), np.float32) * chipped
        darken_edges(image, 0.05, edge)
        shade_down(image, 0.18)
        return image

    return paint


def upright(tone: Colour) -> Painter:
    """Rack upright with a row of teardrop holes."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        image = paint_coat(tone, 0.5, 0.15)(rng, shape)
        for v in np.linspace(0.01, 0.97, 26):
            rectangle(image, 0.38, v, 0.62, v + 0.016, (24, 24, 28))
        return image

    return paint


def hazard(first: Colour, second: Colour) -> Painter:
    """Diagonal stripes, worn."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
        stripe = ((x + y) * 4 // shape[1]) % 2 == 0
        image = ramp(stripe.astype(np.float32), first, second)
        image *= (1 - 0.35 * threshold(fractal_noise(rng, shape, (8, 24)), 0.6, 5))[..., None]
        return image

    return paint


def rough_concrete(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Cast concrete of columns."""
    image = ramp(fractal_noise(rng, shape, (3, 8, 24, 48)), (122, 120, 115), (172, 169, 163))
    darken_edges(image, 0.05, 0.2)
    shade_down(image, 0.35)
    return image


def pallet_end(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Pallet from the side: top boards, blocks, dark openings, bottom boards."""
    image = np.empty((*shape, 3), np.float32)
    image[:] = (26, 22, 18)
    grain = ramp(fractal_noise(rng, shape, ((6, 2), (20, 4))), (132, 98, 64), (192, 156, 110))
    top, bottom = int(shape[0] * 0.22), int(shape[0] * 0.84)
    image[:top], image[bottom:] = grain[:top], grain[bottom:]
    image[top : top + 3] *= 0.4
    for left in (0.0, 0.42, 0.84):
        columns = slice(int(left * shape[1]), int((left + 0.16) * shape[1]))
        image[top:bottom, columns] = 0.84 * grain[top:bottom, columns]
    return image


def boards(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Boards with gaps, seen from above."""
    level = fractal_noise(rng, shape, ((3, 2), (40, 3), (80, 8)))
    image = ramp(level, (134, 100, 64), (196, 160, 112))
    for k in range(5):
        image[k * shape[0] // 5 : k * shape[0] // 5 + max(shape[0] // 28, 1)] = (40, 32, 24)
    return image


def plywood(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Site partition: sheets with joints and screws."""
    level = fractal_noise(rng, shape, ((2, 5), (4, 24), (8, 60)))
    image = ramp(level, (160, 126, 84), (206, 172, 126))
    for u in (0.0, 0.5):
        rectangle(image, u, 0, u + 0.012, 1, (84, 62, 40))
    shade_down(image, 0.4)
    return image


def partition(tone: Colour) -> Painter:
    """Light partition wall: plaster board above a painted base and a bumper rail."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        image = ramp(fractal_noise(rng, shape, (3, 8, 20)), (196, 194, 187), (218, 215, 207))
        rectangle(image, 0, 0.60, 1, 1, tone)
        rectangle(image, 0, 0.72, 1, 0.76, (70, 72, 74))
        rectangle(image, 0, 0.96, 1, 1, (58, 58, 60))
        image *= (1 - 0.2 * threshold(fractal_noise(rng, shape, ((40, 6),)), 0.7, 6))[..., None]
        shade_down(image, 0.4)
        return image

    return paint


def mesh_fence(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Machine guard: black wire on a dim background, yellow frame."""
    image = ramp(fractal_noise(rng, shape, (3, 7)), (92, 94, 96), (132, 133, 132))
    image[:: shape[0] // 24] = (30, 30, 32)
    image[:, :: shape[1] // 24] = (30, 30, 32)
    for left, right in ((0.0, 0.03), (0.97, 1.0), (0.48, 0.51)):
        rectangle(image, left, 0, right, 1, (212, 172, 32))
    shade_down(image, 0.25)
    return image


def strip_curtain(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Overlapping PVC strips before a bright passage."""
    phase = np.arange(shape[1]) / shape[1] * 9
    strip = 0.6 + 0.4 * np.sin(np.pi * (phase % 1.0)) ** 0.6
    image = ramp(
        np.repeat(strip[None].astype(np.float32), shape[0], 0), (120, 138, 142), (196, 210, 208)
    )
    image *= (0.8 + 0.3 * fractal_noise(rng, shape, ((2, 30), (4, 60))))[..., None]
    shade_down(image, 0.3)
    return image


def vest(tone: Colour) -> Painter:
    """High-visibility vest with reflecting bands."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        base = np.array(tone, np.float32)
        folds = fractal_noise(rng, shape, ((2, 6), (4, 14)))
        image = ramp(folds, 0.7 * base, np.minimum(1.05 * base, 255))
        for v in (0.52, 0.74):
            rectangle(image, 0, v, 1, v + 0.09, (206, 209, 210))
        for u in (0.20, 0.70):
            rectangle(image, u, 0, u + 0.10, 0.52, (206, 209, 210))
        image *= (0.82 + 0.25 * folds)[..., None]
        shade_down(image, 0.2)
        return image

    return paint


def cloth(tone: Colour) -> Painter:
    """Cloth with folds."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        base = np.array(tone, np.float32)
        image = ramp(
            fractal_noise(rng, shape, ((2, 8), (5, 16))),
            0.55 * base,
            np.minimum(1.15 * base, 255),
        )
        shade_down(image, 0.25)
        return image

    return paint


def cone(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Traffic cone: orange with two white bands."""
    image = paint_coat((232, 92, 30), 0.1, 0.1)(rng, shape)
    for v in (0.28, 0.58):
        rectangle(image, 0, v, 1, v + 0.16, (228, 228, 222))
    return image


def vented_cabinet(tone: Colour) -> Painter:
    """Front of an electrical cabinet: doors, lock, vents, warning triangle."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        image = paint_coat(tone, 0.15, 0.3)(rng, shape)
        rectangle(image, 0.495, 0.02, 0.505, 0.97, (52, 54, 56))
        for left in (0.12, 0.60):
            for k in range(5):
                rectangle(
                    image, left, 0.78 + 0.028 * k, left + 0.28, 0.79 + 0.028 * k, (48, 50, 52)
                )
        rectangle(image, 0.45, 0.42, 0.48, 0.50, (36, 36, 38))
        rectangle(image, 0.16, 0.16, 0.34, 0.28, (222, 184, 36))
        rectangle(image, 0.235, 0.18, 0.265, 0.26, (30, 30, 30))
        return image

    return paint
