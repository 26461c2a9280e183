"""Shadow mode: in place of the actions, the policy runs all the time and commands nobody.

Everything is as for a goal, control process and safety envelope included, but that commands go to
`~/shadow_command`: there is no publisher on the command topic.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import qos_profile_sensor_data

from vla_core.action_messages import action_from_message
from vla_core.errors import DecodeError
from vla_policy_node.control.command_messages import message_class, time_message
from vla_policy_node.docking.goal import Motion
from vla_policy_node.docking.request import check_words
from vla_policy_node.errors import ParameterError, WorkerError
from vla_policy_node.observability.shadow import DisagreementMeter

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode

    from vla_policy_node.control.messages import Report
    from vla_policy_node.policy_stack import PolicyStack

_PERIOD_S = 0.1
_DIAGNOSTICS_STEPS = 10  # 1 Hz
_REST_STEPS = 20  # after a fault


class ShadowServer:
    """Keeps a goal of its own running while the node is active, and compares.

    It takes the place of the `DockServer`: in shadow mode there is no action.

    Args:
        node: whose timers and topics they are.
        stack: what would drive the robot.
        is_active: whether the policy shall run.

    Raises:
        ParameterError: there is no instruction.
        DockNotValid: the policy understands no word of it.
    """

    def __init__(
        self, node: LifecycleNode, stack: PolicyStack, is_active: Callable[[], bool]
    ) -> None:
        self.instruction = stack.parameters.default_instruction.strip()
        if not self.instruction:
            raise ParameterError(
                "parameter default_instruction is empty, expected the sentence that the policy is "
                "told in shadow mode (-p default_instruction:='dock at the orange charger')"
            )
        self._node = node
        self._stack = stack
        self._is_active = is_active
        self._log = node.get_logger()
        for problem in check_words(self.instruction, stack.bundle):
            self._log.warning(problem)
        action = stack.contract.action
        self._meter = DisagreementMeter(action.size)
        self._lock = threading.Lock()
        self._running = False
        self._steps = self._rest = 0
        self._fault = ""
        group = MutuallyExclusiveCallbackGroup()
        self._publisher = node.create_lifecycle_publisher(DiagnosticArray, "/diagnostics", 10)
        self._subscription = node.create_subscription(
            message_class(action.type),
            action.topic,
            self._on_driver,
            qos_profile_sensor_data,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        self._timer = node.create_timer(_PERIOD_S, self._step, group)

    @property
    def busy(self) -> bool:
        """Whether a client waits for a result: nobody does."""
        return False

    def wait_until_idle(self) -> None:
        """Stop the policy for good, after the node has become inactive."""
        with self._lock:
            self._end()
            self._fault, self._rest = "", 0

    def destroy(self) -> None:
        """Take timer and topics down."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_lifecycle_publisher(self._publisher)

    def take(self, report: Report) -> None:
        """Compare the command of a tick with the driver's."""
        if report.tick_ns is not None and report.values is not None:
            self._meter.compare(report.tick_ns, report.values)

    def _on_driver(self, message: Any) -> None:
        try:
            command = action_from_message(self._stack.contract.action, message)
        except DecodeError:
            return  # nothing that one could agree with
        self._meter.drive(self._now_ns(), command)

    def _step(self) -> None:
        with self._lock:
            if self._is_active():
                self._run()

    def _run(self) -> None:
        self._steps += 1
        if self._rest > 0:
            self._rest -= 1
        elif not self._running:
            self._begin()
        else:
            self._go_on()
        if self._steps % _DIAGNOSTICS_STEPS == 0:
            self._publisher.publish(self._diagnostics())

    def _begin(self) -> None:
        if not self._fault:
            self._meter.reset()
        try:
            self._stack.begin(self.instruction)
        except WorkerError as error:
            self._fail(str(error))
            return
        self._running = True
        self._stack.control.set_motion(Motion.WAIT)

    def _go_on(self) -> None:
        stack = self._stack
        fault = stack.inference.state.fault or stack.control.fault
        if fault:
            self._fail(fault)
            return
        ready = stack.control.buffer_depth(self._now_ns()) > 0
        following = stack.control.chunk is not None
        stack.control.set_motion(Motion.FOLLOW if ready or following else Motion.WAIT)
        if ready:
            self._fault = ""

    def _fail(self, fault: str) -> None:
        if fault != self._fault:
            self._log.warning(f"shadow: {fault}; the policy begins again")
        self._fault = fault
        self._end()
        self._rest = _REST_STEPS

    def _end(self) -> None:
        if self._running:
            self._running = False
            self._stack.inference.end()
            self._stack.control.halt()

    def _diagnostics(self) -> DiagnosticArray:
        found, action = self._meter.summary(), self._stack.contract.action
        values = {"ticks compared": str(found.count), "ticks without a driver": str(found.undriven)}
        for name, unit, mean, most in zip(
            action.fields, action.units, found.mean, found.largest, strict=True
        ):
            values[f"{name} difference, mean [{unit}]"] = _number(mean)
            values[f"{name} difference, largest [{unit}]"] = _number(most)
        level, text = DiagnosticStatus.OK, f"would {self.instruction}"
        if self._fault:
            level, text = DiagnosticStatus.WARN, self._fault
        array = DiagnosticArray()
        array.header.stamp = time_message(self._now_ns())
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        name = f"{self._node.get_name()}: shadow"
        array.status = [DiagnosticStatus(level=level, name=name, message=text, values=pairs)]
        return array

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "none"
