"""Signs and what hangs on walls; the digits on the stations and their fiducial markers."""

import cv2
import numpy as np

from vla_simulation.scenes.textures.materials import hazard, paint_coat
from vla_simulation.scenes.textures.noise import (
    Array,
    Colour,
    Painter,
    darken_edges,
    fractal_noise,
    ramp,
    rectangle,
    shade_down,
)

MARKER_DICTIONARY = cv2.aruco.DICT_4X4_50
MARKER_WHITE_SHARE = 1 / 6
"""Width of the white border, as a share of the marker's side without it."""


def digit_sign(digit: int, size: tuple[int, int] = (256, 192)) -> Array:
    """A black digit on a white board; (H, W, 3) uint8. The digit takes 7/8 of the height."""
    rows, columns = size
    rng = np.random.default_rng(50 + digit)
    image = ramp(fractal_noise(rng, size, (2, 6)), (232, 232, 228), (246, 246, 243))
    mask = np.zeros(size, np.uint8)
    thick = columns // 5
    font = cv2.FONT_HERSHEY_DUPLEX
    (width, height), _ = cv2.getTextSize(str(digit), font, 1.0, 1)
    stroke = np.zeros((4 * height, 4 * width), np.uint8)
    cv2.putText(stroke, str(digit), (width, 3 * height), font, 1.0, (255,), 1, cv2.LINE_8)
    filled = np.argwhere(stroke > 0)
    (top, left), (bottom, right) = filled.min(0), filled.max(0)
    # Stretch the strokes to the board, then thicken them.
    glyph = stroke[top : bottom + 1, left : right + 1]
    inner = (rows * 7 // 8 - thick, int(columns * (0.42 if digit == 1 else 0.72)) - thick)
    points = np.argwhere(glyph > 0) / (np.array(glyph.shape) - 1) * (np.array(inner) - 1)
    points += (np.array(size) - inner) / 2
    for row, column in points.astype(int):
        cv2.circle(mask, (int(column), int(row)), thick // 2, (255,), -1, cv2.LINE_AA)
    image *= (1 - mask / 255.0 * 0.93)[..., None].astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def marker(identity: int, module_px: int = 16) -> Array:
    """ArUco marker with its white border; (H, H, 3) uint8. Source: OpenCV's 4x4 dictionary."""
    dictionary = cv2.aruco.getPredefinedDictionary(MARKER_DICTIONARY)
    black = cv2.aruco.generateImageMarker(dictionary, identity, 6 * module_px)
    border = round(MARKER_WHITE_SHARE * black.shape[0])
    return np.repeat(np.pad(black, border, constant_values=255)[..., None], 3, 2)


def roller_door(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Horizontal slats between guide rails, hazard edge below."""
    slat = 0.5 + 0.5 * np.sin(np.arange(shape[0]) / shape[0] * 30 * 2 * np.pi)
    image = ramp(
        np.repeat(slat[:, None].astype(np.float32), shape[1], 1), (112, 120, 127), (176, 182, 186)
    )
    image *= (0.84 + 0.2 * fractal_noise(rng, shape, (3, 9, 24)))[..., None]
    rectangle(image, 0, 0, 0.03, 1, (72, 76, 80))
    rectangle(image, 0.97, 0, 1, 1, (72, 76, 80))
    edge = int(shape[0] * 0.94)
    image[edge:] = hazard((34, 34, 34), (214, 172, 32))(rng, shape)[edge:]
    shade_down(image, 0.3)
    return image


def personnel_door(tone: Colour) -> Painter:
    """Steel door with frame, wired window, handle and kick plate."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        image = paint_coat((86, 88, 90), 0.1)(rng, shape)
        inner = paint_coat(tone, 0.15, 0.2)(rng, shape)
        rows, columns = (
            slice(int(shape[0] * 0.04), shape[0]),
            slice(int(shape[1] * 0.07), int(shape[1] * 0.93)),
        )
        image[rows, columns] = inner[rows, columns]
        rectangle(image, 0.58, 0.14, 0.80, 0.46, (40, 44, 48))
        rectangle(image, 0.60, 0.155, 0.78, 0.445, (150, 166, 172))
        rectangle(image, 0.12, 0.54, 0.26, 0.565, (182, 184, 186))
        rectangle(image, 0.07, 0.88, 0.93, 0.99, (150, 152, 154))
        return image

    return paint


def window(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Bright panes between mullions; drawn with emission."""
    image = ramp(
        np.linspace(1, 0, shape[0], dtype=np.float32)[:, None].repeat(shape[1], 1),
        (206, 222, 226),
        (244, 250, 255),
    )
    for u in np.linspace(0, 0.97, 5):
        rectangle(image, u, 0, u + 0.03, 1, (72, 76, 80))
    for v in (0.0, 0.48, 0.96):
        rectangle(image, 0, v, 1, v + 0.04, (72, 76, 80))
    return image


def notice(head: Colour, rows_of_text: int) -> Painter:
    """Safety notice: coloured head, pictogram, lines of text."""

    def paint(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        image = np.full((*shape, 3), 236, np.float32)
        rectangle(image, 0, 0, 1, 0.26, head)
        rectangle(image, 0.10, 0.09, 0.90, 0.17, (240, 240, 238))
        rectangle(image, 0.12, 0.36, 0.40, 0.62, head)
        for k in range(rows_of_text):
            right = rng.uniform(0.7, 0.92)
            rectangle(image, 0.48 if k < 3 else 0.12, 0.38 + 0.09 * k, right, 0.41 + 0.09 * k, 88.0)
        darken_edges(image, 0.02, 0.5)
        return image

    return paint


def extinguisher_sign(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """White extinguisher and flame on red."""
    image = paint_coat((186, 28, 30), 0.05, 0.15)(rng, shape)
    rectangle(image, 0.18, 0.30, 0.40, 0.88, (240, 240, 238))
    rectangle(image, 0.24, 0.16, 0.34, 0.30, (240, 240, 238))
    rectangle(image, 0.34, 0.16, 0.56, 0.22, (240, 240, 238))
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    v, u = y / shape[0], x / shape[1]
    flame = np.abs(u - 0.70) < 0.14 * np.sin(np.pi * np.clip((v - 0.35) / 0.5, 0, 1)) ** 0.7
    image[flame & (v > 0.35) & (v < 0.85)] = (240, 240, 238)
    return image


def exit_sign(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """White figure and arrow on green."""
    image = paint_coat((12, 116, 66), 0.02, 0.1)(rng, shape)
    rectangle(image, 0.08, 0.15, 0.30, 0.85, (238, 242, 238))
    rectangle(image, 0.40, 0.42, 0.74, 0.58, (238, 242, 238))
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    v, u = y / shape[0], x / shape[1]
    image[(u > 0.70) & (u < 0.92) & (np.abs(v - 0.5) < (0.92 - u) * 1.5)] = (238, 242, 238)
    rectangle(image, 0.15, 0.24, 0.22, 0.36, (12, 116, 66))
    rectangle(image, 0.14, 0.40, 0.24, 0.80, (12, 116, 66))
    return image
