"""Looks at a DDS domain before a graph is started in it.

Run as a process of its own: the middleware ends the process where a domain cannot be used at all.
Prints one JSON object: ``sees_itself`` (discovery works) and ``nodes`` (full names of the nodes
that already run there).
"""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import rclpy
from rclpy.context import Context
from rclpy.node import Node

DISCOVERY_TIMEOUT_S: Final = 6.0
# Others answer at their own pace: seen up to 2.3 s late on two busy cores.
MIN_LISTENING_S: Final = 2.0
QUIET_S: Final = 1.0
POLL_PERIOD_S: Final = 0.05
PROBE: Final = "vla_domain_probe"
UNNAMED: Final = "_NODE_NAME_UNKNOWN_"  # rmw: its endpoints are known, its name is on its way


def probe() -> dict[str, bool | list[str]]:
    """Create two participants and see whom the first one finds, until nobody new comes."""
    first, second = _create(f"{PROBE}_a"), _create(f"{PROBE}_b")
    try:
        start_s = changed_s = now_s = time.monotonic()
        seen: list[str] = []
        while now_s < start_s + DISCOVERY_TIMEOUT_S:
            found = _full_names(first)
            if found != seen:
                seen, changed_s = found, now_s
            complete = f"/{PROBE}_b" in seen and UNNAMED not in seen
            quiet = now_s > max(start_s + MIN_LISTENING_S, changed_s + QUIET_S)
            if complete and quiet:
                break
            time.sleep(POLL_PERIOD_S)
            now_s = time.monotonic()
        return {
            "sees_itself": f"/{PROBE}_b" in seen,
            "nodes": [name for name in seen if not name.startswith((f"/{PROBE}", UNNAMED))],
        }
    finally:
        for node in (first, second):
            node.destroy_node()
            rclpy.try_shutdown(context=node.context)


def _create(name: str) -> Node:
    context = Context()
    rclpy.init(context=context)
    return rclpy.create_node(
        name, context=context, enable_rosout=False, start_parameter_services=False
    )


def _full_names(node: Node) -> list[str]:
    names = {
        f"{namespace.rstrip('/')}/{name}"
        for name, namespace in node.get_node_names_and_namespaces()
    }
    unnamed = {endpoint.node_name for endpoint in node.get_publishers_info_by_topic("/rosout")}
    return sorted(names | (unnamed & {UNNAMED}))


if __name__ == "__main__":
    json.dump(probe(), sys.stdout)
