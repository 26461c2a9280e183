"""The measurements that show whether the robot is docked: battery, odometry and a dock pose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from vla_core.contract import StreamSpec
from vla_core.decoding import OdometryReading, reading_from_message, stamp_ns_of
from vla_core.errors import DecodeError
from vla_core.geometry import Pose2D

_NS_PER_S = 1_000_000_000

# Constants of sensor_msgs/BatteryState, which this module does not import.
_STATUS_UNKNOWN = 0
_STATUS_CHARGING = 1


@dataclass(frozen=True)
class VerificationLimits:
    """When a measurement counts.

    Attributes:
        battery_max_age_s: of a battery state.
        pose_max_age_s: of a dock pose.
        charging_current_a: above it a battery of unknown status charges.
    """

    battery_max_age_s: float
    pose_max_age_s: float
    charging_current_a: float


class DockEvidence:
    """Keeps the newest measurement of each kind and forgets it when it is too old.

    Messages come in from other threads than the one that asks; each measurement is one attribute
    that is replaced as a whole.

    Args:
        odometry: the contract's odometry stream.
    """

    def __init__(self, odometry: StreamSpec) -> None:
        self._odometry = odometry
        self._battery: tuple[int, int, float] | None = None
        self._pose: tuple[int, Pose2D] | None = None
        self._speed: tuple[int, float] | None = None

    def add_battery(self, message: Any, received_ns: int) -> None:
        """Take a sensor_msgs/BatteryState in."""
        stamp_ns = stamp_ns_of(message) or received_ns
        status = int(message.power_supply_status)
        self._battery = (stamp_ns, status, float(message.current))

    def add_dock_pose(self, message: Any, received_ns: int) -> None:
        """Take a geometry_msgs/PoseStamped in: the docked pose seen from the base."""
        try:
            dock_from_base = Pose2D.from_message(message.pose).inverse()
        except ValueError:
            return  # not a pose: as good as none
        self._pose = (stamp_ns_of(message) or received_ns, dock_from_base)

    def add_odometry(self, message: Any, received_ns: int) -> None:
        """Take a nav_msgs/Odometry in."""
        try:
            reading = reading_from_message(self._odometry, message)
        except DecodeError:
            return  # the stream itself reports it
        if isinstance(reading, OdometryReading):
            self._speed = (stamp_ns_of(message) or received_ns, abs(reading.linear_x))

    def speed_mps(self, now_ns: int) -> float | None:
        """Speed of the base, 0 or more [m/s]; None without fresh odometry."""
        if self._speed is None or _older(self._speed[0], now_ns, self._odometry.max_age_s):
            return None
        return self._speed[1]

    def dock_from_base(self, now_ns: int, limits: VerificationLimits) -> Pose2D | None:
        """Pose of the base in the dock frame; None without a fresh one."""
        if self._pose is None or _older(self._pose[0], now_ns, limits.pose_max_age_s):
            return None
        return self._pose[1]

    def charging(self, now_ns: int, limits: VerificationLimits) -> bool | None:
        """Whether the battery charges; None without a fresh battery state."""
        if self._battery is None or _older(self._battery[0], now_ns, limits.battery_max_age_s):
            return None
        _, status, current_a = self._battery
        if status == _STATUS_UNKNOWN:
            return math.isfinite(current_a) and current_a > limits.charging_current_a
        return status == _STATUS_CHARGING


def _older(stamp_ns: int, now_ns: int, limit_s: float) -> bool:
    return now_ns - stamp_ns > limit_s * _NS_PER_S
