"""The topics of the simulated robot."""

import importlib
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import BatteryState, CameraInfo, Image, JointState, LaserScan
from vla_msgs.msg import SimulationState

from vla_simulation.environment import DockingEnv
from vla_simulation.ros import ros_messages

# Reliable, so that a recording in lock-step has every message; best-effort subscribers match too.
_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
_LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
_BATTERY_DIVIDER = 4  # 5 Hz

# In the order in which they are published: what a driver of the robot may wait for comes last.
_TOPICS: dict[str, tuple[type, Any]] = {
    "camera/image_raw": (Image, ros_messages.image),
    "camera/camera_info": (CameraInfo, ros_messages.camera_info),
    "scan": (LaserScan, ros_messages.scan),
    "odom": (Odometry, ros_messages.odometry),
    "joint_states": (JointState, ros_messages.joint_states),
    "ground_truth/dock_pose": (PoseStamped, ros_messages.dock_pose),
    "ground_truth/state": (SimulationState, ros_messages.simulation_state),
}


class RobotPublishers:
    """All publishers of the simulator; what is published while the node is inactive is dropped."""

    def __init__(self, node: LifecycleNode, *, clock: bool) -> None:
        """Create the publishers.

        Args:
            node: whose publishers they are.
            clock: whether simulated time is published on /clock.
        """
        self._node = node
        self._publishers = {
            topic: node.create_lifecycle_publisher(kind, topic, _QOS)
            for topic, (kind, _) in _TOPICS.items()
        }
        self._battery = node.create_lifecycle_publisher(BatteryState, "battery_state", _QOS)
        self._clock = node.create_lifecycle_publisher(Clock, "/clock", _QOS) if clock else None
        self._transforms = _transform_publishers(node)
        self._count = 0
        self._was_charging = False

    def publish(self, env: DockingEnv, stamp: Time) -> None:
        """Publish everything that the robot observed, with this stamp."""
        if self._clock is not None:
            self._clock.publish(Clock(clock=stamp))
        if self._transforms is not None:
            message_type, moving, static = self._transforms
            moving.publish(message_type(transforms=[ros_messages.odometry_transform(env, stamp)]))
            if self._count == 0:
                static.publish(message_type(transforms=ros_messages.static_transforms(env, stamp)))
        charging = env.robot.charging
        if self._count % _BATTERY_DIVIDER == 0 or charging != self._was_charging:
            self._battery.publish(ros_messages.battery_state(env, stamp))
        self._was_charging = charging
        self._count += 1
        for topic, (_, build) in _TOPICS.items():
            self._publishers[topic].publish(build(env, stamp))

    def restart(self) -> None:
        """Publish what is published once or seldom with the next observations."""
        self._count = 0

    def destroy(self) -> None:
        """Take the topics down."""
        publishers = [*self._publishers.values(), self._battery]
        if self._clock is not None:
            publishers.append(self._clock)
        if self._transforms is not None:
            publishers += self._transforms[1:]
        for publisher in publishers:
            self._node.destroy_lifecycle_publisher(publisher)


def _transform_publishers(node: LifecycleNode) -> tuple[Any, Any, Any] | None:
    """Topics /tf and /tf_static, where their message package is installed (no wheel has it)."""
    try:
        message_type = importlib.import_module("tf2_msgs.msg").TFMessage
    except ImportError:
        node.get_logger().info("tf2_msgs is not installed: no transforms on /tf")
        return None
    return (
        message_type,
        node.create_lifecycle_publisher(message_type, "/tf", _QOS),
        node.create_lifecycle_publisher(message_type, "/tf_static", _LATCHED),
    )
