"""The lifecycle node `vla_policy`: parameters, subscriptions, timers and transitions."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import BatteryState
from std_msgs.msg import Bool, Empty
from vla_msgs.msg import Driver, PolicyStatus

from vla_core import keys
from vla_core.errors import VlaError
from vla_policy_node.composition import GARBAGE_PAUSE
from vla_policy_node.control.command_messages import message_class
from vla_policy_node.control.messages import Report
from vla_policy_node.control.timing import PeriodMonitor
from vla_policy_node.docking.driver_watch import DriverWatch
from vla_policy_node.docking.manager_watch import ManagerWatch
from vla_policy_node.docking.server import DockServer
from vla_policy_node.errors import DockingError, GraphError
from vla_policy_node.observability.outputs import Observability
from vla_policy_node.observability.shadow_server import ShadowServer
from vla_policy_node.parameters import declare_parameters, parameter_guard, read_parameters
from vla_policy_node.policy_stack import GraphPlace, PolicyStack
from vla_policy_node.ros_messages import (
    EMERGENCY_STOP_PROFILES,
    confidence_status,
    diagnostic_array,
    policy_status,
    qos_profile,
)
from vla_policy_node.sensing.deploy_check import type_differences

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
        self._dock_server: DockServer | ShadowServer | None = None
        self._manager = ManagerWatch()
        self._driver = DriverWatch()
        self._active = False
        self._teardown_lock = threading.RLock()
        self._undo: list[Callable[[], object]] = []
        self._released_s = -math.inf
        self._timers_of_activation: list[Any] = []
        self._refuse_impossible_transitions()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and verify the bundle, start inference, subscribe."""
        try:
            self._stack = PolicyStack(
                read_parameters(self),
                self._place(),
                self._now_ns,
                self.get_logger(),
                self._on_control_report,
            )
            self._undo.append(self._stack.close)
            self._stack.start()
            self._pass_simulated_time_on(self._stack)
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
        """Welcome goals."""
        stack = self._stack
        if stack is None:
            return TransitionCallbackReturn.ERROR
        result = super().on_activate(state)
        self._periods = PeriodMonitor(stack.contract.action.period_ns)
        self._manager.forget()
        self._active = True
        GARBAGE_PAUSE.begin()
        self._timers_of_activation = [
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
        differences = type_differences(contract, self.get_publishers_info_by_topic)
        if differences:
            raise GraphError("; ".join(differences))
        self._observability = Observability(contract, parameters, stack.streams, self._advertise)
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
        if parameters.emergency_stop_topic:
            for profile in EMERGENCY_STOP_PROFILES:
                self._subscribe(
                    Bool,
                    parameters.emergency_stop_topic,
                    lambda message: stack.guard.on_emergency_stop(message.data),
                    profile,
                )
        self._status_publisher = self._advertise(PolicyStatus, "~/status", 10)
        self._diagnostics_publisher = self._advertise(DiagnosticArray, "/diagnostics", 10)
        self._subscribe(
            Empty, parameters.manager_heartbeat_topic, lambda _: self._manager.hear(), 1
        )
        if parameters.shadow:
            self._dock_server = ShadowServer(self, stack, lambda: self._active)
        else:
            self._subscribe(Driver, "driver", lambda message: self._driver.hear(message.driver), 10)
            self._dock_server = DockServer(
                self,
                stack,
                lambda: self._active,
                self._fault,
                lambda: self._driver.person_drives,
            )
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
            self._stack.control.halt()
            self._stack.inference.end()
            self._dock_server.wait_until_idle()
            for timer in self._timers_of_activation:
                self.destroy_timer(timer)
            self._timers_of_activation = []
            GARBAGE_PAUSE.end()
            self.get_logger().info(str(self._periods.summary() or "no commands were published"))

    def _release(self) -> None:
        with self._teardown_lock:
            self._released_s = math.inf
            while self._undo:
                self._undo.pop()()
            self._dock_server = None
            self._stack = None
            self._released_s = time.monotonic()

    def _place(self) -> GraphPlace:
        return GraphPlace(
            name=self.get_name(),
            namespace=self.get_namespace(),
            domain_id=self.context.get_domain_id(),
            simulated=bool(self.get_parameter("use_sim_time").value),
            resolve_topic=self.resolve_topic_name,
        )

    def _pass_simulated_time_on(self, stack: PolicyStack) -> None:
        if not self.get_parameter("use_sim_time").value:
            return
        # Simulated time only ever jumps: this is called with every message on /clock.
        threshold = JumpThreshold(
            min_forward=Duration(nanoseconds=1), min_backward=Duration(nanoseconds=-1)
        )
        handle = self.get_clock().create_jump_callback(
            threshold, post_callback=lambda _: stack.control.set_clock(self._now_ns())
        )
        self._undo.append(handle.unregister)
        stack.control.set_clock(self._now_ns())

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
        stack.guard.on_message(key, message)
        if key == keys.ODOMETRY:
            stack.evidence.add_odometry(message, now_ns)
        elif key == keys.SCAN:
            stack.evidence.add_scan(message, now_ns)
            stack.look_around()
        elif key == keys.IMAGE:
            self._observability.on_image(message)

    def _on_battery(self, message: BatteryState) -> None:
        stack = self._stack
        if stack is not None:
            stack.evidence.add_battery(message, self._now_ns())

    def _on_dock_pose(self, message: PoseStamped) -> None:
        stack = self._stack
        if stack is not None:
            stack.evidence.add_dock_pose(message, self._now_ns())
            stack.guard.on_dock_pose(message)

    def _on_control_report(self, report: Report) -> None:
        """Take in what the control process did at a tick."""
        stack = self._stack
        if stack is None or not self._active:
            return
        if report.values is not None:
            self._periods.add(report.sent_ns)
        if not report.running:
            self._periods.pause()
        if report.tick_ns is not None:
            stack.inference.notify_tick(report.tick_ns)
            self._report(stack, report, report.tick_ns)
        if isinstance(self._dock_server, ShadowServer):
            self._dock_server.take(report)

    def _report(self, stack: PolicyStack, report: Report, now_ns: int) -> None:
        server, chunk = self._dock_server, stack.control.chunk
        instruction = server.instruction if server is not None else ""
        latency_s = stack.inference.state.latency_s
        if not stack.parameters.shadow:
            stack.note_command(report)
        if self._status_publisher.get_subscription_count() > 0:
            states = stack.streams.states(now_ns)
            self._status_publisher.publish(
                policy_status(
                    now_ns,
                    instruction,
                    report.command,
                    chunk,
                    latency_s,
                    states,
                    report.fault,
                    stack.confidence.state,
                )
            )
        self._observability.on_report(report, chunk, instruction, latency_s)

    def _diagnose(self) -> None:
        stack, server = self._stack, self._dock_server
        if stack is None or server is None:
            return
        now_ns = self._now_ns()
        states = stack.streams.states(now_ns)
        if not server.busy:
            stack.guard.on_idle(states)
        if self._diagnostics_publisher.get_subscription_count() == 0:
            return
        array = diagnostic_array(
            self.get_name(),
            now_ns,
            states,
            stack.inference.state,
            stack.control.interventions,
            _activity(server),
            stack.guard,
            dict(stack.interventions.total),
        )
        array.status.append(self._observability.latency_status(self.get_name()))
        confidence = stack.confidence
        array.status.append(
            confidence_status(self.get_name(), confidence.state, confidence.calibrated)
        )
        self._diagnostics_publisher.publish(array)

    def _fault(self) -> DockingError | None:
        """Why every goal has to end, None if nothing speaks against it."""
        timeout_s = float(self.get_parameter("manager_timeout_s").value)
        stack = self._stack
        return self._manager.fault(timeout_s) or (stack.guard.fault() if stack else None)

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def _activity(server: DockServer | ShadowServer) -> str:
    if isinstance(server, ShadowServer):
        return "in shadow mode"
    return "docking" if server.busy else "waiting for a goal"
