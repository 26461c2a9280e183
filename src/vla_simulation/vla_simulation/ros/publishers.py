"""The topics of the simulated robot."""

import importlib
from collections.abc import Iterable
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import BatteryState, CameraInfo, Image, JointState, LaserScan
from vla_msgs.msg import SimulationState

from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_simulation.environment import DockingEnv
from vla_simulation.ros import ros_messages
from vla_simulation.sensing.samples import Sample, WheelReading

# Reliable, so that a recording in lock-step has every message; best-effort subscribers match too.
_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
_LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
_BATTERY_DIVIDER = 4  # 5 Hz

# What each sensor's driver publishes of one sample.
_DRIVERS: dict[str, dict[str, tuple[type, Any]]] = {
    IMAGE: {
        "camera/image_raw": (Image, ros_messages.image),
        "camera/camera_info": (CameraInfo, ros_messages.camera_info),
    },
    SCAN: {"scan": (LaserScan, ros_messages.scan)},
    ODOMETRY: {
        "odom": (Odometry, ros_messages.odometry),
        "joint_states": (JointState, ros_messages.joint_states),
    },
}
# Once per control tick, last: what a driver of the robot may wait for.
_TRUTH: dict[str, tuple[type, Any]] = {
    "ground_truth/dock_pose": (PoseStamped, ros_messages.dock_pose),
    "ground_truth/state": (SimulationState, ros_messages.simulation_state),
}


class RobotPublishers:
    """All publishers of the simulator; what is published while the node is inactive is dropped.

    Stamps of a sensor only ever grow: by the system's time, two ticks can be a little closer to
    each other than the control period.
    """

    def __init__(self, node: LifecycleNode, *, clock: bool, namespace: str = "") -> None:
        """Create the publishers.

        Args:
            node: whose publishers they are.
            clock: whether simulated time is published on /clock.
            namespace: of the robot's topics below the node's own. With one, transforms are on
                `tf` and `tf_static` in it, as Nav2 has them for several robots: frames keep their
                names.
        """
        prefix = f"{namespace}/" if namespace else ""
        self._node = node
        topics = {**_TRUTH}
        for driver in _DRIVERS.values():
            topics |= driver
        self._publishers = {
            topic: node.create_lifecycle_publisher(kind, f"{prefix}{topic}", _QOS)
            for topic, (kind, _) in topics.items()
        }
        self._battery = node.create_lifecycle_publisher(
            BatteryState, f"{prefix}battery_state", _QOS
        )
        self._clock = node.create_lifecycle_publisher(Clock, "/clock", _QOS) if clock else None
        self._transforms = _transform_publishers(node, prefix or "/")
        self._newest: dict[str, tuple[Sample | None, int]] = dict.fromkeys(_DRIVERS, (None, 0))
        self._ticks = 0
        self._was_charging = False

    def publish(self, env: DockingEnv, tick_ns: int, samples: Iterable[Sample]) -> None:
        """Publish what there is at a control tick.

        Args:
            env: at that tick.
            tick_ns: time of the tick.
            samples: what the sensors delivered, with stamps since the reset.
        """
        tick = ros_messages.time_message(tick_ns)
        if self._clock is not None:
            self._clock.publish(Clock(clock=tick))
        if self._transforms is not None and self._ticks == 0:
            message_type, _, static = self._transforms
            static.publish(message_type(transforms=ros_messages.static_transforms(env, tick)))
        self.publish_samples(env, tick_ns, samples)
        charging = env.robot.charging
        if self._ticks % _BATTERY_DIVIDER == 0 or charging != self._was_charging:
            self._battery.publish(ros_messages.battery_state(env, tick))
        self._was_charging = charging
        self._ticks += 1
        for topic, (_, build) in _TRUTH.items():
            self._publishers[topic].publish(build(env, tick))

    def publish_samples(self, env: DockingEnv, tick_ns: int, samples: Iterable[Sample]) -> None:
        """Publish what sensors delivered up to a control tick; see `publish`."""
        for sample in samples:
            stamp = ros_messages.time_message(self._stamp_ns(env, tick_ns, sample))
            for topic, (_, build) in _DRIVERS[sample.key].items():
                self._publishers[topic].publish(build(sample.reading, env.config, stamp))
            if self._transforms is not None and isinstance(sample.reading, WheelReading):
                message_type, moving, _ = self._transforms
                transform = ros_messages.odometry_transform(sample.reading, stamp)
                moving.publish(message_type(transforms=[transform]))

    def _stamp_ns(self, env: DockingEnv, tick_ns: int, sample: Sample) -> int:
        published, newest_ns = self._newest[sample.key]
        if sample is not published:  # published again, it keeps its stamp
            newest_ns = max(tick_ns + sample.stamp_ns - env.stamp_ns, newest_ns + 1)
            self._newest[sample.key] = (sample, newest_ns)
        return newest_ns

    def restart(self) -> None:
        """Publish what is published once or seldom at the next tick."""
        self._ticks = 0

    def destroy(self) -> None:
        """Take the topics down."""
        publishers = [*self._publishers.values(), self._battery]
        if self._clock is not None:
            publishers.append(self._clock)
        if self._transforms is not None:
            publishers += self._transforms[1:]
        for publisher in publishers:
            self._node.destroy_lifecycle_publisher(publisher)


def _transform_publishers(node: LifecycleNode, prefix: str) -> tuple[Any, Any, Any] | None:
    """Topics tf and tf_static, where their message package is installed (no wheel has it)."""
    try:
        message_type = importlib.import_module("tf2_msgs.msg").TFMessage
    except ImportError:
        node.get_logger().info("tf2_msgs is not installed: no transforms")
        return None
    return (
        message_type,
        node.create_lifecycle_publisher(message_type, f"{prefix}tf", _QOS),
        node.create_lifecycle_publisher(message_type, f"{prefix}tf_static", _LATCHED),
    )
