"""Node that brings lifecycle nodes up in order, watches them and takes them down in reverse.

The manager configures every node before it activates the first one, so that a node that refuses
its configuration (a missing policy bundle, say) is found while nothing moves. Once all are active
it asks each for its state again and again; a node that does not answer, or is no longer active,
ends the graph: the others are deactivated and cleaned up in reverse order, and the process exits
with code 1 and one line that names the node.
"""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

import rclpy
from lifecycle_msgs.msg import State, Transition
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from vla_bringup.managed_node import ErrorLog, ManagedNode, NodeError
from vla_core.errors import VlaError

SPIN_PERIOD_S: Final = 0.05
HEARTBEAT_PERIOD_S: Final = 0.2
# "cannot configure: ..." in a node's log, where the sentence around it says so already.
_CANNOT: Final = re.compile(r"^cannot [\w ]+: ")


class ManagerError(VlaError):
    """A managed node failed; the message names it."""


class LifecycleManager(Node):
    """Orders the transitions of the managed nodes and watches them.

    Parameters are read once: the set of managed nodes cannot change while they run.
    """

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        """Declare the parameters and create the clients.

        Args:
            should_stop: polled between steps; true after SIGINT or SIGTERM.

        Raises:
            ManagerError: ``node_names`` is empty or names a node twice.
        """
        super().__init__("lifecycle_manager")
        self._should_stop = should_stop
        names = self._declare_names()
        self._bringup_timeout_s = self._declare_seconds(
            "bringup_timeout_s", 60.0, "how long a node may take to appear in the graph"
        )
        self._transition_timeout_s = self._declare_seconds(
            "transition_timeout_s", 60.0, "how long one transition may take"
        )
        self._heartbeat_period_s = self._declare_seconds(
            "heartbeat_period_s", 0.5, "time between two questions for a node's state"
        )
        self._heartbeat_timeout_s = self._declare_seconds(
            "heartbeat_timeout_s", 4.0, "silence after which a node counts as dead"
        )
        self._shutdown_timeout_s = self._declare_seconds(
            "shutdown_timeout_s", 2.0, "how long one transition may take while shutting down"
        )
        self._error_log = ErrorLog(self)
        self._nodes = tuple(ManagedNode(self, name) for name in names)
        self._active = False
        self.create_service(Trigger, "~/is_active", self._on_is_active)
        # Whoever drives a robot stops when this falls silent. Every wait here spins, so that it
        # goes on during transitions, too.
        heartbeat = self.create_publisher(Empty, "~/heartbeat", 1)
        self.create_timer(
            HEARTBEAT_PERIOD_S,
            lambda: heartbeat.publish(Empty()),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    # ------------------------------------------------------------------ parameters

    def _declare_names(self) -> Sequence[str]:
        descriptor = ParameterDescriptor(
            description="names of the lifecycle nodes, in the order in which they are brought up",
            read_only=True,
        )
        # An empty list has no element type in a parameter file, so the default is an unset array.
        parameter = self.declare_parameter("node_names", Parameter.Type.STRING_ARRAY, descriptor)
        names = list(parameter.value or [])
        if not names:
            raise ManagerError(
                "parameter node_names is empty; expected the lifecycle nodes to manage, e.g. "
                "-p node_names:='[simulator, vla_policy]'"
            )
        if len(set(names)) != len(names):
            raise ManagerError(f"parameter node_names names a node twice: {', '.join(names)}")
        return names

    def _declare_seconds(self, name: str, default_s: float, description: str) -> float:
        descriptor = ParameterDescriptor(
            description=f"{description} [s]",
            read_only=True,
            floating_point_range=[FloatingPointRange(from_value=0.1, to_value=3600.0)],
        )
        return float(self.declare_parameter(name, default_s, descriptor).value)

    # ------------------------------------------------------------------ the four phases

    def bring_up(self) -> bool:
        """Wait for all nodes, configure all, then activate all, each time in order.

        Returns:
            False if a stop was asked for before all nodes were active.

        Raises:
            ManagerError: a node did not appear, exists twice, or refused a transition.
        """
        for node in self._nodes:
            if not self._wait_for(node):
                return False
        for node in self._nodes:
            self._refuse_duplicate(node)
        for start, transition, label in (
            (State.PRIMARY_STATE_UNCONFIGURED, Transition.TRANSITION_CONFIGURE, "configure"),
            (State.PRIMARY_STATE_INACTIVE, Transition.TRANSITION_ACTIVATE, "activate"),
        ):
            for node in self._nodes:
                if self._should_stop():
                    return False
                self._change_state(node, start, transition, label)
        self._active = True
        self.get_logger().info(f"all active: {', '.join(node.name for node in self._nodes)}")
        return True

    def watch(self) -> None:
        """Ask the nodes for their state until a stop is asked for.

        Raises:
            ManagerError: a node fell silent or left the active state.
        """
        for node in self._nodes:
            node.start_heartbeat()
        while not self._should_stop():
            rclpy.spin_once(self, timeout_sec=SPIN_PERIOD_S)
            for node in self._nodes:
                # The other one of two may have been found in the graph only now.
                self._refuse_duplicate(node)
                fault = node.heartbeat(self._heartbeat_period_s, self._heartbeat_timeout_s)
                if fault is not None:
                    raise ManagerError(self._explain(node, fault))

    def take_down(self) -> None:
        """Deactivate, then clean up, in reverse order; silent nodes are left out."""
        self._active = False
        for transition, state in (
            (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_ACTIVE),
            (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_INACTIVE),
        ):
            for node in reversed(self._nodes):
                try:
                    node.change_state_from(state, transition, self._shutdown_timeout_s)
                except NodeError as fault:
                    self.get_logger().warning(f"while shutting down: {node.name} {fault}")

    # ------------------------------------------------------------------ steps

    def _wait_for(self, node: ManagedNode) -> bool:
        deadline = time.monotonic() + self._bringup_timeout_s
        while not node.is_ready():
            if self._should_stop():
                return False
            if time.monotonic() > deadline:
                raise ManagerError(
                    f"node {node.name} did not appear within {self._bringup_timeout_s:g} s; look "
                    "for its own error above, or whether it runs in another ROS_DOMAIN_ID"
                )
            rclpy.spin_once(self, timeout_sec=SPIN_PERIOD_S)
        return True

    def _refuse_duplicate(self, node: ManagedNode) -> None:
        count = node.count_in_graph()
        if count > 1:
            raise ManagerError(
                f"{count} nodes are called {node.name} in ROS_DOMAIN_ID "
                f"{self.context.get_domain_id()}: another graph is running there; stop it, or "
                "choose another domain with ROS_DOMAIN_ID"
            )

    def _change_state(self, node: ManagedNode, start: int, transition: int, label: str) -> None:
        self._error_log.forget(node.name)
        try:
            # A node that another manager has left further up is taken as it is.
            if node.state(self._transition_timeout_s) == start:
                node.change_state(transition, self._transition_timeout_s, self._should_stop)
        except NodeError as fault:
            raise ManagerError(self._explain(node, fault, label)) from fault
        self.get_logger().info(f"{node.name}: {label}d")

    def _explain(self, node: ManagedNode, fault: NodeError, label: str = "") -> str:
        """One line: which node, what happened, and what the node itself said last."""
        doing = f" to {label}" if label else ""
        reason = self._error_log.wait_for(node.name, timeout_s=0.5)
        return f"node {node.name} {fault.verb}{doing}: {_CANNOT.sub('', reason or fault.detail)}"

    def _on_is_active(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        response.success = self._active
        response.message = "all active" if self._active else "not all active"
        return response


def main() -> int:
    """Run the manager; 0 after SIGINT or SIGTERM, 1 after a failure."""
    stop_signals: list[int] = []

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        stop_signals.append(signum)

    # The manager must still be able to call services after SIGINT: rclpy's own handlers would
    # shut the context down first.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, on_signal)

    node: LifecycleManager | None = None
    try:
        node = LifecycleManager(should_stop=lambda: bool(stop_signals))
        try:
            if node.bring_up():
                node.watch()
        finally:
            node.take_down()
    except VlaError as error:
        sys.stderr.write(f"lifecycle_manager: error: {error}\n")
        return 1
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
