"""One goal of each action: what it asks for, how it is driven, and what is reported about it."""

from __future__ import annotations

import math
from typing import Any, Protocol

from rclpy.duration import Duration

from vla_policy_node.docking.dock_database import DockDatabase
from vla_policy_node.docking.goal import Outcome, Phase, Situation
from vla_policy_node.docking.goal_progress import GoalProgress
from vla_policy_node.docking.progress import DockingProgress
from vla_policy_node.docking.request import (
    DockingRequest,
    check_words,
    docking_rules,
    undocking_rules,
)
from vla_policy_node.docking.staging import StagingGoal
from vla_policy_node.docking.undocking_progress import UndockingProgress
from vla_policy_node.errors import (
    DockTimeout,
    FailedToControl,
    FailedToDetectDock,
    PolicyUnsure,
    UnknownFault,
)
from vla_policy_node.parameters import PolicyParameters
from vla_policy_node.policy_stack import PolicyStack
from vla_policy_node.ros_messages import stream_statuses


class GoalTask(Protocol):
    """One goal, from its request to its result. Made before it is its turn to drive.

    Attributes:
        instruction: what it is about, in words.
        staging: where the robot has to be first, None for here.
        needs_policy: whether chunks are wanted.
        warnings: what a person should know of the request.
    """

    instruction: str
    staging: StagingGoal | None
    needs_policy: bool
    warnings: list[str]

    def start(self, now_ns: int) -> GoalProgress:
        """The state machine, begun now."""

    def feedback(self, situation: Situation) -> Any:
        """The feedback message."""

    def result(self, outcome: Outcome) -> Any:
        """The result message."""


class DockTask:
    """A goal of `Dock` or of Nav2's `DockRobot`.

    Args:
        action_type: class of the action.
        goal: its message.
        parameters: of the node.
        database: stations by name.
        stack: what drives.

    Raises:
        DockingError: it cannot be served.
    """

    needs_policy = True

    def __init__(
        self,
        action_type: Any,
        goal: Any,
        parameters: PolicyParameters,
        database: DockDatabase,
        stack: PolicyStack,
    ) -> None:
        self._type = action_type
        self._stack = stack
        self._progress: DockingProgress | None = None
        request = DockingRequest.from_goal(
            goal, database, parameters.default_instruction, parameters.staging_distance_m
        )
        self.instruction = request.instruction
        self.staging = request.staging
        self.warnings = check_words(self.instruction, stack.bundle)
        self._rules = docking_rules(goal, parameters)

    def start(self, now_ns: int) -> DockingProgress:
        """The state machine, begun now."""
        self._progress = DockingProgress(self._rules, now_ns)
        return self._progress

    def feedback(self, situation: Situation) -> Any:
        """The feedback message."""
        progress = self._progress
        return filled(
            self._type.Feedback,
            state=int(progress.phase if progress else Phase.NAV_TO_STAGING_POSE),
            docking_time=Duration(
                seconds=max(progress.elapsed_s if progress else 0.0, 0.0)
            ).to_msg(),
            num_retries=progress.num_retries if progress else 0,
            distance_m=progress.distance_m if progress else math.nan,
            inference_latency_s=self._stack.inference.state.latency_s,
            buffer_depth=self._stack.control.buffer_depth(situation.now_ns),
            streams=stream_statuses(situation.streams),
        )

    def result(self, outcome: Outcome) -> Any:
        """The result message."""
        progress = self._progress
        pose = progress.dock_from_base if progress else None
        return filled(
            self._type.Result,
            success=outcome.success,
            error_code=error_code(self._type, outcome),
            num_retries=progress.num_retries if progress else 0,
            error_msg="" if outcome.success else outcome.reason,
            termination_reason=outcome.reason,
            longitudinal_error_m=pose.x if pose else math.nan,
            lateral_error_m=pose.y if pose else math.nan,
            yaw_error_rad=pose.yaw if pose else math.nan,
            contact_speed_mps=progress.contact_speed_mps if progress else math.nan,
            docking_time_s=progress.elapsed_s if progress else 0.0,
        )


class UndockTask:
    """A goal of `Undock` or of Nav2's `UndockRobot`; arguments as of `DockTask`."""

    needs_policy = False

    def __init__(
        self,
        action_type: Any,
        goal: Any,
        parameters: PolicyParameters,
        database: DockDatabase,
        _stack: PolicyStack,
    ) -> None:
        self._type = action_type
        self._progress: UndockingProgress | None = None
        self.instruction = "undock"
        self.staging = None
        self.warnings: list[str] = []
        self._rules = undocking_rules(goal, parameters, database)

    def start(self, now_ns: int) -> UndockingProgress:
        """The state machine, begun now."""
        self._progress = UndockingProgress(self._rules, now_ns)
        return self._progress

    def feedback(self, situation: Situation) -> Any:
        """The feedback message."""
        progress = self._progress
        if progress is None:
            return self._type.Feedback()
        rear = situation.rear
        return filled(
            self._type.Feedback,
            state=int(progress.phase),
            undocking_time=Duration(seconds=max(progress.elapsed_s, 0.0)).to_msg(),
            backed_m=progress.backed_m,
            distance_m=progress.to_go_m,
            rear_free_m=rear.free_m if rear.covered or math.isfinite(rear.free_m) else math.nan,
            streams=stream_statuses(situation.streams),
        )

    def result(self, outcome: Outcome) -> Any:
        """The result message."""
        progress = self._progress
        return filled(
            self._type.Result,
            success=outcome.success,
            error_code=error_code(self._type, outcome),
            error_msg="" if outcome.success else outcome.reason,
            backed_m=progress.backed_m if progress else 0.0,
            undocking_time_s=progress.elapsed_s if progress else 0.0,
            termination_reason=outcome.reason,
        )


def error_code(action_type: Any, outcome: Outcome) -> int:
    """The code of an outcome, in the numbers that the action has.

    Nav2's actions have no numbers of our own, and older ones no TIMEOUT: there a timeout counts as
    905, as with Nav2's own server of that time, a policy that doubts itself counts as 904, and what
    it has no word for as 999.
    """
    if outcome.error is None:
        return int(action_type.Result.NONE)
    result = action_type.Result
    known = {getattr(result, name) for name in dir(type(result)) if name.isupper()}
    if outcome.error.code in known:
        return outcome.error.code
    if isinstance(outcome.error, DockTimeout):
        return FailedToControl.code
    unsure = isinstance(outcome.error, PolicyUnsure)
    return FailedToDetectDock.code if unsure else UnknownFault.code


def filled(message_type: Any, **values: Any) -> Any:
    """A message with those of the values that it has a field for."""
    fields = message_type.get_fields_and_field_types()
    return message_type(**{name: value for name, value in values.items() if name in fields})
