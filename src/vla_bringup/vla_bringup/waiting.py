"""Waiting for services and futures, with a deadline."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import rclpy
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from vla_bringup.graph import LIFECYCLE_MANAGER
from vla_core.errors import VlaError

POLL_PERIOD_S: Final = 0.05
DISCOVERY_SETTLE_S: Final = 0.5


class GraphNotActive(VlaError):  # noqa: N818 (a state, which others wait for)
    """The nodes of a graph did not all become active in time."""


class WaitTimeout(Exception):  # noqa: N818 (like TimeoutError, which rclpy also raises)
    """What was waited for did not happen in time."""


def wait_for_result(node: Node, future: Future, timeout_s: float) -> Any:
    """Spin the node until the future is done.

    Raises:
        WaitTimeout: it is not done in time.
    """
    deadline = time.monotonic() + timeout_s
    while not future.done():
        if time.monotonic() > deadline:
            raise WaitTimeout
        rclpy.spin_once(node, timeout_sec=POLL_PERIOD_S)
    return future.result()


def wait_for_service(node: Node, client: Client, timeout_s: float) -> None:
    """Spin the node until the service is in the graph.

    Raises:
        WaitTimeout: it is not there in time.
    """
    deadline = time.monotonic() + timeout_s
    while not client.service_is_ready():
        if time.monotonic() > deadline:
            raise WaitTimeout
        rclpy.spin_once(node, timeout_sec=POLL_PERIOD_S)


def wait_for_action_server(node: Node, client: ActionClient, timeout_s: float) -> bool:
    """Spin the node until the action server is in the graph and knows this client.

    Returns:
        False if it is not there in time.
    """
    if client.server_is_ready():
        return True
    deadline = time.monotonic() + timeout_s
    while not client.server_is_ready():
        if time.monotonic() > deadline:
            return False
        rclpy.spin_once(node, timeout_sec=POLL_PERIOD_S)
    # Found is one way only: Fast DDS drops the reply to a client that the server has not found.
    settled = time.monotonic() + DISCOVERY_SETTLE_S
    while time.monotonic() < settled:
        rclpy.spin_once(node, timeout_sec=POLL_PERIOD_S)
    return True


def wait_until_active(
    node: Node, timeout_s: float, while_waiting: Callable[[], None] = lambda: None
) -> None:
    """Wait until the graph's lifecycle manager reports that every node is active.

    Args:
        node: that asks.
        timeout_s: how long to wait.
        while_waiting: called now and then; what it raises ends the wait.

    Raises:
        GraphNotActive: not active in time.
    """
    client = node.create_client(Trigger, f"{LIFECYCLE_MANAGER}/is_active")
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            while_waiting()
            with contextlib.suppress(WaitTimeout):
                wait_for_service(node, client, 1.0)
                answer = wait_for_result(node, client.call_async(Trigger.Request()), 1.0)
                if answer.success:
                    return
            time.sleep(0.1)
    finally:
        node.destroy_client(client)
    raise GraphNotActive(f"the graph is not active after {timeout_s:g} s")
