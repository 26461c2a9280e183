"""Top view of all paths of the demo, with the last centimetres enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from vla_core.docking import DOCKED, PRECISE, DockTolerance
from vla_core.geometry import Pose2D
from vla_simulation.config import RobotConfig, StationConfig

INK: Final = "#22282f"
MUTED: Final = "#8a949e"
STATION: Final = "#5b6670"
FEW_RUNS: Final = 5
# Okabe and Ito's colours, told apart by people with any kind of colour vision.
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")


@dataclass(frozen=True)
class Path2D:
    """One run's way.

    Attributes:
        poses: of the base in the dock frame, in order of time.
        docked: whether it ended docked.
        label: for the legend; of two lines, the second is left out where there are many runs.
    """

    poses: Sequence[Pose2D]
    docked: bool
    label: str


def plot_paths(path: Path, runs: Sequence[Path2D], title: str) -> None:
    """Draw the paths into a PNG file.

    Args:
        path: of the file.
        runs: in the order of the legend.
        title: above the picture.
    """
    figure = Figure(figsize=(12, 6.2), dpi=130, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.75, 1), height_ratios=(3.2, 1))
    approach = figure.add_subplot(grid[:, 0])
    _draw_approach(approach, runs)
    _draw_goal(figure.add_subplot(grid[0, 1]), runs)
    legend = figure.add_subplot(grid[1, 1])
    legend.axis("off")
    handles, labels = approach.get_legend_handles_labels()
    few = len(runs) <= FEW_RUNS
    legend.legend(
        handles,
        labels if few else [label.splitlines()[0] for label in labels],
        loc="upper left",
        frameon=False,
        fontsize=9 if few else 6,
        ncols=1 if few else 2,
        labelcolor=INK,
    )
    figure.suptitle(title, x=0.012, ha="left", fontsize=15, fontweight="bold", color=INK)
    figure.savefig(path)


def _draw_approach(axes: Axes, runs: Sequence[Path2D]) -> None:
    robot = RobotConfig()
    _draw_station(axes)
    axes.axhline(0.0, color=MUTED, linewidth=0.8, linestyle=(0, (6, 4)), zorder=1)
    _draw_robot(axes, Pose2D(0.0, 0.0, 0.0), robot, INK, fill=0.06, style="--")
    for number, (run, colour) in enumerate(zip(runs, _colours(len(runs)), strict=True), 1):
        xy = np.array([(pose.x, pose.y) for pose in run.poses])
        axes.plot(*xy.T, color="white", linewidth=4.2, zorder=3, solid_capstyle="round")
        axes.plot(*xy.T, color=colour, linewidth=2.2, zorder=4, label=run.label)
        _draw_robot(axes, run.poses[0], robot, colour, fill=0.13, style="-")
        tail = run.poses[0] @ Pose2D(-0.16, 0.0, 0.0)
        axes.annotate(
            str(number), (tail.x, tail.y), color=colour, fontsize=11, ha="center", va="center"
        )
    axes.set_aspect("equal")
    reach = robot.length_m
    xs = [pose.x for run in runs for pose in run.poses]
    ys = [pose.y for run in runs for pose in run.poses]
    axes.set_xlim(min(xs) - reach, StationConfig().panel_front_m + 0.35)
    half = max(max(map(abs, ys)) + reach, 1.0)
    axes.set_ylim(-half, half)
    axes.set_xlabel("towards the station [m]")
    axes.set_ylabel("left of the approach line [m]")
    _tidy(axes)


def _draw_goal(axes: Axes, runs: Sequence[Path2D]) -> None:
    limit_mm = 25.0
    _draw_tolerance(axes, DOCKED, "#dcefe4", "docked")
    _draw_tolerance(axes, PRECISE, "#a9d8bd", "precise")
    axes.axhline(0.0, color=MUTED, linewidth=0.8, linestyle=(0, (6, 4)), zorder=2)
    axes.axvline(0.0, color=MUTED, linewidth=0.8, linestyle=(0, (6, 4)), zorder=2)
    for number, (run, colour) in enumerate(zip(runs, _colours(len(runs)), strict=True), 1):
        xy = np.array([(pose.x, pose.y) for pose in run.poses]) * 1e3
        axes.plot(*xy.T, color=colour, linewidth=1.4, alpha=0.8, zorder=3)
        x, y = np.clip(xy[-1], -limit_mm, limit_mm)
        marker = "o" if run.docked else "X"
        axes.scatter(x, y, s=110, color=colour, marker=marker, edgecolor="white", zorder=6 + number)
        axes.annotate(
            str(number),
            (x, y),
            color="white",
            fontsize=7,
            ha="center",
            va="center_baseline",
            zorder=6 + number,
        )
    axes.set_aspect("equal")
    axes.set_xlim(-limit_mm, limit_mm)
    axes.set_ylim(-limit_mm, limit_mm)
    axes.set_xlabel("along the approach [mm]")
    axes.set_ylabel("across [mm]")
    axes.set_title("Where the runs came to rest", loc="left", fontsize=10, color=INK)
    _tidy(axes)


def _draw_tolerance(axes: Axes, tolerance: DockTolerance, colour: str, label: str) -> None:
    x, y = tolerance.longitudinal_m * 1e3, tolerance.lateral_m * 1e3
    axes.add_patch(Rectangle((-x, -y), 2 * x, 2 * y, facecolor=colour, edgecolor="none", zorder=1))
    axes.annotate(
        f"{label} ±{x:g} × ±{y:g} mm",
        (x, -y),  # the paths come from the left
        (-2, 2) if label == "docked" else (3, 2),
        textcoords="offset points",
        ha="right" if label == "docked" else "left",
        fontsize=8,
        color="#3c7a57",
        zorder=5,
    )


def _draw_station(axes: Axes) -> None:
    station = StationConfig()
    panel = (station.panel_front_m, station.panel_half_width_m, station.panel_thickness_m)
    port = (
        station.port_front_m,
        station.port_half_width_m,
        station.panel_front_m - station.port_front_m,
    )
    for front, half, depth in (panel, port):
        corner = (front, -half)
        axes.add_patch(Rectangle(corner, depth, 2 * half, facecolor=STATION, zorder=2))
    axes.annotate(
        "station",
        (station.panel_front_m + station.panel_thickness_m / 2, station.panel_half_width_m),
        (0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=STATION,
    )


def _draw_robot(
    axes: Axes, pose: Pose2D, robot: RobotConfig, colour: str, *, fill: float, style: str
) -> None:
    half_width = robot.width_m / 2
    front, back = robot.length_m / 2, -robot.length_m / 2
    nose = front - 0.08
    corners = [
        (back, -half_width),
        (nose, -half_width),
        (front, -half_width + 0.06),
        (front, half_width - 0.06),
        (nose, half_width),
        (back, half_width),
    ]
    outline = [(point.x, point.y) for point in (pose @ Pose2D(x, y, 0.0) for x, y in corners)]
    axes.add_patch(Polygon(outline, facecolor=colour, alpha=fill, edgecolor="none", zorder=2))
    axes.add_patch(
        Polygon(outline, fill=False, edgecolor=colour, linewidth=1.2, linestyle=style, zorder=3)
    )


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _tidy(axes: Axes) -> None:
    axes.grid(color="#e8ebee", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
