"""Sends a docking goal and follows it: behind ``vla dock``, the demo and the launch argument.

As the executable ``dock_client`` it is one node of a graph: it waits until the lifecycle manager
reports that everything is active, docks once, and ends.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from vla_msgs.action import Dock, Undock

from vla_bringup.dock_display import (
    ProgressPrinter,
    describe_feedback,
    describe_result,
    describe_undocking,
)
from vla_bringup.goal_client import GoalClient
from vla_bringup.preflight import current_domain_id
from vla_bringup.recording_client import RecordingClient
from vla_bringup.waiting import wait_until_active
from vla_core.errors import VlaError

DOCK_ACTION: Final = "dock"
UNDOCK_ACTION: Final = "undock"


class DockClient:
    """Docks and undocks by the actions of the policy node.

    Attributes:
        node: owns the clients; its caller creates and destroys it.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._dock = GoalClient(node, Dock, DOCK_ACTION)
        self._undock = GoalClient(node, Undock, UNDOCK_ACTION)

    def dock(
        self,
        instruction: str,
        *,
        timeout_s: float = 0.0,
        server_timeout_s: float = 10.0,
        on_feedback: Callable[[Dock.Feedback], None] | None = None,
    ) -> Dock.Result:
        """Dock once; an exception that ends the wait (Ctrl-C, say) cancels the goal.

        Args:
            instruction: what the policy is told.
            timeout_s: longest docking; 0 leaves it to the server.
            server_timeout_s: how long to look for the server.
            on_feedback: called with every feedback message.

        Returns:
            The result, whether the robot docked or not.

        Raises:
            GoalFailed: no server, goal refused, or the server fell silent.
        """
        goal = Dock.Goal(instruction=instruction, timeout_s=float(timeout_s))
        goal.use_dock_id = False
        goal.navigate_to_staging_pose = False
        return self._dock.run(goal, server_timeout_s=server_timeout_s, on_feedback=on_feedback)

    def undock(
        self,
        *,
        distance_m: float = 0.0,
        timeout_s: float = 30.0,
        server_timeout_s: float = 10.0,
        on_feedback: Callable[[Undock.Feedback], None] | None = None,
    ) -> Undock.Result:
        """Back out of the dock; as `dock`.

        Args:
            distance_m: way out; 0 leaves it to the server.
            timeout_s: longest undocking.
            server_timeout_s: how long to look for the server.
            on_feedback: called with every feedback message.
        """
        goal = Undock.Goal(distance_m=float(distance_m), max_undocking_time=float(timeout_s))
        return self._undock.run(goal, server_timeout_s=server_timeout_s, on_feedback=on_feedback)


# ---------------------------------------------------------------------- one docking


@dataclass(frozen=True)
class Docking:
    """How one docking went.

    Attributes:
        result: of the action.
        bag: its recording, if one was asked for.
    """

    result: Dock.Result
    bag: Path | None = None


def dock_with(
    node: Node,
    instruction: str,
    *,
    timeout_s: float = 0.0,
    server_timeout_s: float = 10.0,
    record: bool = False,
    show_progress: bool = True,
) -> Docking:
    """Dock, recording it if asked to.

    Raises:
        VlaError: the policy node or the recorder cannot be asked.
    """
    recording = RecordingClient(node) if record else None
    if recording is not None:
        recording.start(instruction)
    progress = ProgressPrinter(describe_feedback) if show_progress else None
    result, bag = None, None
    try:
        result = DockClient(node).dock(
            instruction,
            timeout_s=timeout_s,
            server_timeout_s=server_timeout_s,
            on_feedback=progress,
        )
    finally:
        if progress is not None:
            progress.finish()
        if recording is not None:
            bag = recording.stop(success=result is not None and result.success)
    return Docking(result, bag)


def dock_once(
    instruction: str,
    *,
    timeout_s: float = 0.0,
    server_timeout_s: float = 10.0,
    namespace: str = "",
    record: bool = False,
    show_progress: bool = True,
) -> Docking:
    """`dock_with` a node that lives as long as the call; SIGINT and SIGTERM cancel the goal.

    Raises:
        VlaError: the policy node or the recorder cannot be asked.
        KeyboardInterrupt: SIGINT or SIGTERM, once the goal is cancelled.
    """
    with _client_node(namespace) as node:
        return dock_with(
            node,
            instruction,
            timeout_s=timeout_s,
            server_timeout_s=server_timeout_s,
            record=record,
            show_progress=show_progress,
        )


def undock_once(
    *,
    distance_m: float = 0.0,
    timeout_s: float = 30.0,
    server_timeout_s: float = 10.0,
    namespace: str = "",
    show_progress: bool = True,
) -> Undock.Result:
    """Back out of the dock; SIGINT and SIGTERM cancel the goal.

    Raises:
        VlaError: the policy node cannot be asked.
        KeyboardInterrupt: SIGINT or SIGTERM, once the goal is cancelled.
    """
    progress = ProgressPrinter(describe_undocking) if show_progress else None
    with _client_node(namespace) as node:
        try:
            return DockClient(node).undock(
                distance_m=distance_m,
                timeout_s=timeout_s,
                server_timeout_s=server_timeout_s,
                on_feedback=progress,
            )
        finally:
            if progress is not None:
                progress.finish()


@contextmanager
def _client_node(namespace: str) -> Iterator[Node]:
    _initialize()
    node = Node("dock_client", namespace=namespace or None)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


# ---------------------------------------------------------------------- the executable


def main() -> int:
    """Dock once by parameters; 0 if the robot docked."""
    node: Node | None = None
    try:
        _initialize()
        node = Node("dock_client")
        instruction, record, timeout_s, startup_s = declare_parameters(node)
        wait_until_active(node, startup_s)
        docking = dock_with(node, instruction, timeout_s=timeout_s, record=record)
    except VlaError as error:
        sys.stderr.write(f"dock_client: error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    if docking.bag is not None:
        sys.stdout.write(f"recorded {docking.bag}\n")
    if not docking.result.success:
        sys.stderr.write(f"dock_client: error: {describe_result(docking.result)}\n")
        return 1
    sys.stdout.write(f"{describe_result(docking.result)}\n")
    return 0


def _initialize() -> None:
    """Start rclpy, with SIGINT and SIGTERM as KeyboardInterrupt.

    Raises:
        PreflightError: ROS_DOMAIN_ID is no domain; the middleware would end the process.
    """
    current_domain_id()
    # rclpy's own handlers would shut the context down before the goal could be cancelled.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _interrupt)


def _interrupt(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def declare_parameters(node: Node) -> tuple[str, bool, float, float]:
    """Declare the parameters.

    Returns:
        instruction, whether to record, longest docking [s], longest wait for the graph [s].
    """
    return (
        _declare(node, "instruction", "", "what the policy is told"),
        _declare(node, "record", False, "record the docking with the graph's recorder"),
        _declare(node, "timeout_s", 0.0, "longest docking [s]; 0: the server's default"),
        _declare(node, "startup_timeout_s", 120.0, "longest wait for the graph [s]"),
    )


def _declare(node: Node, name: str, default: Any, description: str) -> Any:
    descriptor = ParameterDescriptor(description=description, read_only=True)
    return node.declare_parameter(name, default, descriptor).value


if __name__ == "__main__":
    sys.exit(main())
