"""Drive of the robot: command line, motors and wheel odometry."""

import math
from collections import deque
from dataclasses import dataclass

from vla_core.geometry import Pose2D
from vla_simulation.config import PHYSICS_PERIOD_S, RobotConfig

_VELOCITY_GAIN = 4.0  # [N m s/rad]
_INTEGRAL_GAIN = 20.0  # [N m/rad]
_FRICTION_BLEND_RADPS = 0.05
_STANDSTILL_RADPS = 0.15
_STANDSTILL_DECAY = 0.8
_LAG_END = 1e-5


@dataclass(frozen=True)
class DriveParameters:
    """What differs from drive to drive.

    Attributes:
        latency_steps: physics steps from a command to the drive acting on it.
        lag_s: time constant of the first-order response.
        linear_deadband_mps: a slower command counts as zero.
        angular_deadband_radps: a slower turn counts as zero.
        linear_acceleration_mps2: limit.
        angular_acceleration_radps2: limit.
        torque_limit_nm: of each motor.
    """

    latency_steps: int = 0
    lag_s: float = 0.06
    linear_deadband_mps: float = 0.0
    angular_deadband_radps: float = 0.0
    linear_acceleration_mps2: float = 1.0
    angular_acceleration_radps2: float = 4.0
    torque_limit_nm: float = 6.0


class CommandLine:
    """Carries commands to the drive, which takes each a fixed number of physics steps later."""

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, latency_steps: int) -> None:
        """Begin with the command to stand still and nothing under way."""
        self._latency_steps = latency_steps
        self._under_way: deque[tuple[int, float, float]] = deque()
        self._step = 0
        self._current = (0.0, 0.0)

    def send(self, linear_mps: float, angular_radps: float) -> None:
        """Send a command off at the present step."""
        self._under_way.append((self._step + self._latency_steps, linear_mps, angular_radps))

    def receive(self) -> tuple[float, float]:
        """What the drive is told at this step; the next call is about the next one."""
        while self._under_way and self._under_way[0][0] <= self._step:
            _, linear, angular = self._under_way.popleft()
            self._current = (linear, angular)
        self._step += 1
        return self._current


class WheelMotors:
    """Velocity control of the two wheels, as a motor drive does it, at the physics rate.

    The command passes a deadband and the acceleration limits, is delayed by a first-order lag,
    split to the wheels and tracked by a PI controller with friction feed-forward and a torque
    limit.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self.reset(DriveParameters())

    def reset(self, parameters: DriveParameters) -> None:
        """Stand still with relaxed controllers."""
        dt = PHYSICS_PERIOD_S
        self._parameters = parameters
        self._blend = dt / parameters.lag_s
        self._steps = (
            parameters.linear_acceleration_mps2 * dt,
            parameters.angular_acceleration_radps2 * dt,
        )
        self._ramp_v = self._ramp_w = 0.0  # after the acceleration limits
        self._v = self._w = 0.0  # after the lag
        self._integral = [0.0, 0.0]

    def torques(
        self, linear_mps: float, angular_radps: float, left_radps: float, right_radps: float
    ) -> tuple[float, float]:
        """One control step of the drive.

        Args:
            linear_mps: commanded forward speed.
            angular_radps: commanded turning rate.
            left_radps: measured speed of the left wheel.
            right_radps: measured speed of the right wheel.

        Returns:
            Torque of the left and of the right motor [N m].
        """
        robot, parameters = self._robot, self._parameters
        if abs(linear_mps) < parameters.linear_deadband_mps:
            linear_mps = 0.0
        if abs(angular_radps) < parameters.angular_deadband_radps:
            angular_radps = 0.0
        self._ramp_v = _approach(self._ramp_v, linear_mps, self._steps[0])
        self._ramp_w = _approach(self._ramp_w, angular_radps, self._steps[1])
        self._v = self._lagged(self._v, self._ramp_v)
        self._w = self._lagged(self._w, self._ramp_w)
        turn = self._w * robot.track_width_m / 2
        return (
            self._wheel(0, (self._v - turn) / robot.wheel_radius_m, left_radps),
            self._wheel(1, (self._v + turn) / robot.wheel_radius_m, right_radps),
        )

    def _lagged(self, value: float, target: float) -> float:
        rest = target - value
        # The tail of the lag ends, so that a robot at rest is commanded exactly zero.
        return value + rest * self._blend if abs(rest) > _LAG_END else target

    def _wheel(self, side: int, target_radps: float, speed_radps: float) -> float:
        limit = self._parameters.torque_limit_nm
        error = target_radps - speed_radps
        if target_radps == 0.0 and abs(speed_radps) < _STANDSTILL_RADPS:
            self._integral[side] *= _STANDSTILL_DECAY  # the gear holds; a motor would creep
        friction = self._robot.gear_friction_nm * math.tanh(target_radps / _FRICTION_BLEND_RADPS)
        torque = _VELOCITY_GAIN * error + self._integral[side] + friction
        if abs(torque) < limit:  # no integration against a saturated motor
            self._integral[side] += _INTEGRAL_GAIN * error * PHYSICS_PERIOD_S
        return min(max(torque, -limit), limit)


def _approach(value: float, target: float, step: float) -> float:
    return min(max(target, value - step), value + step)


@dataclass(frozen=True)
class OdometryErrors:
    """Relative errors of the dimensions that odometry believes in."""

    left_radius: float = 0.0
    right_radius: float = 0.0
    track_width: float = 0.0


class WheelOdometry:
    """Dead reckoning from encoder ticks, starting at the origin; it drifts as on a robot.

    Attributes:
        pose: of the base in the frame in which it started.
        linear_mps: forward speed over the last interval.
        angular_radps: turning rate over the last interval.
    """

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

    def update(self, wheel_angles_rad: tuple[float, float], interval_s: float) -> None:
        """Integrate one interval (exact for a constant twist to second order).

        Args:
            wheel_angles_rad: true angles of the left and of the right wheel now.
            interval_s: time since the last update.
        """
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
        self.linear_mps = distance / interval_s
        self.angular_radps = turn / interval_s

    def _read(self, wheel_angles_rad: tuple[float, float]) -> tuple[int, int]:
        per_radian = self._robot.encoder_ticks_per_turn / math.tau
        return (
            math.floor(wheel_angles_rad[0] * per_radian),
            math.floor(wheel_angles_rad[1] * per_radian),
        )
