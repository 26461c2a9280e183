"""What the lifecycle manager knows and does about one node."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Log
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.task import Future

POLL_PERIOD_S: Final = 0.02
ASK_AGAIN_S: Final = 1.0
GOAL_STATES: Final = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
}
STATE_NAMES: Final = {
    State.PRIMARY_STATE_UNKNOWN: "unknown",
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
}


class NodeError(Exception):
    """Something a managed node did or failed to do.

    Attributes:
        verb: continues "node NAME ..." in a message, e.g. "failed".
        detail: what is known about the cause when the node itself logged none.
    """

    def __init__(self, verb: str, detail: str) -> None:
        super().__init__(f"{verb}: {detail}")
        self.verb = verb
        self.detail = detail


class ManagedNode:
    """The lifecycle services of one node, called with deadlines.

    A reply can get lost where the node's middleware has not discovered this client's reader yet
    (Fast DDS drops it), so no call relies on one reply: questions are asked again, and while a
    transition is awaited the node is asked where it stands.
    """

    def __init__(self, manager: Node, name: str) -> None:
        """Create the clients.

        Args:
            manager: node that owns the clients.
            name: the managed node's name, relative to the manager's namespace or absolute.
        """
        self.name = name
        self._manager = manager
        self._change_state = manager.create_client(ChangeState, f"{name}/change_state")
        self._get_state = manager.create_client(GetState, f"{name}/get_state")
        self._silent = False
        self._question: Future | None = None
        self._asked_s = 0.0
        self._heard_s = 0.0

    # ------------------------------------------------------------------ graph

    def is_ready(self) -> bool:
        """Whether both lifecycle services are in the graph."""
        return self._change_state.service_is_ready() and self._get_state.service_is_ready()

    def count_in_graph(self) -> int:
        """How many nodes of this full name the graph holds."""
        full_name = self._manager.resolve_service_name(self.name)
        return sum(
            f"{namespace.rstrip('/')}/{name}" == full_name
            for name, namespace in self._manager.get_node_names_and_namespaces()
        )

    # ------------------------------------------------------------------ state and transitions

    def state(self, timeout_s: float) -> int:
        """Ask for the node's state until it answers.

        Returns:
            An id of lifecycle_msgs/State.

        Raises:
            NodeError: no answer in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            state = self._ask_again()
            if state is not None:
                return state
            rclpy.spin_once(self._manager, timeout_sec=POLL_PERIOD_S)
        raise NodeError("did not answer", f"no response within {timeout_s:g} s")

    def change_state(
        self, transition: int, timeout_s: float, should_stop: Callable[[], bool] | None = None
    ) -> None:
        """Make one transition.

        Args:
            transition: an id of lifecycle_msgs/Transition.
            timeout_s: how long it may take.
            should_stop: once true, no longer than two more seconds are spent waiting.

        Raises:
            NodeError: refused, or not finished in time.
        """
        request = ChangeState.Request()
        request.transition.id = transition
        reply = self._change_state.call_async(request)
        start_s = time.monotonic()
        deadline = start_s + timeout_s
        unmoved = 0
        while not reply.done():
            now_s = time.monotonic()
            if should_stop is not None and should_stop():
                deadline = min(deadline, now_s + 2.0)
                should_stop = None
            if now_s > deadline:
                raise NodeError("did not answer", f"no response within {timeout_s:g} s")
            if now_s > start_s + ASK_AGAIN_S:
                state = self._ask_again()
                if state == GOAL_STATES[transition]:
                    return
                # An answer from a primary state may have been on its way before the request.
                unmoved += state in STATE_NAMES
                if unmoved > 2:
                    break
            rclpy.spin_once(self._manager, timeout_sec=POLL_PERIOD_S)
        if not reply.done() or not reply.result().success:
            raise NodeError("failed", "its log says why")

    def change_state_from(self, state: int, transition: int, timeout_s: float) -> None:
        """Make a transition if the node is in ``state``; a node that fell silent is left alone.

        Raises:
            NodeError: refused, or not finished in time.
        """
        if self._silent or not self.is_ready():
            return
        try:
            if self.state(timeout_s) == state:
                self.change_state(transition, timeout_s)
        except NodeError:
            self._silent = True
            raise

    # ------------------------------------------------------------------ heartbeat

    def start_heartbeat(self) -> None:
        """Begin to count the silence from now."""
        self._question = None
        self._heard_s = time.monotonic()

    def heartbeat(self, period_s: float, timeout_s: float) -> NodeError | None:
        """Look at the last answer and ask again when it is due.

        Args:
            period_s: time between two questions.
            timeout_s: silence after which the node counts as dead.

        Returns:
            The fault, or None while the node is active.
        """
        now_s = time.monotonic()
        if self._question is None and now_s < self._heard_s + period_s:
            return None
        state = self._ask_again()
        if state is None:
            silence_s = now_s - self._heard_s
            if silence_s <= timeout_s:
                return None
            self._silent = True
            return NodeError(
                "stopped answering", f"no heartbeat for {silence_s:.1f} s: it hangs or is gone"
            )
        self._heard_s = now_s
        if state == State.PRIMARY_STATE_ACTIVE:
            return None
        name = STATE_NAMES.get(state, f"in transition state {state}")
        return NodeError("left the active state", f"it is now {name}")

    def _ask_again(self) -> int | None:
        """The answer to the last question; asks the first, or a further one after a silence."""
        now_s = time.monotonic()
        if self._question is not None and self._question.done():
            state = self._question.result().current_state.id
            self._question = None
            return int(state)
        if self._question is None or now_s > self._asked_s + ASK_AGAIN_S:
            self._question = self._get_state.call_async(GetState.Request())
            self._asked_s = now_s
        return None


class ErrorLog:
    """The last error that each node wrote to ``/rosout``, so that a failure can quote it."""

    def __init__(self, manager: Node) -> None:
        self._manager = manager
        self._last: dict[str, str] = {}
        # Volatile: errors of an earlier graph in this domain must not be quoted.
        qos = QoSProfile(depth=100, durability=DurabilityPolicy.VOLATILE)
        manager.create_subscription(Log, "/rosout", self._on_log, qos)

    def forget(self, name: str) -> None:
        """Drop what ``name`` said so far."""
        self._last.pop(self._logger_name(name), None)

    def wait_for(self, name: str, timeout_s: float) -> str | None:
        """The last error of ``name``, waiting for one that is still on its way."""
        key = self._logger_name(name)
        deadline = time.monotonic() + timeout_s
        while key not in self._last and time.monotonic() < deadline:
            rclpy.spin_once(self._manager, timeout_sec=POLL_PERIOD_S)
        return self._last.get(key)

    def _logger_name(self, name: str) -> str:
        # rcl names the logger of /robot1/simulator "robot1.simulator".
        absolute = name if name.startswith("/") else f"{self._manager.get_namespace()}/{name}"
        return absolute.strip("/").replace("/", ".")

    def _on_log(self, message: Log) -> None:
        lines = message.msg.strip().splitlines()
        if message.level >= Log.ERROR and lines:
            # Of a logged traceback, the last line is the error.
            self._last[message.name] = lines[-1].strip()
