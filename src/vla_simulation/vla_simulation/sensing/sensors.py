"""All sensors of the robot, each measuring at its own rate and moments."""

import math

from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_core.readings import ImageReading, Reading, ScanReading
from vla_simulation.config import (
    PHYSICS_PERIOD_NS,
    PHYSICS_PERIOD_S,
    PHYSICS_STEPS_PER_CONTROL,
    SimulationConfig,
)
from vla_simulation.opengl import mujoco
from vla_simulation.randomization import SensorRandomization
from vla_simulation.robot.robot import Robot
from vla_simulation.seeds import random_stream
from vla_simulation.sensing.camera import Camera, derive_positions
from vla_simulation.sensing.samples import Sample, SampleClock, WheelReading
from vla_simulation.sensing.scanner import Scanner
from vla_simulation.world import STATIONS, WorldIndex

_KEYS = (IMAGE, SCAN, ODOMETRY)


class Sensors:
    """Camera, scanner and wheel encoders.

    Every sensor measures on the grid of the physics steps and carries the stamp of its
    measurement. What was stamped before a control tick is there at that tick: camera and scanner
    measure early enough before the tick for their latency, and the encoders are read by the
    base's own controller. So whoever takes the newest sample stamped at or before a tick sees the
    same on the running robot, in lock-step and in a recording.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        index: WorldIndex,
        config: SimulationConfig,
        robot: Robot,
        render: bool,
    ) -> None:
        """Create the sensors.

        Raises:
            RenderingError: `render` is set and no OpenGL library works.
        """
        self._model, self._data, self._robot, self._config = model, data, robot, config
        self._scanner = Scanner(model, index, config.scanner)
        self.camera = Camera(model, config.camera, STATIONS) if render else None
        self.newest: dict[str, Sample] = {}
        """The last sample of each stream."""

    def reset(self, seed: int, ranges: SensorRandomization) -> None:
        """Draw response, noise and timing of an episode, and take a first sample of each.

        The robot stands still before the episode begins, so what was measured shortly before
        differs from the present only by its stamp.
        """
        config = self._config
        timing = random_stream(seed, "sensor timing")
        self._stamps = {key: random_stream(seed, f"{key} stamps") for key in _KEYS}
        self._jitter_ns = ranges.stamp_jitter_s * 1e9
        image_latency_s = timing.uniform(*ranges.image_latency_s)
        scan_latency_s = timing.uniform(*ranges.scan_latency_s)
        scan_ticks = config.scanner.period_steps // PHYSICS_STEPS_PER_CONTROL
        self._clocks = {
            IMAGE: SampleClock.ahead_of_ticks(config.camera.period_steps, image_latency_s, 0),
            SCAN: SampleClock.ahead_of_ticks(
                config.scanner.period_steps, scan_latency_s, int(timing.integers(scan_ticks))
            ),
            # Control ticks are even steps: an odd phase keeps stamps off them.
            ODOMETRY: SampleClock(
                config.robot.encoder_period_steps, 1 + 2 * int(timing.integers(2))
            ),
        }
        rounds = math.lcm(*(clock.period for clock in self._clocks.values()))
        self._timetable = [
            [key for key, clock in self._clocks.items() if clock.due(step)]
            for step in range(rounds)
        ]
        derive_positions(self._model, self._data)
        self._scanner.reset(random_stream(seed, "scanner"), ranges)
        if self.camera is not None:
            self.camera.reset(random_stream(seed, "camera"), ranges, self._data)
        self.newest = {}
        for key, clock in self._clocks.items():
            self._take(key, clock.last(0))

    def sample(self, step: int, *, exteroceptive: bool = True) -> list[Sample]:
        """Take what is due after a physics step.

        Args:
            step: number of the step since the reset; the first one is 1.
            exteroceptive: whether camera and scanner measure; the encoders always do.
        """
        due = self._timetable[step % len(self._timetable)]
        if not due:
            return []
        if not exteroceptive:
            due = [key for key in due if key == ODOMETRY]
        if due != [ODOMETRY]:
            # After a step, positions that are derived from the state are those before it.
            derive_positions(self._model, self._data)
        return [sample for key in due if (sample := self._take(key, step)) is not None]

    def _take(self, key: str, step: int) -> Sample | None:
        reading = self._measure(key)
        if reading is None:
            return None
        jitter_ns = round(self._stamps[key].uniform(-self._jitter_ns, self._jitter_ns))
        self.newest[key] = Sample(key, step * PHYSICS_PERIOD_NS + jitter_ns, reading)
        return self.newest[key]

    def _measure(self, key: str) -> Reading | None:
        if key == IMAGE:
            return None if self.camera is None else ImageReading(self.camera.capture(self._data))
        if key == SCAN:
            scanner = self._config.scanner
            return ScanReading(
                self._scanner.scan(self._data),
                scanner.angle_min_rad,
                scanner.angle_increment_rad,
                scanner.range_min_m,
                scanner.range_max_m,
            )
        robot, odometry = self._robot, self._robot.odometry
        odometry.update(
            robot.wheel_angles_rad, self._config.robot.encoder_period_steps * PHYSICS_PERIOD_S
        )
        return WheelReading(
            linear_x=odometry.linear_mps,
            angular_z=odometry.angular_radps,
            pose=odometry.pose,
            wheel_angles_rad=robot.wheel_angles_rad,
            wheel_speeds_radps=robot.wheel_speeds_radps,
        )

    def close(self) -> None:
        """Free the OpenGL context."""
        if self.camera is not None:
            self.camera.close()
            self.camera = None
