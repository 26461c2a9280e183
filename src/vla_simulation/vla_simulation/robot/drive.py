"""Motor control and wheel odometry of the differential drive."""

import math
from dataclasses import dataclass

from vla_core.geometry import Pose2D
from vla_simulation.config import CONTROL_PERIOD_S, PHYSICS_PERIOD_S, RobotConfig

_VELOCITY_GAIN = 4.0  # [N m s/rad]
_INTEGRAL_GAIN = 20.0  # [N m/rad]
_FRICTION_BLEND_RADPS = 0.05
_STANDSTILL_RADPS = 0.15
_STANDSTILL_DECAY = 0.8
_LAG_END = 1e-5


class WheelMotors:
    """Velocity control of the two wheels, as a motor drive does it, at the physics rate.

    The command is limited in acceleration, delayed by a first-order lag, split to the wheels and
    tracked by a PI controller with friction feed-forward and a torque limit.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self.reset()

    def reset(self) -> None:
        """Stand still with relaxed controllers."""
        self._ramp = [0.0, 0.0]  # v, w after the acceleration limit
        self._lagged = [0.0, 0.0]
        self._integral = [0.0, 0.0]

    def torques(
        self, linear_mps: float, angular_radps: float, wheel_speed_radps: tuple[float, float]
    ) -> tuple[float, float]:
        """One control step of the drive.

        Args:
            linear_mps: commanded forward speed.
            angular_radps: commanded turning rate.
            wheel_speed_radps: measured speed of the left and of the right wheel.

        Returns:
            Torque of the left and of the right motor [N m].
        """
        robot, dt = self._robot, PHYSICS_PERIOD_S
        limits = (robot.max_linear_acceleration_mps2, robot.max_angular_acceleration_radps2)
        for axis, command in enumerate((linear_mps, angular_radps)):
            step = limits[axis] * dt
            ramp = self._ramp[axis]
            self._ramp[axis] = min(max(command, ramp - step), ramp + step)
            rest = self._ramp[axis] - self._lagged[axis]
            # The tail of the lag ends, so that a robot at rest is commanded exactly zero.
            self._lagged[axis] += rest * dt / robot.motor_lag_s if abs(rest) > _LAG_END else rest
        v, w = self._lagged
        half_track = robot.track_width_m / 2
        return (
            self._wheel(0, (v - w * half_track) / robot.wheel_radius_m, wheel_speed_radps[0]),
            self._wheel(1, (v + w * half_track) / robot.wheel_radius_m, wheel_speed_radps[1]),
        )

    def _wheel(self, side: int, target_radps: float, speed_radps: float) -> float:
        limit = self._robot.motor_torque_limit_nm
        error = target_radps - speed_radps
        if target_radps == 0.0 and abs(speed_radps) < _STANDSTILL_RADPS:
            self._integral[side] *= _STANDSTILL_DECAY  # the gear holds; a motor would creep
        friction = self._robot.gear_friction_nm * math.tanh(target_radps / _FRICTION_BLEND_RADPS)
        torque = _VELOCITY_GAIN * error + self._integral[side] + friction
        if abs(torque) < limit:  # no integration against a saturated motor
            self._integral[side] += _INTEGRAL_GAIN * error * PHYSICS_PERIOD_S
        return min(max(torque, -limit), limit)


@dataclass(frozen=True)
class OdometryErrors:
    """Relative errors of the dimensions that odometry believes in."""

    left_radius: float = 0.0
    right_radius: float = 0.0
    track_width: float = 0.0


class WheelOdometry:
    """Dead reckoning from encoder ticks, starting at the origin; it drifts as on a robot."""

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self.reset(OdometryErrors(), (0.0, 0.0))

    def reset(self, errors: OdometryErrors, wheel_angles_rad: tuple[float, float]) -> None:
        """Begin at the origin with the wheels at these angles."""
        robot = self._robot
        per_tick = math.tau / robot.encoder_ticks_per_turn * robot.wheel_radius_m
        self._metres_per_tick = (
            per_tick * (1.0 + errors.left_radius),
            per_tick * (1.0 + errors.right_radius),
        )
        self._track_m = robot.track_width_m * (1.0 + errors.track_width)
        self._ticks = self._read(wheel_angles_rad)
        self.pose = Pose2D(0.0, 0.0, 0.0)
        self.linear_mps = 0.0
        self.angular_radps = 0.0

    def update(self, wheel_angles_rad: tuple[float, float]) -> None:
        """Integrate one control period (exact for a constant twist to second order)."""
        ticks = self._read(wheel_angles_rad)
        left = (ticks[0] - self._ticks[0]) * self._metres_per_tick[0]
        right = (ticks[1] - self._ticks[1]) * self._metres_per_tick[1]
        self._ticks = ticks
        distance, turn = (left + right) / 2, (right - left) / self._track_m
        heading = self.pose.yaw + turn / 2
        self.pose = Pose2D(
            self.pose.x + distance * math.cos(heading),
            self.pose.y + distance * math.sin(heading),
            math.remainder(self.pose.yaw + turn, math.tau),
        )
        self.linear_mps = distance / CONTROL_PERIOD_S
        self.angular_radps = turn / CONTROL_PERIOD_S

    def _read(self, wheel_angles_rad: tuple[float, float]) -> tuple[int, int]:
        per_radian = self._robot.encoder_ticks_per_turn / math.tau
        return (
            math.floor(wheel_angles_rad[0] * per_radian),
            math.floor(wheel_angles_rad[1] * per_radian),
        )
