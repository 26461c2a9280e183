"""Exit code 0 if the graph of this container's ROS_DOMAIN_ID and ROS_NAMESPACE is active.

python docker/healthcheck.py [SECONDS]: how long to look for it, 10 by default.
"""

from __future__ import annotations

import sys

import rclpy
from rclpy.node import Node

from vla_bringup.waiting import wait_until_active
from vla_core.errors import VlaError

TIMEOUT_S = 10.0


def main() -> int:
    """Ask the lifecycle manager."""
    rclpy.init()
    node = Node("container_healthcheck")
    try:
        wait_until_active(node, float(sys.argv[1]) if len(sys.argv) > 1 else TIMEOUT_S)
    except VlaError as error:
        sys.stderr.write(f"not active: {error}\n")
        return 1
    finally:
        node.destroy_node()
        rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
