"""What each message looks like in Rerun: entity paths and archetypes, by message type.

Entities below `world` are in the odometry frame (REP-105 ``odom``; x forward, y left, z up);
`world/base` moves with the robot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import rerun as rr

from vla_core.contract_specs import (
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPE,
    ODOMETRY_TYPE,
    POSE_TYPE,
    SCAN_TYPE,
    TWIST_STAMPED_TYPE,
    TWIST_TYPE,
)
from vla_core.image_decoding import rgb_from_compressed, rgb_from_raw
from vla_simulation.viewer.plan import unicycle_path

WORLD: Final = "world"
BASE: Final = f"{WORLD}/base"
CAMERA: Final = "camera"
COMMANDS: Final = "commands"
POLICY: Final = "policy"
BATTERY: Final = "battery"
TRUTH: Final = "ground_truth"
LOG: Final = "interventions"

_MM_PER_M: Final = 1000.0
_MS_PER_S: Final = 1000.0
_CHARGING: Final = 1  # sensor_msgs/BatteryState.POWER_SUPPLY_STATUS_CHARGING
_SCAN_COLOUR: Final = (70, 130, 220)
_PATH_COLOUR: Final = (150, 150, 150)
_PLAN_COLOUR: Final = (240, 120, 30)
_SCAN_RADIUS_M: Final = 0.015
_LINE_RADIUS_M: Final = 0.008


class MessageLogger:
    """Logs messages on a recording whose time somebody else sets.

    Attributes:
        path: (x, y, z) of the base in the odometry frame at each odometry message [m].
    """

    def __init__(
        self,
        recording: rr.RecordingStream,
        control_period_s: float,
        base_from_sensor: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ) -> None:
        """Log on this recording.

        Args:
            recording: receives everything.
            control_period_s: how long each action of a chunk is held.
            base_from_sensor: by frame, translation (3,) [m] and quaternion (4,) x y z w; a frame
                that is missing counts as the base's.
        """
        self.path: list[tuple[float, float, float]] = []
        self._recording = recording
        self._period_s = control_period_s
        self._base_from_sensor = base_from_sensor
        self._last_interventions: tuple[str, ...] = ()
        self._placed: set[str] = set()

    def handler(self, message_type: str) -> Callable[[str, Any], None] | None:
        """What logs messages of this type, called with topic and message; None for no such type."""
        handlers: dict[str, Callable[[str, Any], None]] = {
            IMAGE_TYPE: self._image,
            COMPRESSED_IMAGE_TYPE: self._compressed_image,
            SCAN_TYPE: self._scan,
            ODOMETRY_TYPE: self._odometry,
            TWIST_TYPE: self._twist,
            TWIST_STAMPED_TYPE: lambda topic, message: self._twist(topic, message.twist),
            POSE_TYPE: self._pose,
            "sensor_msgs/msg/BatteryState": self._battery,
            "vla_msgs/msg/PolicyStatus": self._status,
            "vla_msgs/msg/SimulationState": self._state,
        }
        return handlers.get(message_type)

    def _scalars(self, path: str, **values: float) -> None:
        for name, value in values.items():
            self._recording.log(f"{path}/{name}", rr.Scalars(float(value)))

    # ------------------------------------------------------------------ sensors

    def _image(self, topic: str, message: Any) -> None:
        rgb = rgb_from_raw(
            message.encoding, message.height, message.width, message.step, message.data
        )
        self._recording.log(f"{CAMERA}{topic}", rr.Image(rgb))

    def _compressed_image(self, topic: str, message: Any) -> None:
        rgb = rgb_from_compressed(message.format, message.data)
        self._recording.log(f"{CAMERA}{topic}", rr.Image(rgb))

    def _scan(self, topic: str, message: Any) -> None:
        ranges = np.asarray(message.ranges, np.float64)
        angles = message.angle_min + message.angle_increment * np.arange(len(ranges))
        hit = np.isfinite(ranges) & (ranges >= message.range_min) & (ranges <= message.range_max)
        points = np.zeros((int(hit.sum()), 3))
        points[:, 0] = ranges[hit] * np.cos(angles[hit])
        points[:, 1] = ranges[hit] * np.sin(angles[hit])
        path = f"{BASE}{topic}"
        self._place(path, message.header.frame_id)
        self._recording.log(path, rr.Points3D(points, colors=_SCAN_COLOUR, radii=_SCAN_RADIUS_M))

    def _place(self, path: str, frame: str) -> None:
        """Put an entity where its sensor is on the robot, once."""
        if path in self._placed:
            return
        self._placed.add(path)
        pose = self._base_from_sensor.get(frame)
        if pose is not None:
            translation, quaternion = pose
            transform = rr.Transform3D(translation=translation, mat3x3=_rotation(*quaternion))
            self._recording.log(path, transform, static=True)

    def _odometry(self, topic: str, message: Any) -> None:
        position, q = message.pose.pose.position, message.pose.pose.orientation
        self.path.append((position.x, position.y, position.z))
        self._recording.log(
            BASE,
            rr.Transform3D(translation=self.path[-1], mat3x3=_rotation(q.x, q.y, q.z, q.w)),
        )
        self._twist(topic, message.twist.twist)

    def _battery(self, _topic: str, message: Any) -> None:
        charging = message.power_supply_status == _CHARGING
        self._scalars(BATTERY, current_a=message.current, charging=float(charging))

    # ------------------------------------------------------------------ commands and the policy

    def _twist(self, topic: str, twist: Any) -> None:
        path = f"{COMMANDS}{topic}"
        self._scalars(path, linear_x_mps=twist.linear.x, angular_z_radps=twist.angular.z)

    def _pose(self, topic: str, message: Any) -> None:
        position, q = message.pose.position, message.pose.orientation
        self._recording.log(
            f"{BASE}{topic}",
            rr.Transform3D(
                translation=(position.x, position.y, position.z),
                mat3x3=_rotation(q.x, q.y, q.z, q.w),
                axis_length=0.2,
            ),
        )

    def _status(self, _topic: str, message: Any) -> None:
        self._scalars(
            POLICY,
            buffer_depth=message.buffer_depth,
            inference_latency_ms=message.inference_latency_s * _MS_PER_S,
        )
        interventions = tuple(message.interventions)
        if interventions != self._last_interventions:
            self._last_interventions = interventions
            text = ", ".join(interventions) or "none"
            level = rr.TextLogLevel.WARN if interventions else rr.TextLogLevel.INFO
            self._recording.log(LOG, rr.TextLog(text, level=level))
        if len(message.chunk) and message.action_size == 2:
            actions = np.asarray(message.chunk, float).reshape(message.horizon, 2)
            path = unicycle_path(actions, self._period_s)
            path[:, 2] = 0.0  # the heading; a plan lies on the floor
            self._recording.log(
                f"{BASE}/plan",
                rr.LineStrips3D([path], colors=_PLAN_COLOUR, radii=_LINE_RADIUS_M),
            )

    def _state(self, _topic: str, message: Any) -> None:
        self._scalars(
            TRUTH,
            longitudinal_error_mm=message.longitudinal_error_m * _MM_PER_M,
            lateral_error_mm=message.lateral_error_m * _MM_PER_M,
            yaw_error_deg=np.degrees(message.yaw_error_rad),
            docked=float(message.docked),
        )

    def finish(self) -> None:
        """Log what is known only now: the path that was driven."""
        if len(self.path) > 1:
            self._recording.log(
                f"{WORLD}/path",
                rr.LineStrips3D([self.path], colors=_PATH_COLOUR, radii=_LINE_RADIUS_M / 2),
                static=True,
            )


def _rotation(x: float, y: float, z: float, w: float) -> np.ndarray:
    """(3, 3) rotation matrix of a quaternion, the identity for one of no length.

    Rerun's own quaternions need numpy 2 in the pinned version.
    """
    length_squared = x * x + y * y + z * z + w * w
    if not length_squared > 0.0:
        return np.eye(3)
    s = 2.0 / length_squared
    return np.array(
        [
            [1.0 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
            [s * (x * y + z * w), 1.0 - s * (x * x + z * z), s * (y * z - x * w)],
            [s * (x * z - y * w), s * (y * z + x * w), 1.0 - s * (x * x + y * y)],
        ]
    )
