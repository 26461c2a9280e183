"""The lifecycle node `vla_policy`: parameters, subscriptions, timers and transitions."""

from __future__ import annotations

import gc
import math
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import BatteryState
from vla_msgs.msg import PolicyStatus

from vla_core import keys
from vla_core.command_pipeline import Command
from vla_core.errors import VlaError
from vla_policy_node.dock_server import DockServer
from vla_policy_node.parameters import declare_parameters, parameter_guard, read_parameters
from vla_policy_node.policy_stack import PolicyStack
from vla_policy_node.ros_messages import (
    command_message,
    diagnostic_array,
    message_class,
    policy_status,
    qos_profile,
)
from vla_policy_node.timing import PeriodMonitor

_RESULT_DELIVERY_S = 0.1
_RELEASE_AFTERMATH_S = 1.0


class PolicyNode(LifecycleNode):
    """Serves a policy bundle: the `dock` action in, velocity commands out.

    It publishes only while active, and commands only while a goal runs and shortly after.
    """

    def __init__(self, **node_arguments: Any) -> None:
        """Declare the parameters.

        Raises:
            InvalidParameterTypeException: a parameter was given with another type.
            InvalidParameterValueException: a parameter was given out of range.
        """
        super().__init__("vla_policy", **node_arguments)
        declare_parameters(self)
        self.add_on_set_parameters_callback(parameter_guard(lambda: self._stack is not None))
        self._stack: PolicyStack | None = None
        self._dock_server: DockServer | None = None
        self._active = False
        self._publish_lock = threading.Lock()
        self._teardown_lock = threading.RLock()
        self._undo: list[Callable[[], object]] = []
        self._released_s = -math.inf
        self._timers_of_activation: list[Any] = []
        self._refuse_impossible_transitions()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and verify the bundle, start inference, subscribe."""
        try:
            self._stack = PolicyStack(read_parameters(self), self._now_ns, self.get_logger())
            self._undo.append(self._stack.close)
            self._stack.start()
            self._create_interfaces(self._stack)
        except VlaError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self._release()
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f"cannot configure:\n{traceback.format_exc()}")
            self._release()
            return TransitionCallbackReturn.ERROR
        bundle = self._stack.bundle
        self.get_logger().info(
            f"configured: policy {bundle.path}, contract {self._stack.contract.name}"
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the control timer and welcome goals."""
        stack = self._stack
        if stack is None:
            return TransitionCallbackReturn.ERROR
        result = super().on_activate(state)
        self._periods = PeriodMonitor(stack.contract.action.period_ns)
        self._active = True
        # A full collection would go through everything that was ever imported, and hold up a tick
        # for tens of milliseconds.
        gc.collect()
        gc.freeze()
        # A steady clock keeps the period when the system's time is set; simulated time sets it.
        simulated = self.get_parameter("use_sim_time").value
        clock = self.get_clock() if simulated else Clock(clock_type=ClockType.STEADY_TIME)
        period_s = 1.0 / stack.contract.action.rate_hz
        self._timers_of_activation = [
            self.create_timer(period_s, self._tick, MutuallyExclusiveCallbackGroup(), clock),
            self.create_timer(1.0, self._diagnose, MutuallyExclusiveCallbackGroup()),
        ]
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop commanding at once and end the running goal."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back everything that was made on configure."""
        result = super().on_cleanup(state)
        self._release()
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and give everything back, from whatever state."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and give everything back; the node can be configured again."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    @property
    def has_just_released(self) -> bool:
        """Whether publishers, subscriptions and the action are being destroyed, or just were."""
        return time.monotonic() - self._released_s < _RELEASE_AFTERMATH_S

    def close(self) -> None:
        """Stop commanding and give everything back. May be called in any state, and twice."""
        server = self._dock_server
        interrupted = server is not None and server.busy
        self._stop()
        if interrupted:
            time.sleep(_RESULT_DELIVERY_S)  # the executor still sends the result of the goal
        self._release()

    # What the transitions are made of

    def _create_interfaces(self, stack: PolicyStack) -> None:
        contract, parameters = stack.contract, stack.parameters
        for stream in contract.streams:
            self._subscribe(
                message_class(stream.type),
                stream.topic,
                partial(self._on_stream, stack, stream.key),
                qos_profile(stream.qos),
            )
        self._subscribe(BatteryState, parameters.battery_topic, self._on_battery)
        pose_topic = parameters.dock_pose_topic or contract.dock_pose_topic
        if pose_topic:
            self._subscribe(PoseStamped, pose_topic, self._on_dock_pose)
        else:
            self.get_logger().info("no dock pose topic: docked is verified by battery and odometry")
        self._command_publisher = self._advertise(
            message_class(contract.action.type), contract.action.topic, 1
        )
        self._status_publisher = self._advertise(PolicyStatus, "~/status", 10)
        self._diagnostics_publisher = self._advertise(DiagnosticArray, "/diagnostics", 10)
        self._dock_server = DockServer(self, stack, lambda: self._active)
        self._undo.append(self._dock_server.destroy)

    def _subscribe(
        self,
        message_type: Any,
        topic: str,
        callback: Callable[[Any], None],
        qos: Any = qos_profile_sensor_data,
    ) -> None:
        # A group each: messages of a stream stay in order and no stream waits for another.
        group = MutuallyExclusiveCallbackGroup()
        subscription = self.create_subscription(
            message_type, topic, callback, qos, callback_group=group
        )
        self._undo.append(partial(self.destroy_subscription, subscription))

    def _advertise(self, message_type: Any, topic: str, depth: int) -> Any:
        publisher = self.create_lifecycle_publisher(message_type, topic, depth)
        self._undo.append(partial(self.destroy_lifecycle_publisher, publisher))
        return publisher

    def _stop(self) -> None:
        with self._teardown_lock:
            if not self._active or self._stack is None or self._dock_server is None:
                return
            self._active = False
            with self._publish_lock:
                if self._stack.control.halt():
                    self._publish(np.zeros(self._stack.contract.action.size), self._now_ns())
            self._stack.inference.end()
            self._dock_server.wait_until_idle()
            for timer in self._timers_of_activation:
                self.destroy_timer(timer)
            self._timers_of_activation = []
            gc.unfreeze()
            self.get_logger().info(str(self._periods.summary() or "no commands were published"))

    def _release(self) -> None:
        with self._teardown_lock:
            self._released_s = math.inf
            while self._undo:
                self._undo.pop()()
            self._dock_server = None
            self._stack = None
            self._released_s = time.monotonic()

    def _refuse_impossible_transitions(self) -> None:
        # rclpy raises into the executor when a transition is asked for that the state does not
        # have, which would end the node instead of the request.
        change_state = self._service_change_state.callback

        def guarded(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except rclpy_implementation.RCLError:
                _, label = self._state_machine.current_state
                wanted = request.transition.label or request.transition.id
                self.get_logger().error(f"no transition {wanted} from state {label}")
                response.success = False
                return response

        self._service_change_state.callback = guarded

    # Callbacks

    def _on_stream(self, stack: PolicyStack, key: str, message: Any) -> None:
        now_ns = self._now_ns()
        stack.streams.push(key, message, now_ns)
        if key == keys.ODOMETRY:
            stack.evidence.add_odometry(message, now_ns)

    def _on_battery(self, message: BatteryState) -> None:
        stack = self._stack
        if stack is not None:
            stack.evidence.add_battery(message, self._now_ns())

    def _on_dock_pose(self, message: PoseStamped) -> None:
        stack = self._stack
        if stack is not None:
            stack.evidence.add_dock_pose(message, self._now_ns())

    def _tick(self) -> None:
        stack = self._stack
        if stack is None or not stack.control.running:
            return
        now_ns = self._now_ns()
        with self._publish_lock:
            command = stack.control.tick(now_ns, stack.streams.valid(now_ns))
            if command is not None:
                self._publish(command.values, now_ns)
        if command is not None:
            self._periods.add(time.monotonic_ns())
        if not stack.control.running:
            self._periods.pause()
        self._report(stack, command, now_ns)
        stack.inference.notify_tick(now_ns)

    def _publish(self, values: np.ndarray, now_ns: int) -> None:
        stack = self._stack
        if stack is not None:
            self._command_publisher.publish(command_message(stack.contract, values, now_ns))

    def _report(self, stack: PolicyStack, command: Command | None, now_ns: int) -> None:
        server = self._dock_server
        status = policy_status(
            now_ns,
            server.instruction if server is not None else "",
            command,
            stack.control.chunk,
            stack.inference.state.latency_s,
            stack.streams.states(now_ns),
        )
        self._status_publisher.publish(status)

    def _diagnose(self) -> None:
        stack, server = self._stack, self._dock_server
        if stack is None or server is None:
            return
        now_ns = self._now_ns()
        self._diagnostics_publisher.publish(
            diagnostic_array(
                self.get_name(),
                now_ns,
                stack.streams.states(now_ns),
                stack.inference.state,
                stack.control.interventions,
                "docking" if server.busy else "waiting for a goal",
            )
        )

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds
