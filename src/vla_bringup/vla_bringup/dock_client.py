"""Sends a docking goal and follows it: behind ``vla dock``, the demo and the launch argument.

As the executable ``dock_client`` it is one node of a graph: it waits until the lifecycle manager
reports that everything is active, docks once, and ends.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import rclpy
from action_msgs.msg import GoalStatus
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from vla_msgs.action import Dock

from vla_bringup.dock_display import ProgressPrinter, describe_result
from vla_bringup.preflight import current_domain_id
from vla_bringup.recording_client import RecordingClient
from vla_bringup.waiting import (
    WaitTimeout,
    wait_for_action_server,
    wait_for_result,
    wait_until_active,
)
from vla_core.errors import VlaError

ACTION_NAME: Final = "dock"
CANCEL_TIMEOUT_S: Final = 3.0
# Silence after which the policy node counts as dead; its feedback comes several times a second.
FEEDBACK_TIMEOUT_S: Final = 15.0


class DockingFailed(VlaError):  # noqa: N818 (an outcome, not a mistake)
    """The robot did not dock, or nobody could be asked to."""


class DockClient:
    """A client of the Dock action.

    Attributes:
        node: owns the client; its caller creates and destroys it.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._client = ActionClient(node, Dock, ACTION_NAME)
        self._heard_s = 0.0

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
            DockingFailed: no server, goal refused, or the server fell silent.
        """
        if not self._find_server(server_timeout_s):
            raise DockingFailed(
                f"no docking server on action {self._full_name()} within {server_timeout_s:g} s; "
                "start one (vla up dock) in the same ROS_DOMAIN_ID"
            )
        goal = Dock.Goal(instruction=instruction, timeout_s=float(timeout_s))
        goal.use_dock_id = False
        goal.navigate_to_staging_pose = False
        handle = self._send(goal, on_feedback)
        try:
            return self._follow(handle)
        except BaseException:
            self._cancel(handle)
            raise

    def _find_server(self, timeout_s: float) -> bool:
        if self._client.server_is_ready():
            return True
        sys.stderr.write(f"waiting for a docking server on {self._full_name()} ...\n")
        return wait_for_action_server(self.node, self._client, timeout_s)

    def _full_name(self) -> str:
        return f"{self.node.get_namespace().rstrip('/')}/{ACTION_NAME}"

    def _send(
        self, goal: Dock.Goal, on_feedback: Callable[[Dock.Feedback], None] | None
    ) -> ClientGoalHandle:
        def hear(message: Any) -> None:
            self._heard_s = time.monotonic()
            if on_feedback is not None:
                on_feedback(message.feedback)

        future = self._client.send_goal_async(goal, feedback_callback=hear)
        try:
            handle: ClientGoalHandle = wait_for_result(self.node, future, 5.0)
        except WaitTimeout as error:
            raise DockingFailed(
                f"the docking server on {self._full_name()} does not answer; is it overloaded?"
            ) from error
        if not handle.accepted:
            raise DockingFailed(
                f"the docking server on {self._full_name()} refused the goal: the policy node is "
                "not active, is docking already, or cannot use the instruction; its log says which"
            )
        return handle

    def _follow(self, handle: ClientGoalHandle) -> Dock.Result:
        future = handle.get_result_async()
        self._heard_s = time.monotonic()
        while not future.done():
            rclpy.spin_once(self.node, timeout_sec=0.1)
            if time.monotonic() - self._heard_s > FEEDBACK_TIMEOUT_S:
                raise DockingFailed(
                    f"no feedback from the docking server for {FEEDBACK_TIMEOUT_S:g} s: it died"
                )
        answer = future.result()
        if answer.status == GoalStatus.STATUS_UNKNOWN:
            raise DockingFailed("the docking server no longer knows the goal: it was restarted")
        return answer.result

    def _cancel(self, handle: ClientGoalHandle) -> None:
        """Ask the server to stop, and see it through as far as it still answers."""
        try:
            wait_for_result(self.node, handle.cancel_goal_async(), CANCEL_TIMEOUT_S)
            wait_for_result(self.node, handle.get_result_async(), CANCEL_TIMEOUT_S)
        except WaitTimeout:
            self.node.get_logger().warning("the docking server did not confirm the cancellation")


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
    progress = ProgressPrinter() if show_progress else None
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
    _initialize()
    node = Node("dock_client", namespace=namespace or None)
    try:
        return dock_with(
            node,
            instruction,
            timeout_s=timeout_s,
            server_timeout_s=server_timeout_s,
            record=record,
            show_progress=show_progress,
        )
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
        instruction = _declare(node, "instruction", "", "what the policy is told")
        record = _declare(node, "record", False, "record the docking with the graph's recorder")
        timeout_s = _declare(node, "timeout_s", 0.0, "longest docking [s]; 0: the server's default")
        startup_s = _declare(node, "startup_timeout_s", 120.0, "longest wait for the graph [s]")
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


def _declare(node: Node, name: str, default: Any, description: str) -> Any:
    descriptor = ParameterDescriptor(description=description, read_only=True)
    return node.declare_parameter(name, default, descriptor).value


if __name__ == "__main__":
    sys.exit(main())
