"""Pictures of where a policy looks: its image, and one panel for each reader."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageDraw

from vla_simulation.viewer.drawing import BACKGROUND, GOOD, MUTED, WHITE, font, sentence_font

_PANEL_WIDTH: Final = 256
_CAPTION: Final = 22
_HEADER: Final = 34
_COLUMNS: Final = 4
_STRENGTH: Final = 0.65
_CONTOUR_AREA: Final = 0.5


def overlay_picture(
    image: np.ndarray,
    maps: Mapping[str, np.ndarray],
    areas: np.ndarray,
    sentence: str,
    notes: Mapping[str, str],
) -> np.ndarray:
    """One moment.

    Args:
        image: (H, W, 3) uint8 RGB, as the policy gets it.
        maps: By reader, (K, h, w); their mean is drawn.
        areas: (2, H, W) of the named station and of all others, whose outlines are drawn.
        sentence: That the policy is told.
        notes: Below the panels, by reader.

    Returns:
        (rows, columns, 3) uint8 RGB, both even.
    """
    height = round(_PANEL_WIDTH * image.shape[0] / image.shape[1])
    large = cv2.resize(image, (_PANEL_WIDTH, height), interpolation=cv2.INTER_LINEAR)
    panels = {"image": _outlined(large, areas)}
    panels |= {name: _outlined(_heat(large, each.mean(0)), areas) for name, each in maps.items()}
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (columns * _PANEL_WIDTH, _HEADER + rows * (height + _CAPTION))
    picture = Image.new("RGB", (size[0] + size[0] % 2, size[1] + size[1] % 2), BACKGROUND)
    canvas = ImageDraw.Draw(picture)
    text, face = sentence_font(f"“{sentence}”", 15)
    canvas.text((8, _HEADER // 2), text, WHITE, face, anchor="lm")
    for number, (name, panel) in enumerate(panels.items()):
        x = number % columns * _PANEL_WIDTH
        y = _HEADER + number // columns * (height + _CAPTION)
        picture.paste(Image.fromarray(panel), (x, y))
        caption = f"{name.rpartition('/')[2]}  {notes.get(name, '')}"
        canvas.text((x + 6, y + height + _CAPTION // 2), caption, WHITE, font(12), anchor="lm")
    return np.asarray(picture)


def _heat(image: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """The image in grey with a map (h, w) over it, its peak at full strength."""
    rows, columns = image.shape[:2]
    smooth = cv2.resize(
        np.ascontiguousarray(attention, np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR
    )
    level = np.clip(smooth / max(float(smooth.max()), 1e-12), 0.0, 1.0)
    colours = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    share = _STRENGTH * np.sqrt(level)[..., None]
    return ((1.0 - share) * grey + share * colours).astype(np.uint8)


def _outlined(image: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """The image with the outlines of the named station and of the others."""
    outlined = np.ascontiguousarray(image)
    rows, columns = image.shape[:2]
    for area, colour in zip(areas, (GOOD, MUTED), strict=True):
        large = cv2.resize(area, (columns, rows), interpolation=cv2.INTER_LINEAR)
        mask = (large > _CONTOUR_AREA).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(outlined, contours, -1, colour, 1)
    return outlined
