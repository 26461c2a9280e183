"""The simulated robot: drive, odometry, contacts and battery on the compiled model."""

import math

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import PHYSICS_PERIOD_S, RobotConfig, SimulationConfig
from vla_simulation.opengl import mujoco
from vla_simulation.randomization import PhysicsRandomization
from vla_simulation.robot.contacts import ContactWatch
from vla_simulation.robot.drive import (
    CommandLine,
    DriveParameters,
    OdometryErrors,
    WheelMotors,
    WheelOdometry,
)
from vla_simulation.robot.robot_model import PAYLOAD_BODY, payload_inertia
from vla_simulation.world import WorldIndex

_SETTLING_STEPS = 40
_CHARGING_DELAY_S = 0.2
_CHARGE_PER_STEP = 2e-6
_DISCHARGE_PER_STEP = 1e-7
_LEAST_PAYLOAD_KG = 0.01


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
        self._config = config.robot
        self._scratch = mujoco.MjData(model)
        self._payload = model.body(PAYLOAD_BODY).id
        self._line = CommandLine()
        self._motors = WheelMotors(config.robot)
        self.odometry = WheelOdometry(config.robot)
        self.contacts = ContactWatch(model, index, config.station)
        # Views of MuJoCo's memory, looked up once: a physics step takes only 20 µs.
        self._qpos, self._qvel, self._ctrl = data.qpos, data.qvel, data.ctrl
        self._left_angle, self._right_angle = index.wheel_qpos.tolist()
        self._left_speed, self._right_speed = index.wheel_dof.tolist()
        self._battery = 0.0
        self._mated_steps = 0

    def reset(
        self,
        rng: np.random.Generator,
        ranges: PhysicsRandomization,
        world_from_base: Pose2D,
        *,
        charging: bool = False,
    ) -> None:
        """Put the robot to its start, at rest, and draw its hidden parameters.

        Args:
            rng: decides what is drawn.
            ranges: what it is drawn from.
            world_from_base: the start.
            charging: whether it has been standing there on the contacts of a station.
        """
        drive = _draw_drive(rng, ranges, self._config)
        friction = rng.uniform(*ranges.friction)
        deviation = rng.uniform(-ranges.friction_difference, ranges.friction_difference, 2)
        self._model.geom_friction[self._index.wheel_geoms, 0] = friction * (1.0 + deviation)
        mass_kg = rng.uniform(*ranges.payload_kg)
        offset = rng.uniform(-ranges.payload_offset_m, ranges.payload_offset_m, 3)
        self._load(mass_kg, offset)
        radius = rng.uniform(-ranges.wheel_radius_error, ranges.wheel_radius_error, 2)
        track = rng.uniform(-ranges.track_error, ranges.track_error)
        self._battery = rng.uniform(*ranges.battery_percentage)
        self.place(world_from_base)
        self._line.reset(drive.latency_steps)
        self._motors.reset(drive)
        self._ctrl[:] = 0.0
        mujoco.mj_step(self._model, self._data, _SETTLING_STEPS)  # onto its wheels
        self._data.time = 0.0
        errors = OdometryErrors(float(radius[0]), float(radius[1]), float(track))
        self.odometry.reset(errors, self.wheel_angles_rad)
        self.contacts.reset()
        self._mated_steps = 0
        if charging:
            self.contacts.update(self._data, self.speed_mps)
            self._mated_steps = math.ceil(_CHARGING_DELAY_S / PHYSICS_PERIOD_S)

    def _load(self, mass_kg: float, offset_m: np.ndarray) -> None:
        """Fill the load box, and bring what MuJoCo derives from the masses up to date."""
        model, mass_kg = self._model, max(mass_kg, _LEAST_PAYLOAD_KG)
        model.body_mass[self._payload] = mass_kg
        model.body_inertia[self._payload] = payload_inertia(mass_kg)
        model.body_ipos[self._payload] = offset_m
        # The renderer's clipping planes hang on these two, which are derived as well.
        extent, centre = model.stat.extent, model.stat.center.copy()
        mujoco.mj_setConst(model, self._scratch)
        model.stat.extent, model.stat.center[:] = extent, centre

    def place(self, world_from_base: Pose2D) -> None:
        """Put the base somewhere, at rest."""
        pose = world_from_base
        self._qpos[0:3] = (pose.x, pose.y, 0.0)
        self._qpos[3:7] = (math.cos(pose.yaw / 2), 0.0, 0.0, math.sin(pose.yaw / 2))
        self._qvel[:] = 0.0

    def command(self, linear_mps: float, angular_radps: float) -> None:
        """Send a command to the drive; it acts on it after the command's latency."""
        self._line.send(linear_mps, angular_radps)

    def step(self) -> None:
        """Simulate one physics step."""
        qvel, ctrl = self._qvel, self._ctrl
        linear, angular = self._line.receive()
        ctrl[0], ctrl[1] = self._motors.torques(
            linear, angular, qvel.item(self._left_speed), qvel.item(self._right_speed)
        )
        mujoco.mj_step(self._model, self._data)
        self.contacts.update(self._data, self.speed_mps)
        self._mated_steps = self._mated_steps + 1 if self.contacts.mated else 0
        self._battery += _CHARGE_PER_STEP if self.charging else -_DISCHARGE_PER_STEP

    @property
    def world_from_base(self) -> Pose2D:
        """True pose of the base."""
        x, y, _, qw, qx, qy, qz = self._qpos[:7].tolist()
        yaw = math.atan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz))
        return Pose2D(x, y, yaw)

    @property
    def speed_mps(self) -> float:
        """True speed of the base, without sign."""
        return math.hypot(self._qvel.item(0), self._qvel.item(1))

    @property
    def wheel_angles_rad(self) -> tuple[float, float]:
        """True angles of the left and of the right wheel."""
        return self._qpos.item(self._left_angle), self._qpos.item(self._right_angle)

    @property
    def wheel_speeds_radps(self) -> tuple[float, float]:
        """True speeds of the left and of the right wheel."""
        return self._qvel.item(self._left_speed), self._qvel.item(self._right_speed)

    @property
    def charging(self) -> bool:
        """Whether the contacts have been mated for long enough that the charger switched on."""
        return self._mated_steps * PHYSICS_PERIOD_S >= _CHARGING_DELAY_S

    @property
    def battery_percentage(self) -> float:
        """State of charge, 0 to 1."""
        return min(max(self._battery, 0.0), 1.0)


def _draw_drive(
    rng: np.random.Generator, ranges: PhysicsRandomization, robot: RobotConfig
) -> DriveParameters:
    acceleration = rng.uniform(*ranges.acceleration_share)
    return DriveParameters(
        latency_steps=round(rng.uniform(*ranges.command_latency_s) / PHYSICS_PERIOD_S),
        lag_s=rng.uniform(*ranges.motor_lag_s),
        linear_deadband_mps=rng.uniform(*ranges.linear_deadband_mps),
        angular_deadband_radps=rng.uniform(*ranges.angular_deadband_radps),
        linear_acceleration_mps2=robot.max_linear_acceleration_mps2 * acceleration,
        angular_acceleration_radps2=robot.max_angular_acceleration_radps2 * acceleration,
        torque_limit_nm=robot.motor_torque_limit_nm * rng.uniform(*ranges.torque_share),
    )
