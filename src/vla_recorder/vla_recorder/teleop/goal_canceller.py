"""Ends whatever drives the robot towards a goal: docking, undocking, navigation."""

from __future__ import annotations

from typing import Final

from action_msgs.srv import CancelGoal
from rclpy.client import Client
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

_CANCEL: Final = "/_action/cancel_goal"
_TYPE: Final = "action_msgs/srv/CancelGoal"


class GoalCanceller:
    """Knows the actions of a robot: those right in the namespace of the node.

    Private ones of a node (`~/record_episode`) do not move a robot and are left alone.
    """

    def __init__(self, node: Node) -> None:
        """Know none yet.

        Args:
            node: owns the clients.
        """
        self._node = node
        self._clients: dict[str, Client | None] = {}

    @property
    def actions(self) -> list[str]:
        """The actions that are known and there, as absolute names."""
        ready = [n for n, client in self._clients.items() if client and client.service_is_ready()]
        return sorted(name.removesuffix(_CANCEL) for name in ready)

    def refresh(self) -> None:
        """Look for actions that have come; a client needs a moment before it is heard."""
        namespace = self._node.get_namespace().rstrip("/") + "/"
        for name, types in self._node.get_service_names_and_types():
            action = name.removesuffix(_CANCEL).removeprefix(namespace)
            is_own = name == f"{namespace}{action}{_CANCEL}" and "/" not in action
            if is_own and _TYPE in types and name not in self._clients:
                self._clients[name] = self._create(name)

    def cancel(self) -> list[str]:
        """Cancel every goal of every action; without an answer, since nothing waits for it.

        Returns:
            The actions, as absolute names.
        """
        actions = self.actions
        for action in actions:
            client = self._clients[action + _CANCEL]
            if client is not None:
                client.call_async(CancelGoal.Request())  # no identifier: all goals
        return actions

    def _create(self, name: str) -> Client | None:
        try:
            return self._node.create_client(CancelGoal, name)
        except rclpy_implementation.RCLError as error:  # SROS2 forbids it
            self._node.get_logger().warning(f"goals of {name} cannot be cancelled: {error}")
            return None
