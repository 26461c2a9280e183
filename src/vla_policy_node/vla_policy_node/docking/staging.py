"""Has Nav2 drive the robot in front of a station, where a goal asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup

from vla_core.geometry import Pose2D
from vla_policy_node.errors import DockingError, FailedToStage

if TYPE_CHECKING:
    from rclpy.action.client import ClientGoalHandle
    from rclpy.node import Node
    from rclpy.task import Future

_ACTION = "navigate_to_pose"
_PERIOD_S = 0.1
_SERVER_TIMEOUT_S = 2.0
_CANCEL_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class StagingGoal:
    """Where a docking begins.

    Attributes:
        frame: of the pose.
        pose: of the base, in front of the station.
        timeout_s: longest way there.
    """

    frame: str
    pose: Pose2D
    timeout_s: float


class Staging:
    """A client of Nav2's navigator.

    Args:
        node: owns the client.
        actions: module of Nav2's actions, None where nav2_msgs is not installed.
    """

    def __init__(self, node: Node, actions: Any) -> None:
        self._node = node
        self._type: Any = getattr(actions, "NavigateToPose", None)
        self._client = self._type and ActionClient(
            node, self._type, _ACTION, callback_group=ReentrantCallbackGroup()
        )

    def destroy(self) -> None:
        """Take the client down."""
        if self._client is not None:
            self._client.destroy()

    def go(
        self,
        goal: StagingGoal,
        interruption: Callable[[], DockingError | None],
        on_wait: Callable[[], object],
    ) -> None:
        """Have the robot driven there, and wait for it.

        Args:
            goal: where to.
            interruption: why to give up, asked again and again.
            on_wait: called ten times a second.

        Raises:
            FailedToStage: it did not get there.
            DockingError: the interruption; the navigator has been told to stop.
        """
        if self._client is None:
            raise FailedToStage(
                "navigate_to_staging_pose needs Nav2, and nav2_msgs is not installed; bring the "
                "robot in front of the station and set it to false"
            )
        if not self._client.wait_for_server(_SERVER_TIMEOUT_S):
            raise FailedToStage(f"no navigator on action {_ACTION}; start Nav2")
        end_s = time.monotonic() + goal.timeout_s
        handle = self._wait(self._client.send_goal_async(self._message(goal)), end_s, interruption)
        if handle is None or not handle.accepted:
            raise FailedToStage(f"the navigator on {_ACTION} refused the staging pose")
        result = handle.get_result_async()
        try:
            answer = self._wait(result, end_s, interruption, on_wait)
        except DockingError:
            self._cancel(handle, result)
            raise
        if answer is None:
            self._cancel(handle, result)
            raise FailedToStage(f"not in front of the station within {goal.timeout_s:g} s")
        if answer.status != GoalStatus.STATUS_SUCCEEDED:
            code = getattr(answer.result, "error_code", 0)
            reason = getattr(answer.result, "error_msg", "") or f"its error code is {code}"
            raise FailedToStage(f"the navigator did not reach the staging pose: {reason}")

    def _message(self, goal: StagingGoal) -> Any:
        pose = PoseStamped()
        pose.header.frame_id = goal.frame
        pose.pose.position.x, pose.pose.position.y = goal.pose.x, goal.pose.y
        *_, pose.pose.orientation.z, pose.pose.orientation.w = goal.pose.quaternion()
        return self._type.Goal(pose=pose)

    @staticmethod
    def _wait(
        future: Future,
        end_s: float,
        interruption: Callable[[], DockingError | None],
        on_wait: Callable[[], object] = lambda: None,
    ) -> Any:
        """The future's result, None when the time is over."""
        while not future.done():
            error = interruption()
            if error is not None:
                raise error
            if time.monotonic() > end_s:
                return None
            on_wait()
            time.sleep(_PERIOD_S)
        return future.result()

    def _cancel(self, handle: ClientGoalHandle, result: Future) -> None:
        handle.cancel_goal_async()
        if self._wait(result, time.monotonic() + _CANCEL_TIMEOUT_S, lambda: None) is None:
            self._node.get_logger().error("the navigator does not answer; it may still drive")
