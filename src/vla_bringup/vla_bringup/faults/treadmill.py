"""What a robot's sensors say that drives towards a station without ever getting there.

One scene of the simulator is taken, a second or two in front of the station. Each message has
noise of its own, as a sensor has; odometry follows the commands.
"""

from __future__ import annotations

import array
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import BatteryState, Image, LaserScan

from vla_bringup.faults.scan_marker import MARKER_M
from vla_core import keys
from vla_core.contract import Contract, ScanDecoder
from vla_core.readings import ImageReading, ScanReading
from vla_simulation.environment import DockingEnv
from vla_simulation.ros import ros_messages

VARIANTS: Final = 8
_PIXEL_NOISE: Final = 3
_RANGE_NOISE_M: Final = 0.003


@dataclass
class Scene:
    """Messages of one moment, serialised, in variants that differ by noise.

    Attributes:
        instruction: what the policy is told.
        images: of the camera.
        scans: of the scanner.
        marked: the scans that the policy's marked graph fails at, by mode.
        dock_pose: of the commanded station.
        battery: its state.
    """

    instruction: str
    images: list[Image]
    scans: list[LaserScan]
    marked: dict[str, list[LaserScan]]
    dock_pose: PoseStamped
    battery: BatteryState


def take_scene(contract: Contract, seed: int) -> Scene:
    """Build the messages from the start of an episode.

    Args:
        contract: of the robot.
        seed: of the episode and of the noise.

    Raises:
        VlaError: the scene cannot be rendered.
    """
    env = DockingEnv("single")
    try:
        env.reset(seed=seed)
        stamp = ros_messages.time_message(0)
        readings, config = env.readings(), env.config
        picture, ranges = readings[keys.IMAGE], readings[keys.SCAN]
        assert isinstance(picture, ImageReading)
        assert isinstance(ranges, ScanReading)
        image = ros_messages.image(picture, config, stamp)
        scan = ros_messages.scan(ranges, config, stamp)
        dock_pose = ros_messages.dock_pose(env, stamp)
        battery = ros_messages.battery_state(env, stamp)
        instruction = env.instruction
    finally:
        env.close()
    generator = np.random.default_rng(seed)
    return Scene(
        instruction,
        [_noisy_image(image, generator) for _ in range(VARIANTS)],
        [_noisy_scan(scan, generator) for _ in range(VARIANTS)],
        {
            mode: [_marked(_noisy_scan(scan, generator), contract, sector) for _ in range(VARIANTS)]
            for mode, sector in (("nan", 0), ("hang", 1), ("shape", -1))
        },
        dock_pose,
        battery,
    )


class Wheels:
    """Odometry of a base that does at once what it is told."""

    def __init__(self, base_frame: str) -> None:
        self.message = Odometry(child_frame_id=base_frame)
        self.message.header.frame_id = ros_messages.ODOMETRY_FRAME
        self._command = (0.0, 0.0)
        self._yaw_rad = 0.0

    def follow(self, v_mps: float, w_radps: float) -> None:
        """Take a command in."""
        self._command = (v_mps, w_radps)

    def advance(self, duration_s: float) -> Odometry:
        """The message after so much time."""
        v_mps, w_radps = self._command
        self._yaw_rad += w_radps * duration_s
        pose, twist = self.message.pose.pose, self.message.twist.twist
        pose.position.x += v_mps * math.cos(self._yaw_rad) * duration_s
        pose.position.y += v_mps * math.sin(self._yaw_rad) * duration_s
        pose.orientation.z = math.sin(self._yaw_rad / 2.0)
        pose.orientation.w = math.cos(self._yaw_rad / 2.0)
        twist.linear.x, twist.angular.z = v_mps, w_radps
        return self.message


def copied(message: Any) -> Any:
    """A message of its own with the same content."""
    return deserialize_message(serialize_message(message), type(message))


def broken(message: Any, mode: str) -> Any:
    """A copy of a message in a form that no decoder takes.

    Args:
        message: of a stream.
        mode: truncated (a picture without half of its bytes), empty (a scan without a beam) or
            not_finite (odometry that says NaN).
    """
    copy = copied(message)
    if mode == "truncated":
        copy.data = copy.data[: len(copy.data) // 2]
    elif mode == "empty":
        copy.ranges = []
    else:
        copy.twist.twist.linear.x = math.nan
    return copy


def _noisy_image(image: Image, generator: np.random.Generator) -> Image:
    pixels = np.frombuffer(image.data, np.uint8).astype(np.int16)
    pixels += generator.integers(-_PIXEL_NOISE, _PIXEL_NOISE + 1, pixels.size, np.int16)
    noisy = Image(height=image.height, width=image.width, encoding=image.encoding, step=image.step)
    noisy.header.frame_id = image.header.frame_id
    noisy.data = array.array("B", np.clip(pixels, 0, 255).astype(np.uint8).tobytes())
    return noisy


def _noisy_scan(scan: LaserScan, generator: np.random.Generator) -> LaserScan:
    ranges = np.array(scan.ranges, np.float32)
    ranges += generator.normal(0.0, _RANGE_NOISE_M, ranges.size).astype(np.float32)
    noisy = LaserScan(
        angle_min=scan.angle_min,
        angle_max=scan.angle_max,
        angle_increment=scan.angle_increment,
        scan_time=scan.scan_time,
        range_min=scan.range_min,
        range_max=scan.range_max,
    )
    noisy.header.frame_id = scan.header.frame_id
    noisy.ranges = array.array("f", ranges.tobytes())
    return noisy


def _marked(scan: LaserScan, contract: Contract, sector: int) -> LaserScan:
    decoder = contract.stream(keys.SCAN).decoder
    if not isinstance(decoder, ScanDecoder):
        raise TypeError(f"decoder of the scan is {type(decoder).__name__}")
    edges = np.linspace(decoder.angle_min_rad, decoder.angle_max_rad, decoder.beams + 1)
    first = sector % decoder.beams
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    margin = abs(scan.angle_increment)
    ranges = np.array(scan.ranges, np.float32)
    ranges[(angles >= edges[first] - margin) & (angles <= edges[first + 1] + margin)] = MARKER_M
    scan.ranges = array.array("f", ranges.tobytes())
    return scan
