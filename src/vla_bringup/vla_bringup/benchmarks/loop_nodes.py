"""The other processes of `vla bench loop`: a robot that only publishes, and an empty timer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import BatteryState, Image, LaserScan

from vla_core import keys
from vla_core.contract import Contract
from vla_policy_node.ros_messages import qos_profile

EMPTY_TIMER_TOPIC: Final = "empty_timer"
IMAGE_HZ: Final = 30.0
SCAN_HZ: Final = 20.0
ODOMETRY_HZ: Final = 50.0
WIDTH_PX, HEIGHT_PX = 640, 480
_BEAMS: Final = 720
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
    """A robot that sees noise and stands still, at the rates of a real one."""

    def __init__(self, contract: Contract) -> None:
        super().__init__("bench_robot")
        self._contract = contract
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 255, HEIGHT_PX * WIDTH_PX * 3, np.uint8)
        self._image = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding="rgb8", step=3 * WIDTH_PX)
        self._image.data = pixels.tobytes()
        self._scan = LaserScan(
            angle_min=-np.pi, angle_increment=2.0 * np.pi / _BEAMS, range_min=0.05, range_max=12.0
        )
        self._scan.ranges = generator.uniform(2.0, 4.0, _BEAMS).astype(np.float32).tolist()
        for key, kind, message, rate_hz in (
            (keys.IMAGE, Image, self._image, IMAGE_HZ),
            (keys.SCAN, LaserScan, self._scan, SCAN_HZ),
            (keys.ODOMETRY, Odometry, Odometry(), ODOMETRY_HZ),
        ):
            stream = contract.stream(key)
            self._send_at(rate_hz, kind, stream.topic, message, qos_profile(stream.qos))
        pose = PoseStamped()
        pose.header.frame_id = contract.base_frame
        pose.pose.position.x = _DOCK_DISTANCE_M
        if contract.dock_pose_topic:
            self._send_at(_SLOW_HZ, PoseStamped, contract.dock_pose_topic, pose, 1)
        battery = BatteryState(power_supply_status=BatteryState.POWER_SUPPLY_STATUS_DISCHARGING)
        self._send_at(_SLOW_HZ, BatteryState, "battery_state", battery, 1)

    def _send_at(self, rate_hz: float, kind: Any, topic: str, message: Any, qos: Any) -> None:
        publisher = self.create_publisher(kind, topic, qos)

        def send() -> None:
            message.header.stamp = self.get_clock().now().to_msg()
            publisher.publish(message)

        self.create_timer(1.0 / rate_hz, send)


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
