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
# A participant answers a newcomer at once in seven to nine cases of ten; the others are heard only
# when they announce themselves again, which Fast DDS makes them do every 3 s.
LISTENING_S: Final = 3.6
POLL_PERIOD_S: Final = 0.05
PROBE: Final = "vla_domain_probe"
UNNAMED: Final = "_NODE_NAME_UNKNOWN_"  # rmw: its endpoints are known, its name is on its way


def probe() -> dict[str, bool | list[str]]:
    """Create two participants and see whom they find while everybody must announce itself once."""
    first, second = _create(f"{PROBE}_a"), _create(f"{PROBE}_b")
    try:
        start_s = time.monotonic()
        sees_itself = False
        found: set[str] = set()
        while (listened_s := time.monotonic() - start_s) < DISCOVERY_TIMEOUT_S:
            by_first = _full_names(first)
            seen = by_first | _full_names(second)
            found |= seen
            sees_itself = sees_itself or f"/{PROBE}_b" in by_first
            if sees_itself and UNNAMED not in seen and listened_s > LISTENING_S:
                break
            time.sleep(POLL_PERIOD_S)
        return {
            "sees_itself": sees_itself,
            "nodes": sorted(n for n in found if not n.startswith((f"/{PROBE}", UNNAMED))),
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


def _full_names(node: Node) -> set[str]:
    names = {
        f"{namespace.rstrip('/')}/{name}"
        for name, namespace in node.get_node_names_and_namespaces()
    }
    unnamed = {endpoint.node_name for endpoint in node.get_publishers_info_by_topic("/rosout")}
    return names | (unnamed & {UNNAMED})


if __name__ == "__main__":
    json.dump(probe(), sys.stdout)
