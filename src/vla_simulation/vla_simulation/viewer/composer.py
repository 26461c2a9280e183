"""One picture of everything: scene, robot's camera, plan, figures, sentence.

Page, video and tests use this one composition.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from vla_core.geometry import Pose2D
from vla_simulation.config import SimulationConfig
from vla_simulation.scenes.scene import Scene
from vla_simulation.viewer.drawing import (
    BACKGROUND,
    BAD,
    CLUTTER,
    GOOD,
    GRID,
    INTENT,
    MUTED,
    PANEL,
    SCAN,
    TRAIL,
    WHITE,
    Colour,
    colour_of,
    font,
    mix,
    sentence_font,
)
from vla_simulation.viewer.moment import Moment
from vla_simulation.viewer.plan import PlanCanvas

Box = tuple[int, int, int, int]

SIZE: Final = (1200, 696)
"""Width and height of the picture in pixels; even, as video encoders want them."""
CHASE_SIZE: Final = (640, 400)
"""Of the view of the scene that the composer is given."""

_HEADER_PX: Final = 52
_GAP_PX: Final = 4
_CAMERA_SIZE: Final = (320, 240)
_PLAN_BOX: Final[Box] = (CHASE_SIZE[0] + _GAP_PX, _HEADER_PX, SIZE[0], SIZE[1])
_STATUS_BOX: Final[Box] = (
    _CAMERA_SIZE[0] + _GAP_PX,
    _HEADER_PX + CHASE_SIZE[1] + _GAP_PX,
    CHASE_SIZE[0],
    SIZE[1],
)
_MARGIN_M: Final = 0.5
_BEHIND_START_M: Final = 0.8
_LARGEST_SCALE_PXPM: Final = 230.0
_STANDSTILL: Final = {"docked": GOOD, "collision": BAD, "wrong station": BAD}


@dataclass(frozen=True)
class PlanFit:
    """Which part of the world the plan shows: the stations at the top, the start at the bottom.

    Attributes:
        scale_pxpm: pixels per metre.
        anchor_px: pixel of the bay's origin within the plan.
        view_from_world: x to the right of the picture, y up.
    """

    scale_pxpm: float
    anchor_px: tuple[float, float]
    view_from_world: Pose2D

    @classmethod
    def of(cls, scene: Scene, start: Pose2D, config: SimulationConfig) -> "PlanFit":
        """Fit stations and start of an episode."""
        width, height = _PLAN_BOX[2] - _PLAN_BOX[0], _PLAN_BOX[3] - _PLAN_BOX[1]
        bay_from_world = scene.world_from_bay.inverse()
        back = Pose2D(config.station.panel_front_m + config.station.panel_thickness_m, 0.0, 0.0)
        backs = [bay_from_world @ station.world_from_dock @ back for station in scene.stations]
        begin = bay_from_world @ start
        top = max(pose.x for pose in backs) + 0.25
        bottom = begin.x - _BEHIND_START_M
        side = [begin.y, *(pose.y for pose in backs)]
        left, right = max(side) + _MARGIN_M, min(side) - _MARGIN_M
        scale = min(width / (left - right), height / (top - bottom), _LARGEST_SCALE_PXPM)
        anchor = (width / 2 + scale * (left + right) / 2, scale * top)
        return cls(scale, anchor, Pose2D(0.0, 0.0, math.pi / 2) @ bay_from_world)

    def canvas(self) -> PlanCanvas:
        """An empty plan; everything on it is given in the world."""
        size = (_PLAN_BOX[2] - _PLAN_BOX[0], _PLAN_BOX[3] - _PLAN_BOX[1])
        return PlanCanvas(size, self.scale_pxpm, self.anchor_px, self.view_from_world)

    def pixel(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Where a point of the world lies in the composed picture."""
        point = self.view_from_world @ Pose2D(x_m, y_m, 0.0)
        return (
            _PLAN_BOX[0] + self.anchor_px[0] + point.x * self.scale_pxpm,
            _PLAN_BOX[1] + self.anchor_px[1] - point.y * self.scale_pxpm,
        )


def compose(moment: Moment, chase: np.ndarray, config: SimulationConfig) -> np.ndarray:
    """The picture of a moment.

    Args:
        moment: what it tells.
        chase: view of the scene, (400, 640, 3) uint8 RGB.
        config: dimensions.

    Returns:
        (696, 1200, 3) uint8 RGB.
    """
    picture = Image.new("RGB", SIZE, BACKGROUND)
    canvas = ImageDraw.Draw(picture)
    _write_header(canvas, moment)
    picture.paste(Image.fromarray(chase), (0, _HEADER_PX))
    corner = (0, _HEADER_PX + CHASE_SIZE[1] + _GAP_PX)
    picture.paste(_camera(moment), corner)
    canvas.text((corner[0] + 8, corner[1] + 6), "robot's camera", WHITE, font(12))
    _write_status(canvas, moment)
    picture.paste(_plan(moment, config), _PLAN_BOX[:2])
    _write_legend(canvas)
    return np.asarray(picture)


def fit_of(moment: Moment, config: SimulationConfig) -> PlanFit:
    """Which part of the world the plan of a moment shows."""
    start = moment.trail[0] if moment.trail else moment.truth.world_from_base
    return PlanFit.of(moment.scene, start, config)


def _write_header(canvas: ImageDraw.ImageDraw, moment: Moment) -> None:
    middle = _HEADER_PX // 2
    right = f"{moment.suite}  ·  seed {moment.seed}  ·  {moment.driver}"
    canvas.text((SIZE[0] - 12, middle), right, MUTED, font(14), anchor="rm")
    room = SIZE[0] - 60 - font(14).getlength(right)
    for size in (22, 19, 16, 13):
        sentence, face = sentence_font(f"“{moment.sentence}”", size)
        if face.getlength(sentence) <= room:
            break
    canvas.text((12, middle), sentence, WHITE, face, anchor="lm")


def _camera(moment: Moment) -> Image.Image:
    if moment.image is None:
        empty = Image.new("RGB", _CAMERA_SIZE, PANEL)
        centre = (_CAMERA_SIZE[0] // 2, _CAMERA_SIZE[1] // 2)
        ImageDraw.Draw(empty).text(centre, "not rendered", MUTED, font(14), anchor="mm")
        return empty
    return Image.fromarray(moment.image).resize(_CAMERA_SIZE, Image.Resampling.BILINEAR)


def _plan(moment: Moment, config: SimulationConfig) -> Image.Image:
    scene, truth = moment.scene, moment.truth
    canvas = fit_of(moment, config).canvas()
    canvas.grid()
    half_length, half_width = scene.room_length_m / 2, scene.room_width_m / 2
    corners = [(-half_length, -half_width), (half_length, -half_width)]
    corners += [(half_length, half_width), (-half_length, half_width)]
    canvas.polygon(corners, outline=MUTED, width_px=3.0)
    for item in scene.clutter:
        canvas.footprint(item.footprint, CLUTTER)
    for number, station in enumerate(scene.stations):
        if number == scene.goal:
            canvas.robot(station.world_from_dock, config.robot, mix(GRID, GOOD, 0.75))
        colour = colour_of(station.look.rgb)
        canvas.station(station.world_from_dock, config.station, colour, str(station.look.number))
    _mark_goal(canvas, scene, config)
    if moment.scan is not None:
        canvas.scan(truth.world_from_base, moment.scan, config.scanner)
    canvas.trail(moment.trail)
    if len(moment.planned) > 1:
        canvas.robot(moment.planned[-1], config.robot, mix(GRID, INTENT, 0.55))
    canvas.robot(truth.world_from_base, config.robot)
    canvas.plan(moment.planned, rungs=True)
    return canvas.finished()


def _mark_goal(canvas: PlanCanvas, scene: Scene, config: SimulationConfig) -> None:
    """A frame around the commanded station."""
    station = config.station
    front, back = station.port_front_m, station.panel_front_m + station.panel_thickness_m
    half, gap = station.panel_half_width_m, 0.05
    corners = [(front - gap, half + gap), (back + gap, half + gap)]
    corners += [(back + gap, -half - gap), (front - gap, -half - gap)]
    placed = [scene.world_from_dock @ Pose2D(x, y, 0.0) for x, y in corners]
    canvas.polygon([(point.x, point.y) for point in placed], outline=GOOD, width_px=2.5)


def _write_status(canvas: ImageDraw.ImageDraw, moment: Moment) -> None:
    left, top, right, bottom = _STATUS_BOX
    canvas.rectangle((left, top, right - 1, bottom - 1), fill=PANEL)
    truth, error = moment.truth, moment.truth.dock_from_base
    outcome = "paused" if moment.paused else moment.outcome
    colour = _STANDSTILL.get(outcome, WHITE)
    canvas.text((left + 12, top + 10), outcome, colour, font(18, bold=True))
    canvas.text((right - 12, top + 11), f"{truth.time_s:.1f} s", WHITE, font(17), anchor="ra")
    # Of fixed places, so that the figures do not dance.
    figures = (
        ("distance", _length(error.distance)),
        ("aside", f"{round(error.y * 1e3) + 0:+d} mm"),
        ("heading", f"{math.degrees(error.yaw):+.1f}°"),
        ("speed", f"{truth.speed_mps:.2f} m/s"),
    )
    for row, (name, figure) in enumerate(figures):
        y = top + 40 + 19 * row
        canvas.text((left + 12, y), name, MUTED, font(13))
        canvas.text((right - 12, y), figure, WHITE, font(13), anchor="ra")
    y = top + 120
    for number, station in enumerate(moment.scene.stations):
        goal = number == moment.scene.goal
        canvas.rectangle((left + 12, y + 2, left + 24, y + 14), fill=colour_of(station.look.rgb))
        text = f"{station.look.number}  {station.look.colour} {station.look.shape}"
        tint: Colour = WHITE if goal else MUTED
        canvas.text((left + 32, y), text, tint, font(13, bold=goal))
        if goal:
            canvas.text((right - 12, y), "goal", GOOD, font(13, bold=True), anchor="ra")
        y += 19
    _write_interventions(canvas, moment, y + 4)


def _write_interventions(canvas: ImageDraw.ImageDraw, moment: Moment, y: int) -> None:
    left, _, right, bottom = _STATUS_BOX
    counts = sorted(moment.interventions.items(), key=lambda item: -item[1])
    if not counts:
        canvas.text((left + 12, y), "safety envelope: no intervention", MUTED, font(12))
        return
    for reason, count in counts:
        if y > bottom - 16:
            break
        canvas.text((left + 12, y), f"envelope: {reason}", INTENT, font(12))
        canvas.text((right - 12, y), f"{count} ticks", INTENT, font(12), anchor="ra")
        y += 16


def _write_legend(canvas: ImageDraw.ImageDraw) -> None:
    x, y = _PLAN_BOX[0] + 10.0, SIZE[1] - 14
    canvas.rectangle((_PLAN_BOX[0], SIZE[1] - 26, *SIZE), fill=BACKGROUND)
    words = (("path", TRAIL), ("scan", SCAN), ("intended", INTENT), ("commanded station", GOOD))
    for text, tint in words:
        canvas.text((x, y), text, tint, font(12), anchor="lm")
        x += font(12).getlength(text) + 14


def _length(metres: float) -> str:
    return f"{metres * 1e3:.0f} mm" if metres < 0.1 else f"{metres:.2f} m"
