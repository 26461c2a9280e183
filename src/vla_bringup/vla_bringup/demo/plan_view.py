"""Drawing of the robot's approach from above: path, scan, and what the policy intends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vla_bringup.demo.recording import Chunk, integrate
from vla_core.geometry import Pose2D
from vla_core.readings import ScanReading
from vla_simulation.config import RobotConfig, ScannerConfig, StationConfig

Colour = tuple[int, int, int]

BACKGROUND: Final = (24, 28, 33)
GRID: Final = (40, 46, 53)
STATION: Final = (122, 134, 146)
ROBOT: Final = (231, 236, 241)
TRAIL: Final = (86, 180, 233)
SCAN: Final = (240, 96, 96)
INTENT: Final = (255, 190, 60)
SUPERSAMPLING: Final = 3
BEHIND_M: Final = 0.75


@lru_cache
def font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib, so that pictures look alike everywhere."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf", name)), size_px)


class PlanView:
    """Draws one moment of a run in the dock frame: the station on the right, the robot comes."""

    def __init__(self, size: tuple[int, int], farthest_m: float, widest_m: float) -> None:
        """Choose the scale once, so that nothing moves but the robot.

        Args:
            size: width and height in pixels.
            farthest_m: largest distance of the base in front of the station.
            widest_m: largest distance of the base from the approach line.
        """
        self._size = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
        station = StationConfig()
        self._right_m = station.panel_front_m + station.panel_thickness_m + 0.08
        length_m = farthest_m + 0.4 + self._right_m
        width_m = 2 * widest_m + 0.9
        self._scale = min(self._size[0] / length_m, self._size[1] / width_m)
        self._robot = RobotConfig()
        self._scanner_x_m = ScannerConfig().x_m

    def draw(
        self,
        trail: Sequence[Pose2D],
        scan: ScanReading | None,
        intents: Iterable[tuple[Pose2D, Chunk]],
        period_s: float,
    ) -> Image.Image:
        """Draw one moment.

        Args:
            trail: the base in the dock frame from the start until now.
            scan: the newest one.
            intents: the last chunks, oldest first, each with where the robot was at its stamp.
            period_s: time per action of a chunk.

        Returns:
            An RGB image of the size asked for.
        """
        picture = Image.new("RGB", self._size, BACKGROUND)
        canvas = ImageDraw.Draw(picture)
        self._draw_grid(canvas)
        self._draw_station(canvas)
        if scan is not None:
            self._draw_scan(canvas, trail[-1], scan)
        if len(trail) > 1:
            self._line(canvas, [(pose.x, pose.y) for pose in trail], TRAIL, 2.0)
        self._draw_robot(canvas, trail[-1])
        chunks = list(intents)
        for age, (pose, chunk) in zip(range(len(chunks) - 1, -1, -1), chunks, strict=True):
            path = [pose @ Pose2D(x, y, 0.0) for x, y, _ in integrate(chunk.actions, period_s)]
            strength = 1.0 - age / (len(chunks) + 1)
            colour = mix(BACKGROUND, INTENT, strength)
            self._line(canvas, [(point.x, point.y) for point in path], colour, 2.2)
        width, height = self._size
        return picture.resize(
            (width // SUPERSAMPLING, height // SUPERSAMPLING), Image.Resampling.LANCZOS
        )

    def _pixel(self, x_m: float, y_m: float) -> tuple[float, float]:
        width, height = self._size
        return width - (self._right_m - x_m) * self._scale, height / 2 - y_m * self._scale

    def _line(
        self,
        canvas: ImageDraw.ImageDraw,
        points: Iterable[tuple[float, float]],
        colour: Colour,
        width_px: float,
    ) -> None:
        pixels = [self._pixel(x, y) for x, y in points]
        canvas.line(pixels, fill=colour, width=round(width_px * SUPERSAMPLING), joint="curve")

    def _draw_grid(self, canvas: ImageDraw.ImageDraw) -> None:
        for half_metres in range(-12, 13):
            at = half_metres / 2
            self._line(canvas, [(at, -9.0), (at, 9.0)], GRID, 0.7)
            self._line(canvas, [(-9.0, at), (9.0, at)], GRID, 0.7)
        self._line(canvas, [(-9.0, 0.0), (0.3, 0.0)], mix(GRID, STATION, 0.35), 1.0)

    def _draw_station(self, canvas: ImageDraw.ImageDraw) -> None:
        station = StationConfig()
        back = station.panel_front_m + station.panel_thickness_m
        for front, half in (
            (station.port_front_m, station.port_half_width_m),
            (station.panel_front_m, station.panel_half_width_m),
        ):
            canvas.rectangle([self._pixel(front, half), self._pixel(back, -half)], fill=STATION)

    def _draw_scan(self, canvas: ImageDraw.ImageDraw, base: Pose2D, scan: ScanReading) -> None:
        ranges = np.asarray(scan.ranges, float)
        angles = scan.angle_min + np.arange(len(ranges)) * scan.angle_increment
        seen = np.isfinite(ranges) & (ranges < scan.range_max)
        radius = 1.1 * SUPERSAMPLING
        for distance, angle in zip(ranges[seen], angles[seen], strict=True):
            hit = base @ Pose2D(
                self._scanner_x_m + distance * math.cos(angle), distance * math.sin(angle), 0.0
            )
            x, y = self._pixel(hit.x, hit.y)
            canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=SCAN)

    def _draw_robot(self, canvas: ImageDraw.ImageDraw, base: Pose2D) -> None:
        half_length, half_width = self._robot.length_m / 2, self._robot.width_m / 2
        corners = [
            (-half_length, -half_width),
            (half_length - 0.08, -half_width),
            (half_length, -half_width + 0.06),
            (half_length, half_width - 0.06),
            (half_length - 0.08, half_width),
            (-half_length, half_width),
        ]
        points = [base @ Pose2D(x, y, 0.0) for x, y in corners]
        pixels = [self._pixel(point.x, point.y) for point in points]
        canvas.polygon(pixels, outline=ROBOT, width=2 * SUPERSAMPLING)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour between two: 0 gives the first, 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
