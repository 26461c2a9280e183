"""A robot's sensors as a load: publishes messages of real size at their rates and counts them.

`python -m vla_bringup.benchmarks.robot_load` waits until everything is subscribed to and for a line
on stdin with the seconds to publish for; then it writes to stdout, as JSON, the stamps of what it
has published by topic [ns] (`stamps_ns`) and how far behind its schedule it was at most (`late_s`).
It ends with stdin. Messages are serialised once; only their stamps change.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from typing import Any, Final

import rclpy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, LaserScan

RATES_HZ: Final = {"camera/image_raw": 30.0, "scan": 40.0, "odom": 50.0, "cmd_vel": 20.0}
WIDTH_PX: Final = 640
HEIGHT_PX: Final = 480
BEAMS: Final = 720

STAMP: Final = struct.Struct("<iI")
"""Of a header, in CDR."""

STAMP_START: Final = 4
"""Bytes before it."""

_NS_PER_S: Final = 1_000_000_000
_POLL_S: Final = 0.05


def messages() -> dict[str, Any]:
    """One message for each topic, with everything but its stamp."""
    image = Image(width=WIDTH_PX, height=HEIGHT_PX, encoding="rgb8", step=3 * WIDTH_PX)
    image.data = (bytes(range(256)) * (3 * WIDTH_PX * HEIGHT_PX // 256 + 1))[
        : 3 * WIDTH_PX * HEIGHT_PX
    ]
    scan = LaserScan(angle_min=-2.1, angle_max=2.1, angle_increment=4.2 / BEAMS, range_max=10.0)
    scan.ranges = [1.0 + index / BEAMS for index in range(BEAMS)]
    odometry = Odometry(child_frame_id="base_link")
    odometry.pose.pose.orientation.w = 1.0
    return {
        "camera/image_raw": image,
        "scan": scan,
        "odom": odometry,
        "cmd_vel": TwistStamped(),
    }


def main() -> int:
    """Publish for as long as stdin asks."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("robot_load")
    data, publishers = {}, {}
    for topic, message in messages().items():
        message.header.frame_id = "base_link"
        data[topic] = bytearray(serialize_message(message))
        publishers[topic] = node.create_publisher(type(message), topic, QoSProfile(depth=50))
    while any(publisher.get_subscription_count() == 0 for publisher in publishers.values()):
        time.sleep(_POLL_S)
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201
    for line in sys.stdin:
        print(json.dumps(_publish(float(line), data, publishers)), flush=True)  # noqa: T201
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


def _publish(
    duration_s: float, data: dict[str, bytearray], publishers: dict[str, Any]
) -> dict[str, Any]:
    """Publish on a schedule that does not drift; what is late is sent at once."""
    stamps_ns: dict[str, list[int]] = {topic: [] for topic in data}
    late_s = 0.0
    start_s = time.monotonic()
    while True:
        topic = min(stamps_ns, key=lambda name: len(stamps_ns[name]) / RATES_HZ[name])
        due_s = len(stamps_ns[topic]) / RATES_HZ[topic]
        if due_s >= duration_s:
            return {"stamps_ns": stamps_ns, "late_s": late_s}
        time.sleep(max(0.0, start_s + due_s - time.monotonic()))
        late_s = max(late_s, time.monotonic() - start_s - due_s)
        stamp_ns = time.time_ns()
        STAMP.pack_into(data[topic], STAMP_START, *divmod(stamp_ns, _NS_PER_S))
        publishers[topic].publish(bytes(data[topic]))
        stamps_ns[topic].append(stamp_ns)


if __name__ == "__main__":
    sys.exit(main())
