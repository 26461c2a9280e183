"""The `dock` action: takes a goal, lets the state machine judge it, and reports."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.duration import Duration
from vla_msgs.action import Dock

from vla_core.docking import DockTolerance
from vla_core.language import words_of
from vla_policy_node.docking_goal import DockingRules, Motion, Outcome
from vla_policy_node.docking_progress import DockingProgress
from vla_policy_node.errors import DockingError, DockNotInDatabase, DockNotValid, UnknownFault
from vla_policy_node.parameters import PolicyParameters, read_parameters
from vla_policy_node.ros_messages import stream_statuses
from vla_policy_node.verification import VerificationLimits

if TYPE_CHECKING:
    from rclpy.action.server import ServerGoalHandle
    from rclpy.node import Node

    from vla_policy_node.docking_goal import Situation
    from vla_policy_node.policy_stack import PolicyStack

_PERIOD_S = 0.05
_STEPS_PER_FEEDBACK = 2  # 10 Hz
_END_TIMEOUT_S = 2.0


class DockServer:
    """Serves one docking goal at a time.

    A goal is rejected while the node is not active or another goal runs: the client cancels that
    one first. A goal that cannot be served is accepted and aborted, since only a result can say
    why.

    Args:
        node: whose action it is.
        stack: what drives the robot.
        is_active: whether goals are welcome.
    """

    def __init__(self, node: Node, stack: PolicyStack, is_active: Callable[[], bool]) -> None:
        self._node = node
        self._stack = stack
        self._is_active = is_active
        self._log = node.get_logger()
        self._idle = threading.Event()
        self._idle.set()
        self.instruction = ""
        self._server = ActionServer(
            node,
            Dock,
            "dock",
            execute_callback=self._execute,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    @property
    def busy(self) -> bool:
        """Whether a goal runs."""
        return not self._idle.is_set()

    def wait_until_idle(self) -> None:
        """Wait for the end of the running goal, which ends by itself once the node is inactive."""
        if not self._idle.wait(_END_TIMEOUT_S):
            self._log.error(f"the docking goal did not end within {_END_TIMEOUT_S:g} s")

    def destroy(self) -> None:
        """Take the action down."""
        self._server.destroy()

    def _on_goal(self, _goal: Dock.Goal) -> GoalResponse:
        if not self._is_active():
            self._log.warning("docking goal rejected: the node is not active")
            return GoalResponse.REJECT
        if self.busy:
            self._log.warning("docking goal rejected: another one runs; cancel it first")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, goal_handle: ServerGoalHandle) -> None:
        # Not in _on_goal: a goal whose client is gone by then is never executed. No other goal
        # comes in between, since the callback group takes one request at a time.
        self._idle.clear()
        goal_handle.execute()

    def _on_cancel(self, _goal_handle: ServerGoalHandle) -> CancelResponse:
        return CancelResponse.ACCEPT

    def _execute(self, goal_handle: ServerGoalHandle) -> Dock.Result:
        try:
            parameters = read_parameters(self._node)
            try:
                instruction = self._instruction(goal_handle.request, parameters)
                rules = _rules(goal_handle.request, parameters)
            except DockingError as error:
                return self._finish(goal_handle, Outcome(str(error), error=error), None)
            return self._dock(goal_handle, instruction, rules, parameters)
        except Exception as error:
            self._log.error(f"docking failed: {error}\n{traceback.format_exc()}")
            fault = UnknownFault(f"internal error: {error}")
            return self._finish(goal_handle, Outcome(str(fault), error=fault), None)
        finally:
            self._idle.set()

    def _dock(
        self,
        goal_handle: ServerGoalHandle,
        instruction: str,
        rules: DockingRules,
        parameters: PolicyParameters,
    ) -> Dock.Result:
        limits = VerificationLimits(
            battery_max_age_s=parameters.battery_max_age_s,
            pose_max_age_s=parameters.pose_max_age_s,
            charging_current_a=parameters.charging_current_a,
        )
        self._log.info(f"docking: '{instruction}', at most {rules.timeout_s:g} s")
        self.instruction = instruction
        progress = DockingProgress(rules, self._node.get_clock().now().nanoseconds)
        self._stack.begin(instruction)
        try:
            step = 0
            while progress.outcome is None:
                situation = self._stack.situation(
                    limits,
                    cancel_requested=goal_handle.is_cancel_requested,
                    stop_reason="" if self._is_active() else "the node is no longer active",
                )
                motion = progress.update(situation)
                self._stack.control.set_motion(motion, rules.retry_speed_mps)
                if motion is Motion.STOP:
                    self._stack.inference.end()
                if step % _STEPS_PER_FEEDBACK == 0:
                    goal_handle.publish_feedback(self._feedback(progress, situation))
                step += 1
                time.sleep(_PERIOD_S)
        finally:
            self._stack.end(parameters.zero_hold_s)
        return self._finish(goal_handle, progress.outcome, progress)

    def _instruction(self, goal: Dock.Goal, parameters: PolicyParameters) -> str:
        instruction = goal.instruction.strip() or parameters.default_instruction.strip()
        if not instruction and goal.use_dock_id and goal.dock_id:
            raise DockNotInDatabase(
                f"dock_id '{goal.dock_id}' is unknown: this server knows no stations by name; "
                "name the station in the instruction"
            )
        if not instruction:
            raise DockNotValid(
                "the goal has no instruction and the parameter default_instruction is empty; "
                "say where to dock, such as 'dock at the orange charger'"
            )
        bundle = self._stack.bundle
        if bundle.encoder_path is not None and words_of(instruction):
            # A language model knows more words than the demonstrations had.
            return instruction
        vocabulary = bundle.vocabulary
        if len(vocabulary.unknown_words(instruction)) == len(words_of(instruction)):
            known = ", ".join(vocabulary.words)
            raise DockNotValid(
                f"the policy knows no word of '{instruction}'; it knows {known or 'no words'}"
            )
        for problem in vocabulary.problems(instruction):
            self._log.warning(f"'{instruction}': {problem}")
        return instruction

    def _feedback(self, progress: DockingProgress, situation: Situation) -> Dock.Feedback:
        latency_s = self._stack.inference.state.latency_s
        return Dock.Feedback(
            state=int(progress.phase),
            docking_time=Duration(seconds=max(progress.elapsed_s, 0.0)).to_msg(),
            num_retries=progress.num_retries,
            distance_m=progress.distance_m,
            inference_latency_s=latency_s,
            buffer_depth=self._stack.control.buffer_depth(situation.now_ns),
            streams=stream_statuses(situation.streams),
        )

    def _finish(
        self, goal_handle: ServerGoalHandle, outcome: Outcome, progress: DockingProgress | None
    ) -> Dock.Result:
        if outcome.success:
            goal_handle.succeed()
            self._log.info(outcome.reason)
        elif outcome.canceled:
            goal_handle.canceled()
            self._log.info(f"docking {outcome.reason}")
        else:
            goal_handle.abort()
            self._log.warning(f"docking failed: {outcome.reason}")
        return _result(outcome, progress)


def _rules(goal: Dock.Goal, parameters: PolicyParameters) -> DockingRules:
    timeout_s = goal.timeout_s or parameters.dock_timeout_s
    if not (math.isfinite(timeout_s) and timeout_s > 0.0):
        raise DockNotValid(f"timeout_s is {goal.timeout_s}, expected a positive number or 0")
    return DockingRules(
        timeout_s=timeout_s,
        perception_timeout_s=parameters.initial_perception_timeout_s,
        stale_grace_s=parameters.stale_grace_s,
        charge_timeout_s=parameters.charge_timeout_s,
        max_retries=parameters.max_retries,
        retry_backoff_m=parameters.retry_backoff_m,
        retry_speed_mps=parameters.retry_speed_mps,
        tolerance=DockTolerance(
            longitudinal_m=parameters.tolerance_longitudinal_m,
            lateral_m=parameters.tolerance_lateral_m,
            yaw_rad=parameters.tolerance_yaw_rad,
            speed_mps=parameters.docked_speed_mps,
            settle_s=parameters.docked_settle_s,
        ),
    )


def _result(outcome: Outcome, progress: DockingProgress | None) -> Dock.Result:
    pose = progress.dock_from_base if progress else None
    result = Dock.Result(
        success=outcome.success,
        error_code=outcome.error.code if outcome.error else Dock.Result.NONE,
        error_msg="" if outcome.success else outcome.reason,
        termination_reason=outcome.reason,
        longitudinal_error_m=pose.x if pose else math.nan,
        lateral_error_m=pose.y if pose else math.nan,
        yaw_error_rad=pose.yaw if pose else math.nan,
        contact_speed_mps=progress.contact_speed_mps if progress else math.nan,
        docking_time_s=progress.elapsed_s if progress else 0.0,
    )
    result.num_retries = progress.num_retries if progress else 0
    return result
