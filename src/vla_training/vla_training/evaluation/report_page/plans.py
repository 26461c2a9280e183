"""Episodes from above: SVG in the frame of the commanded dock, the station at the top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from vla_core.docking import DOCKED, PRECISE, DockTolerance
from vla_simulation.config import RobotConfig, StationConfig
from vla_training.evaluation.rollouts import EpisodeResult
from vla_training.evaluation.traces import Trace

_WIDTH: Final = 420.0
_LABEL: Final = 28.0
_RIGHT: Final = 14.0
_TOP: Final = 10.0
_FAR_M: Final = 3.5


@dataclass(frozen=True)
class Window:
    """The part of the dock frame that a picture shows.

    Attributes:
        front_m: How far it reaches in front of the docked pose.
        beyond_m: How far behind it, into the station.
        side_m: How far to either side.
        grid_m: From one line of the grid to the next.
    """

    front_m: float
    beyond_m: float
    side_m: float
    grid_m: float

    @classmethod
    def around(cls, traces: Sequence[Trace]) -> Window:
        """A window that shows starts and station of some episodes; who gets lost leaves it."""
        starts = np.stack([trace.poses[0, :2] for trace in traces])
        side = max(0.9, float(np.abs(starts[:, 1]).max()) + 0.5)
        return cls(max(1.0, float(-starts[:, 0].min()) + 0.3), 0.55, side, 0.5)

    @classmethod
    def whole(cls, trace: Trace) -> Window:
        """A window that shows all of one episode and the station, as far as it is near it."""
        points = np.clip(trace.poses[:, :2], -_FAR_M, _FAR_M)
        side = max(0.6, float(np.abs(points[:, 1]).max()) + 0.35)
        return cls(max(0.8, float(-points[:, 0].min()) + 0.35), 0.55, side, 0.5)

    @property
    def scale(self) -> float:
        """Units of the picture per metre."""
        return _WIDTH / (2.0 * self.side_m)

    @property
    def height(self) -> float:
        """Of the picture, in its units."""
        return self.scale * (self.front_m + self.beyond_m)

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 2) of the dock frame [m] in the picture, (n, 2): forward is up, left left."""
        return np.stack(
            [
                self.scale * (self.side_m - points[:, 1]),
                self.scale * (self.beyond_m - points[:, 0]),
            ],
            axis=1,
        )


CLOSE: Final = Window(front_m=0.5, beyond_m=0.1, side_m=0.3, grid_m=0.1)
"""The last centimetres."""


def paths(results: Sequence[EpisodeResult], traces: Sequence[Trace], window: Window) -> str:
    """All ways driven; those of failures are drawn last, thicker, with a cross at their end.

    Args:
        results: As many.
        traces: As many.
        window: What is shown.
    """
    order = sorted(zip(results, traces, strict=True), key=lambda pair: not pair[0].success)
    drawn = "".join(_path(result, trace, window) for result, trace in order)
    return _picture(window, _station(window), drawn)


def fan(result: EpisodeResult, trace: Trace) -> str:
    """The way of one episode with the chunks that were intended on it."""
    window = Window.whole(trace)
    plans = "".join(
        f'<polyline class="plan" points="{_points(plan[:, :2], window, 0.0)}"/>'
        for plan in trace.plans
    )
    robot = _robot(trace.poses[-1], window)
    return _picture(window, _station(window), _path(result, trace, window), plans, robot)


def final_errors(results: Sequence[EpisodeResult], span_mm: float = 25.0) -> str:
    """Where the base ended, beside the tolerances, as far as it is within a span.

    Args:
        results: Episodes.
        span_mm: To either side of the docked pose.
    """
    span_m = span_mm * 1e-3
    window = Window(span_m, span_m, span_m, 5e-3)
    boxes = "".join(
        _tolerance(tolerance, kind, window)
        for tolerance, kind in ((DOCKED, "limit"), (PRECISE, "limit precise"))
    )
    marks = []
    for result in sorted(results, key=lambda each: not each.success):
        point = np.array([[result.longitudinal_error_mm, result.lateral_error_mm]]) * 1e-3
        if np.abs(point).max() <= span_m:
            (x, y), title = window.place(point)[0], _title(result)
            marks.append(
                f'<circle class="{result.outcome}" cx="{x:.1f}" cy="{y:.1f}" r="3.2">'
                f"<title>{title}</title></circle>"
            )
    return _picture(window, boxes, "".join(marks), unit=1e3)


def _tolerance(tolerance: DockTolerance, kind: str, window: Window) -> str:
    far, side = tolerance.longitudinal_m, tolerance.lateral_m
    (left, top), (right, bottom) = window.place(np.array([[far, side], [-far, -side]]))
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}"/>'
    )


def _path(result: EpisodeResult, trace: Trace, window: Window) -> str:
    # Steps that nobody could see only make the file longer.
    points = _points(trace.poses[:, :2], window, 2.0)
    title = f"<title>{_title(result)}</title>"
    line = f'<polyline class="{result.outcome}" points="{points}">{title}</polyline>'
    if result.success:
        return line
    x, y = window.place(trace.poses[-1:, :2])[0]
    return (
        f'{line}<path class="{result.outcome}" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8">'
        f"{title}</path>"
    )


def _title(result: EpisodeResult) -> str:
    outcome = result.outcome.replace("_", " ")
    return escape(f"seed {result.seed}: {outcome}, {result.time_s:.1f} s, “{result.instruction}”")


def _points(points: np.ndarray, window: Window, step: float) -> str:
    """Points as SVG writes them, of which each is a step away from the one before."""
    placed = window.place(points)
    kept = [placed[0]]
    for point in placed[1:-1]:
        if np.hypot(*(point - kept[-1])) > step:
            kept.append(point)
    kept.append(placed[-1])
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in kept)


def _station(window: Window) -> str:
    """Port and panel of the station, and the base in it."""
    station = StationConfig()
    back = station.panel_front_m + station.panel_thickness_m
    parts = (
        (station.port_front_m, station.port_half_width_m),
        (station.panel_front_m, station.panel_half_width_m),
    )
    shapes = []
    for front, half in parts:
        (left, top), (right, bottom) = window.place(np.array([[back, half], [front, -half]]))
        shapes.append(
            f'<rect class="station" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}"/>'
        )
    return "".join(shapes) + _robot(np.zeros(3), window, "docked-robot")


def _robot(pose: np.ndarray, window: Window, kind: str = "robot") -> str:
    robot = RobotConfig()
    length, width = robot.length_m / 2, robot.width_m / 2
    corners = np.array([[-length, -width], [length, -width], [length, width], [-length, width]])
    cosine, sine = np.cos(pose[2]), np.sin(pose[2])
    placed = window.place(corners @ np.array([[cosine, sine], [-sine, cosine]]) + pose[:2])
    return f'<polygon class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}"/>'


def _picture(window: Window, *parts: str, unit: float = 1.0) -> str:
    return (
        f'<svg class="plan-view" viewBox="{-_LABEL} {-_TOP} {_WIDTH + _LABEL + _RIGHT} '
        f'{window.height + _LABEL + _TOP:.0f}" role="img">{_grid(window, unit)}'
        f'<svg width="{_WIDTH}" height="{window.height:.1f}">{"".join(parts)}</svg></svg>'
    )


def _grid(window: Window, unit: float) -> str:
    """Lines with their distance from the docked pose, in metres times a unit."""
    lines = []
    grid = window.grid_m
    for k in range(-int(window.beyond_m / grid), int(window.front_m / grid) + 1):
        ((_, y),) = window.place(np.array([[-k * grid, 0.0]]))
        lines.append(
            f'<line x1="0" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="-4" y="{y + 4:.1f}" text-anchor="end">{-k * grid * unit + 0:g}</text>'
        )
    most = int(window.side_m / grid + 1e-9)
    for k in range(-most, most + 1):
        ((x, _),) = window.place(np.array([[0.0, k * grid]]))
        lines.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{window.height:.1f}"/>'
            f'<text x="{x:.1f}" y="{window.height + 20:.1f}" text-anchor="middle">'
            f"{k * grid * unit + 0:g}</text>"
        )
    return f'<g class="grid">{"".join(lines)}</g>'
