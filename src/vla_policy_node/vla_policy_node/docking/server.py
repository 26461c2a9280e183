"""The actions `dock` and `undock`: take goals, let a state machine judge each, and report."""

from __future__ import annotations

import importlib
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from vla_msgs.action import Dock, Undock

from vla_policy_node.docking.dock_database import DockDatabase
from vla_policy_node.docking.goal import Motion, Outcome
from vla_policy_node.docking.goal_tasks import DockTask, GoalTask, UndockTask, error_code, filled
from vla_policy_node.docking.goal_turns import GoalTurns, Turn
from vla_policy_node.docking.request import verification_limits
from vla_policy_node.docking.staging import Staging
from vla_policy_node.errors import Canceled, DockingError, UnknownFault
from vla_policy_node.parameters import PolicyParameters, read_parameters

if TYPE_CHECKING:
    from rclpy.action.server import ServerGoalHandle
    from rclpy.node import Node

    from vla_policy_node.policy_stack import PolicyStack

_PERIOD_S = 0.05
_STEPS_PER_FEEDBACK = 2  # 10 Hz
_END_TIMEOUT_S = 2.0


class DockServer:
    """Serves docking and undocking goals, one at a time.

    A goal is rejected while the node is not active. One that cannot be served is accepted and
    aborted, since only a result can say why; it disturbs no other. One that can be served takes
    over from the goal that runs, whichever action that came by: the robot brakes to a standstill,
    the old goal is aborted as pre-empted, and the new one begins.

    Args:
        node: whose actions they are.
        stack: what drives the robot.
        is_active: whether goals are welcome.
        fault: why the node itself gives up on every goal, None while it does not.
        person_drives: whether a person has taken the robot over: a docking waits for them.

    Raises:
        DatabaseError: the dock database cannot be read.
    """

    def __init__(
        self,
        node: Node,
        stack: PolicyStack,
        is_active: Callable[[], bool],
        fault: Callable[[], DockingError | None] = lambda: None,
        person_drives: Callable[[], bool] = lambda: False,
    ) -> None:
        self._node = node
        self._stack = stack
        self._is_active = is_active
        self._fault = fault
        self._person_drives = person_drives
        self._log = node.get_logger()
        self._turns = GoalTurns()
        self._database = DockDatabase.load(stack.parameters.dock_database)
        self.instruction = ""
        actions: list[tuple[Any, str, Any]] = [
            (Dock, "dock", DockTask),
            (Undock, "undock", UndockTask),
        ]
        nav2 = nav2_actions()
        self._staging = Staging(node, nav2)
        if nav2 is not None and stack.parameters.nav2_actions:
            actions += [
                (nav2.DockRobot, "dock_robot", DockTask),
                (nav2.UndockRobot, "undock_robot", UndockTask),
            ]
        self._servers = [self._serve(*action) for action in actions]

    def _serve(self, action_type: Any, name: str, task: Any) -> ActionServer:
        return ActionServer(
            self._node,
            action_type,
            name,
            execute_callback=partial(self._execute, action_type, task),
            goal_callback=partial(self._on_goal, name),
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    @property
    def busy(self) -> bool:
        """Whether a goal runs."""
        return self._turns.busy

    def wait_until_idle(self) -> None:
        """Wait for the end of the running goal, which ends by itself once the node is inactive."""
        if not self._turns.wait_until_idle(_END_TIMEOUT_S):
            self._log.error(f"the goal did not end within {_END_TIMEOUT_S:g} s")

    def destroy(self) -> None:
        """Take the actions down."""
        for server in self._servers:
            server.destroy()
        self._staging.destroy()

    def _on_goal(self, name: str, _goal: Any) -> GoalResponse:
        if self._is_active():
            return GoalResponse.ACCEPT
        self._log.warning(f"goal of {name} rejected: the node is not active")
        return GoalResponse.REJECT

    def _on_accepted(self, goal_handle: ServerGoalHandle) -> None:
        # Not in _on_goal: a goal whose client is gone by then is never executed.
        self._turns.open()
        goal_handle.execute()

    def _on_cancel(self, _goal_handle: ServerGoalHandle) -> CancelResponse:
        return CancelResponse.ACCEPT

    def _execute(self, action_type: Any, make_task: Any, goal_handle: ServerGoalHandle) -> Any:
        task: GoalTask | None = None
        try:
            parameters = read_parameters(self._node)
            task = make_task(
                action_type, goal_handle.request, parameters, self._database, self._stack
            )
            for warning in task.warnings:
                self._log.warning(warning)
            outcome = self._drive(goal_handle, task, parameters)
            explanation = self._stack.interventions.explanation()
            if explanation and not outcome.success:
                outcome = replace(outcome, reason=f"{outcome.reason}; {explanation}")
        except DockingError as error:
            outcome = Outcome.failure(error)
        except Exception as error:
            self._log.error(f"goal failed: {error}\n{traceback.format_exc()}")
            outcome = Outcome.failure(UnknownFault(f"internal error: {error}"))
        try:
            self._end(goal_handle, outcome)
            return task.result(outcome) if task else _refusal(action_type, outcome)
        finally:
            self._turns.close()

    def _drive(
        self, goal_handle: ServerGoalHandle, task: GoalTask, parameters: PolicyParameters
    ) -> Outcome:
        interruption = partial(self._interruption, goal_handle)
        with self._turns.take(f"'{task.instruction}'", interruption) as turn:
            self._log.info(f"goal: '{task.instruction}'")
            self.instruction = task.instruction
            self._stage(goal_handle, task, parameters, turn)
            self._stack.begin(task.instruction if task.needs_policy else None, parameters)
            try:
                return self._follow(goal_handle, task, parameters, turn)
            finally:
                self._stack.end(parameters.zero_hold_s)

    def _stage(
        self,
        goal_handle: ServerGoalHandle,
        task: GoalTask,
        parameters: PolicyParameters,
        turn: Turn,
    ) -> None:
        """Have the robot brought in front of the station, if the goal wants that.

        Raises:
            DockingError: it did not get there, or the goal was interrupted.
        """
        if task.staging is None:
            return
        limits = verification_limits(parameters, self._stack.contract)
        if self._stack.situation(limits, None).charging:
            return  # docked already, or so it seems: judged from where it stands
        self._log.info(f"to the staging pose {task.staging.pose} in {task.staging.frame}")
        self._staging.go(
            task.staging,
            lambda: self._interruption(goal_handle) or turn.interruption(),
            lambda: goal_handle.publish_feedback(
                task.feedback(self._stack.situation(limits, None))
            ),
        )

    def _follow(
        self,
        goal_handle: ServerGoalHandle,
        task: GoalTask,
        parameters: PolicyParameters,
        turn: Turn,
    ) -> Outcome:
        limits = verification_limits(parameters, self._stack.contract)
        progress = task.start(self._node.get_clock().now().nanoseconds)
        step, note, in_hands = 0, "", False
        while True:
            situation = replace(
                self._stack.situation(
                    limits, self._interruption(goal_handle) or turn.interruption()
                ),
                person_drives=self._person_drives(),
            )
            if situation.person_drives != in_hands:
                in_hands = situation.person_drives
                self._log.info(
                    "a person has taken over: the goal and its time stand still"
                    if in_hands
                    else "given back: the goal goes on"
                )
            motion = progress.update(situation)
            if progress.note != note:
                note = progress.note
                self._log.info(f"backing: {note or 'the scan sees the way free'}")
            linear_mps, turn_radps = progress.back_off
            self._stack.control.set_motion(motion, -linear_mps, turn_radps)
            if motion is Motion.STOP:
                self._stack.inference.end()
            if step % _STEPS_PER_FEEDBACK == 0:
                goal_handle.publish_feedback(task.feedback(situation))
            if progress.outcome is not None:
                return progress.outcome
            step += 1
            time.sleep(_PERIOD_S)

    def _interruption(self, goal_handle: ServerGoalHandle) -> DockingError | None:
        if not self._is_active():
            return UnknownFault("the node is no longer active")
        if goal_handle.is_cancel_requested:
            return Canceled("canceled by the client")
        return self._fault()

    def _end(self, goal_handle: ServerGoalHandle, outcome: Outcome) -> None:
        if outcome.success:
            goal_handle.succeed()
            self._log.info(outcome.reason)
        elif outcome.canceled:
            goal_handle.canceled()
            self._log.info(f"goal {outcome.reason}")
        else:
            goal_handle.abort()
            self._log.warning(f"goal failed: {outcome.reason}")


def nav2_actions() -> Any:
    """The module of Nav2's actions, None where nav2_msgs is not installed."""
    try:
        return importlib.import_module("nav2_msgs.action")
    except ModuleNotFoundError:
        return None


def _refusal(action_type: Any, outcome: Outcome) -> Any:
    return filled(
        action_type.Result,
        success=False,
        error_code=error_code(action_type, outcome),
        error_msg=outcome.reason,
        termination_reason=outcome.reason,
        longitudinal_error_m=math.nan,
        lateral_error_m=math.nan,
        yaw_error_rad=math.nan,
        contact_speed_mps=math.nan,
    )
