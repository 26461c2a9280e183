"""The measurements that show how a docking stands: battery, odometry, a dock pose, the scan."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from vla_core.contract import StreamSpec
from vla_core.decoding import OdometryReading, ScanReading, reading_from_message, stamp_ns_of
from vla_core.errors import DecodeError
from vla_core.geometry import Pose2D
from vla_policy_node.docking.odometry_history import OdometryHistory
from vla_policy_node.docking.rear_view import UNSEEN, RearView, rear_view

_NS_PER_S = 1_000_000_000
_BATTERY_MEMORY = 64

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
        docked_speed_mps: a slower base stands still.
        contact_lookback_s: a contact is at most this much earlier than the charging.
        rear_half_width_m: half the width of the lane that is looked at behind the robot.
        rear_extent_m: from the scanner back to the robot's rear end.
        scanner_yaw_rad: where the scanner's zero points, seen from the base.
    """

    battery_max_age_s: float = 2.5
    pose_max_age_s: float = 0.5
    charging_current_a: float = 0.1
    docked_speed_mps: float = 0.01
    contact_lookback_s: float = 0.3
    rear_half_width_m: float = 0.25
    rear_extent_m: float = 0.45
    scanner_yaw_rad: float = 0.0


@dataclass(frozen=True)
class _Battery:
    stamp_ns: int
    status: int
    current_a: float

    def charges(self, limits: VerificationLimits) -> bool:
        if self.status == _STATUS_UNKNOWN:
            return math.isfinite(self.current_a) and self.current_a > limits.charging_current_a
        return self.status == _STATUS_CHARGING


class DockEvidence:
    """Keeps the newest measurements of each kind and forgets them when they are too old.

    Messages come in from other threads than the one that asks; each measurement is one attribute
    that is replaced as a whole, or a deque that one thread appends to.

    Args:
        odometry: the contract's odometry stream.
        scan: the contract's scan stream, None without a scanner.
    """

    def __init__(self, odometry: StreamSpec, scan: StreamSpec | None = None) -> None:
        self._odometry = odometry
        self._scan = scan
        self._batteries: deque[_Battery] = deque(maxlen=_BATTERY_MEMORY)
        self._pose: tuple[int, Pose2D] | None = None
        self._speed: tuple[int, float] | None = None
        self._scan_message: tuple[int, Any] | None = None
        self._history = OdometryHistory(odometry.max_age_s)

    def add_battery(self, message: Any, received_ns: int) -> None:
        """Take a sensor_msgs/BatteryState in."""
        stamp_ns = stamp_ns_of(message) or received_ns
        status = int(message.power_supply_status)
        self._batteries.append(_Battery(stamp_ns, status, float(message.current)))

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
            stamp_ns = stamp_ns_of(message) or received_ns
            self._speed = (stamp_ns, abs(reading.linear_x))
            self._history.add(stamp_ns, reading.linear_x, reading.angular_z)

    def add_scan(self, message: Any, received_ns: int) -> None:
        """Take a sensor_msgs/LaserScan in; it is decoded when somebody looks behind."""
        self._scan_message = (stamp_ns_of(message) or received_ns, message)

    def speed_mps(self, now_ns: int) -> float | None:
        """Speed of the base, 0 or more [m/s]; None without fresh odometry."""
        if self._speed is None or _older(self._speed[0], now_ns, self._odometry.max_age_s):
            return None
        return self._speed[1]

    def standing_s(self, now_ns: int, limits: VerificationLimits) -> float:
        """For how long odometry has shown a standstill [s]; 0 without fresh odometry."""
        if self.speed_mps(now_ns) is None:
            return 0.0
        return self._history.standing_s(now_ns, limits.docked_speed_mps)

    def odometry_pose(self, now_ns: int) -> Pose2D | None:
        """The base in a frame that stays where it was; None without fresh odometry."""
        return None if self.speed_mps(now_ns) is None else self._history.pose

    @property
    def trail_m(self) -> float:
        """How far straight behind the robot its own way reaches [m]."""
        return self._history.trail_m

    def rear(self, now_ns: int, limits: VerificationLimits) -> RearView:
        """What the newest scan shows behind the robot; nothing without a fresh one."""
        if self._scan is None or self._scan_message is None:
            return UNSEEN
        stamp_ns, message = self._scan_message
        if _older(stamp_ns, now_ns, self._scan.max_age_s):
            return UNSEEN
        try:
            reading = reading_from_message(self._scan, message)
        except DecodeError:
            return UNSEEN  # the stream itself reports it
        if not isinstance(reading, ScanReading):
            return UNSEEN
        return rear_view(
            reading, limits.rear_half_width_m, limits.rear_extent_m, limits.scanner_yaw_rad
        )

    def dock_from_base(self, now_ns: int, limits: VerificationLimits) -> Pose2D | None:
        """Pose of the base in the dock frame; None without a fresh one."""
        if self._pose is None or _older(self._pose[0], now_ns, limits.pose_max_age_s):
            return None
        return self._pose[1]

    def charging(self, now_ns: int, limits: VerificationLimits) -> bool | None:
        """Whether the battery charges; None without a fresh battery state."""
        newest = self._batteries[-1] if self._batteries else None
        if newest is None or _older(newest.stamp_ns, now_ns, limits.battery_max_age_s):
            return None
        return newest.charges(limits)

    def contact_speed_mps(self, limits: VerificationLimits) -> float | None:
        """The highest speed in the time in which the contacts met [m/s]: an upper bound.

        They met between the last battery state without charging and the first one with it; a
        charger that takes its time to switch on moves the beginning up to `contact_lookback_s`
        before the latter.

        Returns:
            None while the battery does not charge, or was not seen to begin.
        """
        first_ns = None
        for battery in reversed(tuple(self._batteries)):
            if battery.charges(limits):
                first_ns = battery.stamp_ns
            elif first_ns is not None:
                lookback_ns = round(limits.contact_lookback_s * _NS_PER_S)
                return self._history.fastest_mps(
                    min(battery.stamp_ns, first_ns - lookback_ns), first_ns
                )
            else:
                return None
        return None


def _older(stamp_ns: int, now_ns: int, limit_s: float) -> bool:
    return now_ns - stamp_ns > limit_s * _NS_PER_S
