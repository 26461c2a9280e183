"""Annotated video of one run: what the robot sees, the scene, and the plan view beside it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw

from vla_bringup.demo.plan_view import PlanView
from vla_bringup.demo.recording import Chunk, Recording, State
from vla_core.contract import Contract
from vla_core.geometry import Pose2D
from vla_simulation.environment import DockingEnv
from vla_simulation.viewer.drawing import (
    BACKGROUND,
    BAD,
    GOOD,
    INTENT,
    MUTED,
    SCAN,
    TRAIL,
    WHITE,
    font,
    sentence_font,
)
from vla_simulation.viewer.video import save_gif

FRAME_PERIOD_NS: Final = 120_000_000  # GIF counts in hundredths of a second
PANEL: Final = (320, 240)
HEADER_PX: Final = 44
CAPTION_PX: Final = 22
GAP_PX: Final = 4
CHUNKS_SHOWN: Final = 5
MAX_BYTES: Final = 6_000_000


def animate(
    path: Path, recording: Recording, contract: Contract, seed: int, suite: str, instruction: str
) -> None:
    """Write the video of a run as an animated GIF below six megabytes.

    Args:
        path: of the file.
        recording: the run.
        contract: for the period of the actions.
        seed: of the scene, which is rendered again from outside.
        suite: that the scene was drawn from.
        instruction: what the policy was told.
    """
    frames = list(_compose(recording, contract, seed, suite, instruction))
    period_ms = FRAME_PERIOD_NS // 1_000_000
    for colours in (160, 96, 48):
        save_gif(path, frames, period_ms, colours)
        if path.stat().st_size <= MAX_BYTES:
            return
    save_gif(path, frames[::2] + frames[-1:], 2 * period_ms, 48)


def _compose(
    recording: Recording, contract: Contract, seed: int, suite: str, instruction: str
) -> Iterator[Image.Image]:
    states, stamps = recording.states, [state.stamp_ns for state in recording.states]
    environment = DockingEnv(suite, render=False)
    try:
        environment.reset(seed=seed)
        trail = [state.dock_from_base for state in states]
        plan = PlanView(PANEL, max(-pose.x for pose in trail), max(abs(pose.y) for pose in trail))
        period_s = contract.action.period_ns * 1e-9
        for now_ns in range(stamps[0], stamps[-1] + 1, FRAME_PERIOD_NS):
            index = bisect_right(stamps, now_ns) - 1
            state = states[index]
            environment.set_base_pose(state.world_from_base)
            panels = (
                _camera_panel(recording, now_ns),
                Image.fromarray(environment.render_view("overview", PANEL)),
                plan.draw(
                    trail[: index + 1],
                    _latest(recording.scans, now_ns),
                    _intents(recording, stamps, now_ns),
                    period_s,
                ),
            )
            yield _assemble(panels, instruction, state, (now_ns - stamps[0]) * 1e-9)
    finally:
        environment.close()


def _camera_panel(recording: Recording, now_ns: int) -> Image.Image:
    reading = _latest(recording.images, now_ns)
    if reading is None:
        return Image.new("RGB", PANEL, BACKGROUND)
    return Image.fromarray(reading.rgb).resize(PANEL, Image.Resampling.BILINEAR)


def _latest(messages: Sequence[tuple[int, Any]], now_ns: int) -> Any:
    index = bisect_right(messages, now_ns, key=lambda item: item[0])
    return messages[index - 1][1] if index else None


def _intents(
    recording: Recording, stamps: Sequence[int], now_ns: int
) -> list[tuple[Pose2D, Chunk]]:
    last = bisect_right(recording.chunks, now_ns, key=lambda chunk: chunk.stamp_ns)
    shown = recording.chunks[max(0, last - CHUNKS_SHOWN) : last]
    return [
        (recording.states[max(0, bisect_right(stamps, chunk.stamp_ns) - 1)].dock_from_base, chunk)
        for chunk in shown
    ]


def _assemble(
    panels: Sequence[Image.Image], instruction: str, state: State, time_s: float
) -> Image.Image:
    width = len(panels) * PANEL[0] + (len(panels) - 1) * GAP_PX
    picture = Image.new("RGB", (width, HEADER_PX + PANEL[1] + CAPTION_PX), BACKGROUND)
    canvas = ImageDraw.Draw(picture)
    middle = HEADER_PX // 2
    sentence, face = sentence_font(f"“{instruction}”", 19)
    canvas.text((10, middle), sentence, WHITE, face, anchor="lm")
    distance_m = state.dock_from_base.distance
    # Of fixed places, so that the figures do not dance.
    for right, text in (
        (width - 265, f"{time_s:.1f} s"),
        (width - 135, f"{state.speed_mps:.2f} m/s"),
        (width - 10, f"{distance_m * 1e3:.0f} mm" if distance_m < 0.1 else f"{distance_m:.2f} m"),
    ):
        canvas.text((right, middle), text, WHITE, font(17), anchor="rm")
    for number, panel in enumerate(panels):
        picture.paste(panel, (number * (PANEL[0] + GAP_PX), HEADER_PX))
    _write_captions(canvas, state, HEADER_PX + PANEL[1] + CAPTION_PX // 2)
    return picture


def _write_captions(canvas: ImageDraw.ImageDraw, state: State, y: int) -> None:
    small = font(12)
    canvas.text((10, y), "robot's camera", MUTED, small, anchor="lm")
    verdict, colour = "", MUTED
    if state.message.docked:
        verdict, colour = "docked", GOOD
    elif state.message.collision:
        verdict, colour = "collision", BAD
    left = PANEL[0] + GAP_PX
    canvas.text((left + 10, y), verdict or "driving", colour, font(12, bold=True), anchor="lm")
    x = float(2 * left + 10)
    for text, tint in (("path", TRAIL), ("scan", SCAN), ("what the policy intends", INTENT)):
        canvas.text((x, y), text, tint, small, anchor="lm")
        x += small.getlength(text) + 14
