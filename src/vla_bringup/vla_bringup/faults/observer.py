"""The campaign's own node: it sends goals and requests, and sees every command that arrives."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import numpy as np
import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from std_msgs.msg import Bool
from vla_msgs.action import Dock

from vla_bringup.faults.errors import TrialError
from vla_bringup.faults.verdicts import Seen
from vla_bringup.graph import POLICY
from vla_core.contract import Contract
from vla_policy_node.control.command_messages import command_message, message_class

_EMERGENCY_STOP: Final = "emergency_stop"
_ANSWER_S: Final = 2.0
_GOAL_TIMEOUT_S: Final = 60.0
_INTRUDER: Final = "intruder"
_STALL_PERIOD_S: Final = 0.005
_LATCHED: Final = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class Goal:
    """A goal that was accepted."""

    def __init__(self, result: Future, sent_ns: int) -> None:
        self._result = result
        self.sent_ns = sent_ns

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return bool(self._result.done())

    @property
    def reason(self) -> str:
        """Why it ended; empty as long as it runs."""
        return str(self._result.result().result.termination_reason) if self.done else ""


class Observer:
    """A node with an executor in a thread of its own.

    Times of commands are those at which the middleware received them: the interpreter of this
    process has no part in them.

    Args:
        contract: of the robot.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._kind = message_class(contract.action.type)
        self._node = rclpy.create_node("campaign_observer")
        group = ReentrantCallbackGroup()
        topic = contract.action.topic
        qos = QoSProfile(depth=500, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._commands: list[Seen] = []
        see: Any = self._see  # rclpy's types do not know of callbacks with two arguments
        self._node.create_subscription(self._kind, topic, see, qos, callback_group=group)
        # There from the start: the first command of a new publisher might not arrive.
        self._intruder = self._node.create_publisher(self._kind, topic, 1)
        self._emergency_stop = self._node.create_publisher(Bool, _EMERGENCY_STOP, _LATCHED)
        self._dock = ActionClient(self._node, Dock, "dock", callback_group=group)
        self._change = self._node.create_client(
            ChangeState, f"{POLICY}/change_state", callback_group=group
        )
        self._state = self._node.create_client(
            GetState, f"{POLICY}/get_state", callback_group=group
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._stall_s = 0.0
        self._closing = False
        self._threads = [
            threading.Thread(target=self._executor.spin, name="observer", daemon=True),
            threading.Thread(target=self._measure_stalls, name="stalls", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Leave the graph."""
        self._closing = True
        self._executor.shutdown()
        for thread in self._threads:
            thread.join()
        self._node.destroy_node()

    # What is seen

    @property
    def commands(self) -> list[Seen]:
        """Every command since `forget`."""
        return list(self._commands)

    def forget(self) -> None:
        """Begin anew with the commands."""
        self._commands = []

    @property
    def speed(self) -> float:
        """The largest component of the newest command [m/s or rad/s]; 0 without one."""
        own = [command for command in self._commands[-5:] if not command.foreign]
        return max((abs(value) for value in own[-1].values), default=0.0) if own else 0.0

    def take_stall_s(self) -> float:
        """The longest time that a thread here had to wait for its turn since the last call."""
        stall_s, self._stall_s = self._stall_s, 0.0
        return stall_s

    # What is done

    def send_goal(self, instruction: str) -> Goal | None:
        """Send a goal; None if nobody took it."""
        if not self._dock.server_is_ready():
            return None
        message = Dock.Goal(instruction=instruction, timeout_s=_GOAL_TIMEOUT_S)
        message.use_dock_id = False
        message.navigate_to_staging_pose = False
        sent_ns = time.time_ns()
        handle = _wait(self._dock.send_goal_async(message), _ANSWER_S)
        if handle is None or not handle.accepted:
            return None
        return Goal(handle.get_result_async(), sent_ns)

    def activate(self, timeout_s: float) -> None:
        """Bring the policy node up, from whatever state.

        Raises:
            TrialError: it is not active in time.
        """
        deadline_s = time.monotonic() + timeout_s
        state = State()
        while time.monotonic() < deadline_s:
            answer = self._call(self._state, GetState.Request(), _ANSWER_S)
            if answer is None:
                continue
            state = answer.current_state
            if state.id == State.PRIMARY_STATE_ACTIVE:
                return
            step = {
                State.PRIMARY_STATE_UNCONFIGURED: Transition.TRANSITION_CONFIGURE,
                State.PRIMARY_STATE_INACTIVE: Transition.TRANSITION_ACTIVATE,
            }.get(state.id)
            if step is None:
                time.sleep(0.05)
                continue
            self._call(self._change, _transition(step), max(0.1, deadline_s - time.monotonic()))
        raise TrialError(
            f"the policy node is {state.label or 'absent'} after {timeout_s:g} s, expected active"
        )

    def request_deactivation(self) -> None:
        """Ask for it and do not wait."""
        self._change.call_async(_transition(Transition.TRANSITION_DEACTIVATE))

    def press_emergency_stop(self, pressed: bool) -> None:
        """Press or release it."""
        self._emergency_stop.publish(Bool(data=pressed))

    def intrude(self, speed_mps: float) -> None:
        """Publish a command as somebody else."""
        values = np.zeros(self._contract.action.size)
        values[0] = speed_mps
        message = command_message(self._contract, values, time.time_ns())
        message.header.frame_id = _INTRUDER
        self._intruder.publish(message)

    # Callbacks and threads

    def _see(self, message: Any, info: Any) -> None:
        twist = getattr(message, "twist", message)
        parts = (field.split(".") for field in self._contract.action.fields)
        values = tuple(float(getattr(getattr(twist, part), axis)) for part, axis in parts)
        frame = message.header.frame_id if hasattr(message, "header") else ""
        self._commands.append(Seen(info["received_timestamp"], values, frame == _INTRUDER))

    def _call(self, client: Any, request: Any, timeout_s: float) -> Any:
        if not client.service_is_ready():
            time.sleep(0.05)
            return None
        return _wait(client.call_async(request), timeout_s)

    def _measure_stalls(self) -> None:
        while not self._closing:
            before_s = time.monotonic()
            time.sleep(_STALL_PERIOD_S)
            waited_s = time.monotonic() - before_s - _STALL_PERIOD_S
            self._stall_s = max(self._stall_s, waited_s)


def _transition(number: int) -> ChangeState.Request:
    return ChangeState.Request(transition=Transition(id=number))


def _wait(future: Future, timeout_s: float) -> Any:
    """The result of a future that another thread completes; None if it takes longer."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    return future.result() if done.wait(timeout_s) else None
