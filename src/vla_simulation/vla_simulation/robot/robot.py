"""The simulated robot: drive, odometry, contacts and battery on the compiled model."""

import math

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import (
    CONTROL_PERIOD_S,
    PHYSICS_STEPS_PER_CONTROL,
    RandomizationConfig,
    SimulationConfig,
)
from vla_simulation.opengl import mujoco
from vla_simulation.robot.contacts import ContactWatch
from vla_simulation.robot.drive import OdometryErrors, WheelMotors, WheelOdometry
from vla_simulation.world import WorldIndex

_SETTLING_STEPS = 40
_CHARGING_DELAY_S = 0.2
_CHARGE_PER_PERIOD = 2e-5
_DISCHARGE_PER_PERIOD = 1e-6


class Robot:
    """Differential-drive base with charging pins.

    Attributes:
        odometry: dead reckoning from the wheel encoders.
        contacts: what the robot touches.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        index: WorldIndex,
        config: SimulationConfig,
    ) -> None:
        self._model = model
        self._data = data
        self._index = index
        self._motors = WheelMotors(config.robot)
        self.odometry = WheelOdometry(config.robot)
        self.contacts = ContactWatch(model, index, config.station)
        self._battery = 0.0
        self._mated_periods = 0

    def reset(
        self, rng: np.random.Generator, ranges: RandomizationConfig, world_from_base: Pose2D
    ) -> None:
        """Put the robot to its start, at rest, and draw its hidden parameters."""
        friction = rng.uniform(*ranges.friction)
        self._model.geom_friction[self._index.wheel_geoms, 0] = friction
        radius = rng.uniform(-ranges.wheel_radius_error, ranges.wheel_radius_error, 2)
        track = rng.uniform(-ranges.track_error, ranges.track_error)
        self._battery = rng.uniform(*ranges.battery_percentage)
        self.place(world_from_base)
        self._motors.reset()
        self._data.ctrl[:] = 0.0
        mujoco.mj_step(self._model, self._data, _SETTLING_STEPS)  # onto its wheels
        self._data.time = 0.0
        errors = OdometryErrors(float(radius[0]), float(radius[1]), float(track))
        self.odometry.reset(errors, self.wheel_angles_rad)
        self.contacts.reset()
        self._mated_periods = 0

    def place(self, world_from_base: Pose2D) -> None:
        """Put the base somewhere, at rest."""
        pose = world_from_base
        self._data.qpos[0:3] = (pose.x, pose.y, 0.0)
        self._data.qpos[3:7] = (math.cos(pose.yaw / 2), 0.0, 0.0, math.sin(pose.yaw / 2))
        self._data.qvel[:] = 0.0

    def drive(self, linear_mps: float, angular_radps: float) -> None:
        """Simulate one control period with a command."""
        data = self._data
        for _ in range(PHYSICS_STEPS_PER_CONTROL):
            data.ctrl[:] = self._motors.torques(linear_mps, angular_radps, self.wheel_speeds_radps)
            mujoco.mj_step(self._model, data)
            self.contacts.update(data, self.speed_mps)
        self.odometry.update(self.wheel_angles_rad)
        self._mated_periods = self._mated_periods + 1 if self.contacts.mated else 0
        self._battery += _CHARGE_PER_PERIOD if self.charging else -_DISCHARGE_PER_PERIOD

    @property
    def world_from_base(self) -> Pose2D:
        """True pose of the base."""
        x, y, _, qw, qx, qy, qz = self._data.qpos[:7].tolist()
        yaw = math.atan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz))
        return Pose2D(x, y, yaw)

    @property
    def speed_mps(self) -> float:
        """True speed of the base, without sign."""
        return math.hypot(self._data.qvel[0], self._data.qvel[1])

    @property
    def wheel_angles_rad(self) -> tuple[float, float]:
        """True angles of the left and of the right wheel."""
        left, right = self._data.qpos[self._index.wheel_qpos].tolist()
        return left, right

    @property
    def wheel_speeds_radps(self) -> tuple[float, float]:
        """True speeds of the left and of the right wheel."""
        left, right = self._data.qvel[self._index.wheel_dof].tolist()
        return left, right

    @property
    def charging(self) -> bool:
        """Whether the contacts have been mated for long enough that the charger switched on."""
        return self._mated_periods * CONTROL_PERIOD_S >= _CHARGING_DELAY_S

    @property
    def battery_percentage(self) -> float:
        """State of charge, 0 to 1."""
        return min(max(self._battery, 0.0), 1.0)
