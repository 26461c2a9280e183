"""Drawing of the robot's approach from above: path, scan, and what the policy intends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image

from vla_bringup.demo.recording import Chunk
from vla_core.geometry import Pose2D
from vla_core.readings import ScanReading
from vla_simulation.config import SimulationConfig
from vla_simulation.viewer.drawing import GRID, STATION, mix
from vla_simulation.viewer.plan import PlanCanvas, follow


class PlanView:
    """Draws one moment of a run in the dock frame: the station on the right, the robot comes."""

    def __init__(self, size: tuple[int, int], farthest_m: float, widest_m: float) -> None:
        """Choose the scale once, so that nothing moves but the robot.

        Args:
            size: width and height in pixels.
            farthest_m: largest distance of the base in front of the station.
            widest_m: largest distance of the base from the approach line.
        """
        self._size = size
        self._config = SimulationConfig()
        station = self._config.station
        right_m = station.panel_front_m + station.panel_thickness_m + 0.08
        length_m = farthest_m + 0.4 + right_m
        width_m = 2 * widest_m + 0.9
        self._scale_pxpm = min(size[0] / length_m, size[1] / width_m)
        self._anchor_px = (size[0] - right_m * self._scale_pxpm, size[1] / 2)

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
        canvas = PlanCanvas(self._size, self._scale_pxpm, self._anchor_px, Pose2D(0.0, 0.0, 0.0))
        canvas.grid()
        canvas.line([(-9.0, 0.0), (0.3, 0.0)], mix(GRID, STATION, 0.35), 1.0)
        canvas.station(Pose2D(0.0, 0.0, 0.0), self._config.station)
        if scan is not None:
            canvas.scan(trail[-1], scan, self._config.scanner)
        canvas.trail(trail)
        canvas.robot(trail[-1], self._config.robot)
        chunks = list(intents)
        for age, (pose, chunk) in zip(range(len(chunks) - 1, -1, -1), chunks, strict=True):
            strength = 1.0 - age / (len(chunks) + 1)
            canvas.plan(follow(pose, chunk.actions, period_s), strength=strength)
        return canvas.finished()
