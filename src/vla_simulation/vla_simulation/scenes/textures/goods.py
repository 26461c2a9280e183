"""Tiles of the prop atlas that show goods: cartons, film-wrapped loads, totes, sacks, drums."""

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


def carton(tone: Colour, tape: Colour, printed: Colour, label: bool) -> Painter:
    """Side of a corrugated carton with tape, print and an address label."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        base = np.array(tone, np.float64)
        flutes = fractal_noise(rng, shape, (3, 8, (4, 40)))
        image = ramp(flutes, 0.86 * base, base)
        rectangle(image, 0.0, 0.0, 1.0, 0.015, 0.6 * base)
        strip = image[:, int(shape[1] * 0.45) : int(shape[1] * 0.55)]
        strip[: shape[0] // 4] = strip[: shape[0] // 4] * 0.45 + np.array(tape) * 0.55
        # Two arrows, a bar and lines of print.
        for left in (0.08, 0.18):
            rectangle(image, left, 0.62, left + 0.03, 0.80, printed)
            rectangle(image, left - 0.02, 0.62, left + 0.05, 0.66, printed)
        rectangle(image, 0.06, 0.82, 0.26, 0.85, printed)
        if label:
            rectangle(image, 0.60, 0.48, 0.90, 0.84, (228, 226, 220))
            for x in np.arange(0.63, 0.87, 0.018):
                if rng.random() < 0.6:
                    rectangle(image, x, 0.68, x + 0.008, 0.81, (40, 40, 42))
            for k in range(3):
                rectangle(image, 0.63, 0.52 + 0.045 * k, 0.74 + 0.04 * k, 0.535 + 0.045 * k, 90.0)
        else:
            rectangle(image, 0.36, 0.36, 0.64, 0.60, printed)
            rectangle(image, 0.39, 0.41, 0.61, 0.55, tone)
        darken_edges(image, 0.03, 0.4)
        shade_down(image, 0.12)
        return image

    return paint


def carton_top(tone: Colour) -> Painter:
    """Closed flaps with tape along the seam."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        base = np.array(tone, np.float64)
        image = ramp(fractal_noise(rng, shape, (3, 9, 30)), 0.9 * base, base)
        rectangle(image, 0.0, 0.49, 1.0, 0.505, 0.55 * base)
        rectangle(image, 0.0, 0.43, 1.0, 0.57, np.minimum(1.08 * base + 8, 255))
        darken_edges(image, 0.03, 0.35)
        return image

    return paint


def wrapped(film: Colour, clear: float, tone: Colour) -> Painter:
    """Cartons behind stretch film: bright creases, folds running around the load."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        rows, columns = shape
        image = np.empty((*shape, 3), np.float32)
        for r in range(4):
            for c in range(3):
                shade = rng.uniform(0.8, 1.05)
                rectangle(
                    image,
                    c / 3,
                    r / 4,
                    (c + 1) / 3,
                    (r + 1) / 4,
                    shade * np.array(tone),
                )
                rectangle(
                    image, c / 3 + 0.18, r / 4 + 0.08, c / 3 + 0.29, r / 4 + 0.19, (216, 214, 206)
                )
        image[:: rows // 4] *= 0.5
        image[:, :: columns // 3] *= 0.55
        image = image * clear + np.array(film, np.float32) * (1 - clear)
        slanted = fractal_noise(rng, (rows, columns), ((10, 2), (24, 4), (56, 6)))
        slope = (np.arange(columns) * 0.12).astype(int)
        slanted = slanted[(np.arange(rows)[:, None] + slope[None]) % rows, np.arange(columns)[None]]
        image += 88 * (threshold(slanted, 0.62, 5) * (0.4 + clear))[..., None]
        image *= (1 - 0.3 * threshold(1 - slanted, 0.62, 5))[..., None]
        image *= (0.82 + 0.3 * fractal_noise(rng, shape, ((1, 4), (2, 8))))[..., None]
        darken_edges(image, 0.05, 0.35)
        shade_down(image, 0.25)
        return image

    return paint


def tote(tone: Colour) -> Painter:
    """Plastic crate: rim, ribs, handle hole, card holder."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        base = np.array(tone, np.float32)
        image = ramp(fractal_noise(rng, shape, (3, 12)), 0.88 * base, base)
        rectangle(image, 0.0, 0.0, 1.0, 0.12, np.minimum(base * 1.2 + 10, 255))
        rectangle(image, 0.0, 0.12, 1.0, 0.15, 0.5 * base)
        for x in (0.08, 0.24, 0.74, 0.90):
            rectangle(image, x, 0.15, x + 0.025, 1.0, 0.72 * base)
            rectangle(image, x - 0.012, 0.15, x, 1.0, np.minimum(base * 1.15 + 6, 255))
        rectangle(image, 0.40, 0.22, 0.60, 0.34, (24, 24, 26))
        rectangle(image, 0.36, 0.52, 0.64, 0.80, (214, 213, 206))
        rectangle(image, 0.39, 0.60, 0.58, 0.64, (70, 70, 72))
        darken_edges(image, 0.03, 0.4)
        shade_down(image, 0.2)
        return image

    return paint


def tote_top(tone: Colour) -> Painter:
    """Closed lid with a rim."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        base = np.array(tone, np.float32)
        image = ramp(fractal_noise(rng, shape, (4, 10)), 0.9 * base, base)
        rectangle(image, 0.08, 0.08, 0.92, 0.92, 0.78 * base)
        rectangle(image, 0.11, 0.11, 0.89, 0.89, 0.95 * base)
        darken_edges(image, 0.03, 0.3)
        return image

    return paint


def sacks(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Layers of filled sacks, bulging."""
    rows, columns = shape
    y, x = np.mgrid[0:rows, 0:columns]
    v, u = (y / rows * 5) % 1, (x / columns * 2 + 0.5 * ((y * 5 // rows) % 2)) % 1
    bulge = np.sin(np.pi * v) ** 0.5 * np.sin(np.pi * u) ** 0.3
    level = (0.85 * bulge + 0.15 * fractal_noise(rng, shape, (8, 24))).astype(np.float32)
    image = ramp(level, (84, 78, 68), (216, 208, 192))
    printed = (np.abs(v - 0.5) < 0.22) & (np.abs(u - 0.5) < 0.16)
    image[printed] = image[printed] * 0.45 + np.array((40, 84, 96), np.float32) * 0.55
    return image


def drum(tone: Colour) -> Painter:
    """Mantle of a drum with rolling hoops, a label and a highlight."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        base = np.array(tone, np.float32)
        image = ramp(fractal_noise(rng, shape, (4, 14, 40)), 0.85 * base, base)
        for v in (0.02, 0.34, 0.66, 0.95):
            rectangle(image, 0, v, 1, v + 0.02, np.minimum(base * 1.4 + 26, 255))
            rectangle(image, 0, v + 0.02, 1, v + 0.045, 0.45 * base)
        rectangle(image, 0.30, 0.42, 0.52, 0.60, (222, 220, 210))
        rectangle(image, 0.33, 0.45, 0.40, 0.57, (196, 120, 30))
        image *= (0.80 + 0.35 * fractal_noise(rng, shape, ((1, 5), (2, 9))))[..., None]
        shade_down(image, 0.3)
        return image

    return paint


def tank_cage(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Side of a bulk container: milky tank in a steel cage."""
    image = ramp(fractal_noise(rng, shape, (2, 6)), (178, 182, 176), (220, 222, 216))
    image[int(shape[0] * 0.45) :] *= 0.86  # the fill shows through
    for u in np.linspace(0.0, 0.97, 7):
        rectangle(image, u, 0, u + 0.022, 1, (112, 116, 120))
    for v in np.linspace(0.0, 0.96, 6):
        rectangle(image, 0, v, 1, v + 0.022, (138, 142, 146))
    rectangle(image, 0.36, 0.26, 0.66, 0.48, (200, 204, 206))
    darken_edges(image, 0.03, 0.4)
    shade_down(image, 0.25)
    return image
