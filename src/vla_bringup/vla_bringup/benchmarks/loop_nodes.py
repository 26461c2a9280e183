"""The other processes of `vla bench loop`: a robot on a treadmill, and an empty timer."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import BatteryState, Image, LaserScan

from vla_core import keys
from vla_core.contract import Contract
from vla_policy_node.ros_messages import qos_profile
from vla_recorder.teleop.twist_messages import command_type, command_values

EMPTY_TIMER_TOPIC: Final = "empty_timer"
IMAGE_HZ: Final = 30.0
SCAN_HZ: Final = 20.0
ODOMETRY_HZ: Final = 50.0
WIDTH_PX, HEIGHT_PX = 640, 480
_BEAMS: Final = 720
_VARIANTS: Final = 4
_ODOMETRY_NOISE: Final = 1e-3  # m/s and rad/s
_SLOW_HZ: Final = 10.0
# Farther than any tolerance, so that the robot is never taken for docked.
_DOCK_DISTANCE_M: Final = 2.0


class EmptyTimer(Node):
    """Publishes at the control rate, and nothing else: what rclpy can do at best here."""

    def __init__(self, contract: Contract) -> None:
        super().__init__("empty_timer")
        publisher = self.create_publisher(TwistStamped, EMPTY_TIMER_TOPIC, 1)
        message = TwistStamped()
        self.create_timer(1.0 / contract.action.rate_hz, lambda: publisher.publish(message))


class SensorRobot(Node):
    """A robot that sees noise, at the rates of a real one, and moves as told without arriving.

    Its readings differ from one to the next, as those of a moving robot do: the policy node takes
    a stream that repeats itself while the robot moves for frozen.
    """

    def __init__(self, contract: Contract) -> None:
        super().__init__("bench_robot")
        self._contract = contract
        self._command = np.zeros(contract.action.size)
        self._odometry = Odometry()
        self.create_subscription(
            command_type(contract), contract.action.topic, self._on_command, QoSProfile(depth=1)
        )
        generator = np.random.default_rng(0)
        for key, rate_hz, messages in (
            (keys.IMAGE, IMAGE_HZ, _images(generator)),
            (keys.SCAN, SCAN_HZ, _scans(generator)),
            (keys.ODOMETRY, ODOMETRY_HZ, self._odometries(generator)),
        ):
            stream = contract.stream(key)
            self._send_at(rate_hz, stream.topic, messages, qos_profile(stream.qos))
        pose = PoseStamped()
        pose.header.frame_id = contract.base_frame
        pose.pose.position.x = _DOCK_DISTANCE_M
        if contract.dock_pose_topic:
            self._send_at(_SLOW_HZ, contract.dock_pose_topic, itertools.repeat(pose), 1)
        battery = BatteryState(power_supply_status=BatteryState.POWER_SUPPLY_STATUS_DISCHARGING)
        self._send_at(_SLOW_HZ, "battery_state", itertools.repeat(battery), 1)

    def _on_command(self, message: Any) -> None:
        self._command = command_values(self._contract, message)

    def _odometries(self, generator: np.random.Generator) -> Iterator[Odometry]:
        twist, position = self._odometry.twist.twist, self._odometry.pose.pose.position
        while True:
            command = dict(zip(self._contract.action.fields, self._command, strict=True))
            noise = generator.normal(0.0, _ODOMETRY_NOISE, 2)
            twist.linear.x = command.get("linear.x", 0.0) + noise[0]
            twist.angular.z = command.get("angular.z", 0.0) + noise[1]
            position.x += twist.linear.x / ODOMETRY_HZ
            yield self._odometry

    def _send_at(self, rate_hz: float, topic: str, messages: Iterator[Any], qos: Any) -> None:
        first = next(messages)
        publisher = self.create_publisher(type(first), topic, qos)

        def send() -> None:
            message = next(messages)
            message.header.stamp = self.get_clock().now().to_msg()
            publisher.publish(message)

        self.create_timer(1.0 / rate_hz, send)


def _images(generator: np.random.Generator) -> Iterator[Image]:
    """Different pictures, made beforehand: what the publisher does shall cost next to nothing."""
    images = []
    for _ in range(_VARIANTS):
        image = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding="rgb8", step=3 * WIDTH_PX)
        image.data = generator.integers(0, 255, HEIGHT_PX * WIDTH_PX * 3, np.uint8).tobytes()
        images.append(image)
    return itertools.cycle(images)


def _scans(generator: np.random.Generator) -> Iterator[LaserScan]:
    scans = []
    for _ in range(_VARIANTS):
        scan = LaserScan(
            angle_min=-np.pi, angle_increment=2.0 * np.pi / _BEAMS, range_min=0.05, range_max=12.0
        )
        scan.ranges = generator.uniform(2.0, 4.0, _BEAMS).astype(np.float32).tolist()
        scans.append(scan)
    return itertools.cycle(scans)


NODES: Final[dict[str, Callable[[Contract], Node]]] = {
    "timer": EmptyTimer,
    "robot": SensorRobot,
}


def main() -> None:
    """Run one of `NODES` until a signal ends the process; arguments: its name, the contract."""
    name, contract = sys.argv[1:3]
    # Nothing has to be tidied up: rclpy's own handlers would only have timers fail meanwhile.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    rclpy.spin(NODES[name](Contract.load(Path(contract))))


if __name__ == "__main__":
    main()
