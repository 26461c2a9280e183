"""Drawing of a scene from above."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from vla_core.geometry import Pose2D
from vla_core.readings import ScanReading
from vla_simulation.config import RobotConfig, ScannerConfig, StationConfig
from vla_simulation.scenes.footprints import Footprint
from vla_simulation.viewer.drawing import (
    BACKGROUND,
    GRID,
    INTENT,
    ROBOT,
    SCAN,
    STATION,
    TRAIL,
    Colour,
    font,
    is_bright,
    mix,
)

SUPERSAMPLING = 3
_GRID_M = 0.5
_GRID_HALF_M = 12.0
_RUNG_HALF_M = 0.11


class PlanCanvas:
    """A sheet on which poses and points of one frame, in metres, are drawn to scale.

    It is drawn larger than asked for and shrunk at the end, which smooths every edge.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale_pxpm: float,
        anchor_px: tuple[float, float],
        view_from_frame: Pose2D,
    ) -> None:
        """Begin an empty sheet.

        Args:
            size: width and height of the finished picture in pixels.
            scale_pxpm: pixels of the finished picture per metre.
            anchor_px: pixel of the view's origin in the finished picture.
            view_from_frame: the frame in which everything is given, seen from the view; the view's
                x axis points to the right of the picture, its y axis up.
        """
        self._scale = scale_pxpm * SUPERSAMPLING
        self._anchor = (anchor_px[0] * SUPERSAMPLING, anchor_px[1] * SUPERSAMPLING)
        self._view_from_frame = view_from_frame
        large = (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING)
        self._picture = Image.new("RGB", large, BACKGROUND)
        self._canvas = ImageDraw.Draw(self._picture)

    def pixel(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Where a point of the frame lies in the finished picture."""
        x, y = self._large_pixel(x_m, y_m)
        return x / SUPERSAMPLING, y / SUPERSAMPLING

    def finished(self) -> Image.Image:
        """The picture in the size asked for."""
        return self._picture.reduce(SUPERSAMPLING)

    def line(self, points: Iterable[tuple[float, float]], colour: Colour, width_px: float) -> None:
        """A polyline."""
        pixels = [self._large_pixel(x, y) for x, y in points]
        width = max(1, round(width_px * SUPERSAMPLING))
        self._canvas.line(pixels, fill=colour, width=width, joint="curve")

    def polygon(
        self,
        points: Iterable[tuple[float, float]],
        *,
        fill: Colour | None = None,
        outline: Colour | None = None,
        width_px: float = 2.0,
    ) -> None:
        """A closed shape."""
        pixels = [self._large_pixel(x, y) for x, y in points]
        self._canvas.polygon(
            pixels, fill=fill, outline=outline, width=round(width_px * SUPERSAMPLING)
        )

    def grid(self) -> None:
        """Lines every half metre along the view's axes."""
        frame_from_view = self._view_from_frame.inverse()
        count = round(_GRID_HALF_M / _GRID_M)
        for k in range(-count, count + 1):
            at = k * _GRID_M
            for ends in (
                ((at, -_GRID_HALF_M), (at, _GRID_HALF_M)),
                ((-_GRID_HALF_M, at), (_GRID_HALF_M, at)),
            ):
                placed = [frame_from_view @ Pose2D(x, y, 0.0) for x, y in ends]
                self.line([(end.x, end.y) for end in placed], GRID, 0.7)

    def footprint(self, footprint: Footprint, colour: Colour) -> None:
        """A filled rectangle on the floor."""
        length, width = footprint.half_length_m, footprint.half_width_m
        corners = [(-length, -width), (length, -width), (length, width), (-length, width)]
        self.polygon(_placed(footprint.pose, corners), fill=colour)

    def station(
        self,
        frame_from_dock: Pose2D,
        config: StationConfig,
        colour: Colour = STATION,
        label: str = "",
    ) -> None:
        """Port and panel of a station, with its number."""
        back = config.panel_front_m + config.panel_thickness_m
        for front, half in (
            (config.port_front_m, config.port_half_width_m),
            (config.panel_front_m, config.panel_half_width_m),
        ):
            corners = [(front, half), (back, half), (back, -half), (front, -half)]
            self.polygon(_placed(frame_from_dock, corners), fill=colour)
        if label:
            middle = frame_from_dock @ Pose2D((config.port_front_m + back) / 2, 0.0, 0.0)
            self._canvas.text(
                self._large_pixel(middle.x, middle.y),
                label,
                (16, 18, 20) if is_bright(colour) else (255, 255, 255),
                font(max(9, round(0.17 * self._scale)), bold=True),
                anchor="mm",
            )

    def scan(self, frame_from_base: Pose2D, scan: ScanReading, scanner: ScannerConfig) -> None:
        """A dot where each beam returned."""
        ranges = np.asarray(scan.ranges, float)
        angles = scan.angle_min + np.arange(len(ranges)) * scan.angle_increment
        seen = np.isfinite(ranges) & (ranges < scan.range_max)
        radius = 1.1 * SUPERSAMPLING
        for distance, angle in zip(ranges[seen], angles[seen], strict=True):
            hit = frame_from_base @ Pose2D(
                scanner.x_m + distance * math.cos(angle), distance * math.sin(angle), 0.0
            )
            x, y = self._large_pixel(hit.x, hit.y)
            self._canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=SCAN)

    def robot(self, frame_from_base: Pose2D, robot: RobotConfig, colour: Colour = ROBOT) -> None:
        """Outline of the base, with the nose narrower."""
        half_length, half_width = robot.length_m / 2, robot.width_m / 2
        corners = [
            (-half_length, -half_width),
            (half_length - 0.08, -half_width),
            (half_length, -half_width + 0.06),
            (half_length, half_width - 0.06),
            (half_length - 0.08, half_width),
            (-half_length, half_width),
        ]
        self.polygon(_placed(frame_from_base, corners), outline=colour)

    def trail(self, poses: Sequence[Pose2D]) -> None:
        """The way driven."""
        if len(poses) > 1:
            self.line([(pose.x, pose.y) for pose in poses], TRAIL, 2.0)

    def plan(self, poses: Sequence[Pose2D], *, strength: float = 1.0, rungs: bool = False) -> None:
        """Poses that are intended, nearest first.

        Args:
            poses: of the base.
            strength: 0 to 1, how visible it is.
            rungs: mark each pose by a bar across its heading, so that a turn opens like a fan.
        """
        if len(poses) < 2:
            return
        colour = mix(BACKGROUND, INTENT, strength)
        if rungs:
            for number, pose in enumerate(poses[1:], 1):
                half = _RUNG_HALF_M * (0.35 + 0.65 * number / len(poses))
                ends = _placed(pose, [(0.0, half), (0.0, -half)])
                self.line(ends, mix(BACKGROUND, colour, 0.75), 1.2)
        self.line([(pose.x, pose.y) for pose in poses], colour, 2.2)

    def _large_pixel(self, x_m: float, y_m: float) -> tuple[float, float]:
        point = self._view_from_frame @ Pose2D(x_m, y_m, 0.0)
        return self._anchor[0] + point.x * self._scale, self._anchor[1] - point.y * self._scale


def unicycle_path(actions: np.ndarray, period_s: float) -> np.ndarray:
    """The path that actions would take, from the origin.

    Args:
        actions: (H, 2) [m/s, rad/s].
        period_s: how long each is held.

    Returns:
        (H + 1, 3) x [m], y [m], yaw [rad].
    """
    path = np.zeros((len(actions) + 1, 3))
    for i, (speed, turn) in enumerate(np.asarray(actions, float)):
        x, y, yaw = path[i]
        middle = yaw + turn * period_s / 2
        path[i + 1] = (
            x + speed * period_s * np.cos(middle),
            y + speed * period_s * np.sin(middle),
            yaw + turn * period_s,
        )
    return path


def follow(start: Pose2D, actions: np.ndarray, period_s: float) -> list[Pose2D]:
    """The poses of a base that takes these actions, the start first.

    Args:
        start: where it begins.
        actions: (H, 2) [m/s, rad/s].
        period_s: how long each is held.
    """
    return [start @ Pose2D(x, y, yaw) for x, y, yaw in unicycle_path(actions, period_s).tolist()]


def _placed(pose: Pose2D, points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    placed = [pose @ Pose2D(x, y, 0.0) for x, y in points]
    return [(point.x, point.y) for point in placed]
