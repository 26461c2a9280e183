"""The robots of the simulator node: the topics of each, and what each was told last."""

import re
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile

from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.ros.publishers import RobotPublishers

Command: TypeAlias = Twist | TwistStamped
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")


class SimulatedRobot:
    """One robot: publishers, the subscription to its commands, the newest of them.

    Attributes:
        name: namespace of its topics below the node's, empty for a lone robot.
        env: its environment.
        topics: what it publishes.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        env: DockingEnv,
        command_type: type[Command],
        on_command: Callable[["SimulatedRobot", Command], None],
        *,
        clock: bool,
    ) -> None:
        """Create the topics.

        Args:
            node: whose topics they are.
            name: namespace of the topics, or empty.
            env: the robot's environment.
            command_type: message type of cmd_vel.
            on_command: called with this robot and each message.
            clock: whether it publishes /clock, too.
        """
        self.name = name
        self.env = env
        self.topics = RobotPublishers(node, clock=clock, namespace=name)
        self._node = node
        self._subscription = node.create_subscription(
            command_type,
            f"{name}/cmd_vel" if name else "cmd_vel",
            lambda message: on_command(self, message),
            QoSProfile(depth=10),
        )
        self.stop()

    def stop(self) -> None:
        """Forget the newest command; the robot stands."""
        self._command = np.zeros(2)
        self._command_time_s = 0.0

    def tell(self, command: np.ndarray) -> None:
        """Take a command: (2,) forward speed [m/s] and turning rate [rad/s]."""
        self._command = command
        self._command_time_s = time.monotonic()

    def command(self, now_s: float, timeout_s: float) -> np.ndarray:
        """The newest command, or standstill where it is older than `timeout_s`."""
        if now_s - self._command_time_s > timeout_s:
            return np.zeros(2)
        return self._command

    def destroy(self) -> None:
        """Take the topics down."""
        self.topics.destroy()
        self._node.destroy_subscription(self._subscription)


def robot_names(text: str) -> tuple[str, ...]:
    """Names of the robots as the parameter has them: one empty name where it is empty.

    Raises:
        SimulationError: a name is no ROS namespace, or is there twice.
    """
    if not text.strip():
        return ("",)
    names = tuple(part.strip().strip("/") for part in text.split(","))
    wrong = [name for name in names if not _NAME.fullmatch(name)]
    if wrong or len(set(names)) != len(names):
        raise SimulationError(
            f"robots is '{text}', expected different namespaces separated by commas, e.g. "
            "'robot_1,robot_2'"
        )
    return names


def finite_command(message: Command) -> np.ndarray | None:
    """(2,) forward speed [m/s] and turning rate [rad/s] of a message; None if not finite."""
    twist = message.twist if isinstance(message, TwistStamped) else message
    command = np.array([twist.linear.x, twist.angular.z])
    return command if np.isfinite(command).all() else None
