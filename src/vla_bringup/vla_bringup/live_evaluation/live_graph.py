"""The graph that an evaluation runs beside itself, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from vla_msgs.action import Dock
from vla_msgs.msg import PolicyStatus, SimulationState
from vla_msgs.srv import ResetSimulation

from vla_bringup.collection_nodes import NodeProcesses
from vla_bringup.dock_client import DockClient
from vla_bringup.graph import POLICY, SIMULATOR, NodeSpec
from vla_bringup.live_evaluation.options import LiveEvaluationError
from vla_bringup.waiting import (
    WaitTimeout,
    wait_for_result,
    wait_for_service,
    wait_until_active,
)

STARTUP_TIMEOUT_S: Final = 120.0
SERVICE_TIMEOUT_S: Final = 20.0
RETRY_TIMEOUT_S: Final = 3.0
POLL_PERIOD_S: Final = 0.05


class LiveGraph:
    """Nodes in this shell's domain, and a node here that talks to them; a context manager.

    Args:
        specs: of the nodes.
        logs: folder for what they print.

    Attributes:
        on_state: called with every state of the simulator.
        on_status: called with every status of the policy node.
    """

    def __init__(self, specs: Sequence[NodeSpec], logs: Path) -> None:
        self._processes = NodeProcesses(tuple(specs), logs)
        self._stack = ExitStack()
        self.on_state: Callable[[SimulationState], None] = lambda state: None
        self.on_status: Callable[[PolicyStatus], None] = lambda status: None

    def __enter__(self) -> LiveGraph:
        with ExitStack() as stack:
            stack.enter_context(self._processes)
            # No handlers of rclpy's: Ctrl-C must still be able to end the graph in order.
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self._node = Node("evaluation", start_parameter_services=False)
            stack.callback(self._node.destroy_node)
            self._connect()
            wait_until_active(self._node, STARTUP_TIMEOUT_S, while_waiting=self._processes.check)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _connect(self) -> None:
        qos = QoSProfile(depth=200)
        topics: tuple[tuple[type, str, Callable[[Any], None]], ...] = (
            (SimulationState, "ground_truth/state", self._hear_state),
            (PolicyStatus, f"{POLICY}/status", lambda status: self.on_status(status)),
        )
        for kind, topic, callback in topics:
            self._node.create_subscription(kind, topic, callback, qos)
        self._reset = self._node.create_client(ResetSimulation, f"{SIMULATOR}/reset")
        self._docking = DockClient(self._node)

    def _hear_state(self, state: SimulationState) -> None:
        # Here, a dead process is told at once; the action's client waits for feedback first.
        self.check()
        self.on_state(state)

    def check(self) -> None:
        """See that every process runs.

        Raises:
            CollectionError: one has ended; says how, and where its log is.
        """
        self._processes.check()

    def spin(self) -> None:
        """Hear what there is to hear."""
        rclpy.spin_once(self._node, timeout_sec=POLL_PERIOD_S)

    def reset(self, seed: int, suite: str, goal: int) -> ResetSimulation.Response:
        """Begin an episode.

        Args:
            seed: of scene, start and noise.
            suite: that it is drawn from.
            goal: index of the commanded station.

        Raises:
            LiveEvaluationError: the simulator refuses or does not answer.
        """
        request = ResetSimulation.Request(seed=seed, suite=suite, goal=goal)
        try:
            wait_for_service(self._node, self._reset, SERVICE_TIMEOUT_S)
            answer = self._asked(request)
        except WaitTimeout as error:
            raise LiveEvaluationError(
                f"the simulator does not answer within {SERVICE_TIMEOUT_S:g} s"
            ) from error
        if not answer.success:
            raise LiveEvaluationError(f"the simulator refused seed {seed}: {answer.message}")
        return answer

    def _asked(self, request: ResetSimulation.Request) -> ResetSimulation.Response:
        """The answer; asked again, which does no harm, where the first reply was lost."""
        try:
            return wait_for_result(self._node, self._reset.call_async(request), RETRY_TIMEOUT_S)
        except WaitTimeout:
            return wait_for_result(self._node, self._reset.call_async(request), SERVICE_TIMEOUT_S)

    def dock(self, instruction: str, timeout_s: float) -> Dock.Result:
        """Dock once, whether it succeeds or not.

        Args:
            instruction: what the policy is told.
            timeout_s: longest docking.

        Raises:
            GoalFailed: no server, goal refused, or the server fell silent.
            CollectionError: a process has ended.
        """
        return self._docking.dock(
            instruction, timeout_s=timeout_s, on_feedback=lambda feedback: self.check()
        )
