"""Sends one goal of an action of the policy node and follows it to its result."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

import rclpy
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.node import Node

from vla_bringup.waiting import WaitTimeout, wait_for_action_server, wait_for_result
from vla_core.errors import VlaError

CANCEL_TIMEOUT_S: Final = 3.0
# Silence after which the policy node counts as dead; its feedback comes several times a second.
FEEDBACK_TIMEOUT_S: Final = 15.0


class GoalFailed(VlaError):  # noqa: N818 (an outcome, not a mistake)
    """Nobody could be asked, or nobody answered any more."""


class GoalClient:
    """A client of one action.

    Args:
        node: owns the client; its caller creates and destroys it.
        action_type: class of the action.
        name: of the action, relative to the node's namespace.
    """

    def __init__(self, node: Node, action_type: Any, name: str) -> None:
        self._node = node
        self._name = f"{node.get_namespace().rstrip('/')}/{name}"
        self._client = ActionClient(node, action_type, name)
        self._heard_s = 0.0

    def run(
        self,
        goal: Any,
        *,
        server_timeout_s: float = 10.0,
        on_feedback: Callable[[Any], None] | None = None,
    ) -> Any:
        """Send a goal and wait for its result; an exception that ends the wait cancels it.

        Raises:
            GoalFailed: no server, goal refused, or the server fell silent.
        """
        if not self._find_server(server_timeout_s):
            raise GoalFailed(
                f"no docking server on action {self._name} within {server_timeout_s:g} s; "
                "start one (vla up dock) in the same ROS_DOMAIN_ID"
            )
        handle = self._send(goal, on_feedback)
        try:
            return self._follow(handle)
        except BaseException:
            self._cancel(handle)
            raise

    def _find_server(self, timeout_s: float) -> bool:
        if self._client.server_is_ready():
            return True
        sys.stderr.write(f"waiting for a docking server on {self._name} ...\n")
        return wait_for_action_server(self._node, self._client, timeout_s)

    def _send(self, goal: Any, on_feedback: Callable[[Any], None] | None) -> ClientGoalHandle:
        def hear(message: Any) -> None:
            self._heard_s = time.monotonic()
            if on_feedback is not None:
                on_feedback(message.feedback)

        future = self._client.send_goal_async(goal, feedback_callback=hear)
        try:
            handle: ClientGoalHandle = wait_for_result(self._node, future, 5.0)
        except WaitTimeout as error:
            raise GoalFailed(
                f"the docking server on {self._name} does not answer; is it overloaded?"
            ) from error
        if not handle.accepted:
            raise GoalFailed(
                f"the docking server on {self._name} refused the goal: the policy node is not "
                "active; its log says more"
            )
        return handle

    def _follow(self, handle: ClientGoalHandle) -> Any:
        future = handle.get_result_async()
        self._heard_s = time.monotonic()
        while not future.done():
            rclpy.spin_once(self._node, timeout_sec=0.1)
            if time.monotonic() - self._heard_s > FEEDBACK_TIMEOUT_S:
                raise GoalFailed(
                    f"no feedback from the docking server for {FEEDBACK_TIMEOUT_S:g} s: it died"
                )
        answer = future.result()
        if answer.status == GoalStatus.STATUS_UNKNOWN:
            raise GoalFailed("the docking server no longer knows the goal: it was restarted")
        return answer.result

    def _cancel(self, handle: ClientGoalHandle) -> None:
        """Ask the server to stop, and see it through as far as it still answers."""
        try:
            wait_for_result(self._node, handle.cancel_goal_async(), CANCEL_TIMEOUT_S)
            wait_for_result(self._node, handle.get_result_async(), CANCEL_TIMEOUT_S)
        except WaitTimeout:
            self._node.get_logger().warning("the docking server did not confirm the cancellation")
