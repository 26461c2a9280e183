"""The watchdog: commands zero when the control process cannot, or when somebody else drives.

It is a process of its own, so that nothing that stops node or control process stops it. It hears of
every command twice: from the control process before it is published, and on the topic.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np

from vla_core.contract import Contract
from vla_core.contract_specs import TWIST_STAMPED_TYPE
from vla_policy_node.child_process import describe_failure, is_stopped
from vla_policy_node.control.link import Link, wait
from vla_policy_node.control.messages import Announcement, Ready, Setup, Trip
from vla_policy_node.control.process import (
    RosProcess,
    ignore_signals,
    schedule_at,
    wait_for_setup,
)
from vla_policy_node.control.watchdog import CommandGuard

_NS_PER_S = 1_000_000_000
_CHECK_S = 0.02
_DIAGNOSTICS_PERIOD_S = 1.0
# After the end of the node, a control process that stays stopped is somebody else's concern.
_ORPHAN_S = 5.0


def main() -> int:
    """Guard the control process; arguments: sockets of node and control process, its pid."""
    ignore_signals()
    node, control = (Link.inherited(int(number)) for number in sys.argv[1:3])
    setup = wait_for_setup(node)
    if setup is None:
        return 0
    scheduling = schedule_at(setup.priority)
    try:
        watchdog = Watchdog(setup, node, control, int(sys.argv[3]))
    except Exception as error:
        node.send(Ready(error=describe_failure(error)))
        return 1
    node.send(Ready(scheduling=scheduling))
    watchdog.run()
    return 0


class Watchdog:
    """The watchdog's sockets, its subscription and its publishers.

    Args:
        setup: what the node asks for.
        node: socket of the node.
        control: socket of the control process.
        control_pid: its process.
    """

    def __init__(self, setup: Setup, node: Link, control: Link, control_pid: int) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile, ReliabilityPolicy

        from vla_policy_node.control.command_messages import message_class

        self._contract = Contract.from_yaml(setup.contract)
        self._action = self._contract.action
        self._topic = setup.topic
        self._node_name = setup.node_name
        self._simulated = setup.simulated
        self._node_link, self._control_link = node, control
        self._control_pid = control_pid
        self._lock = threading.RLock()
        self._guard = CommandGuard(self._action.period_ns, checks_rate=not setup.simulated)
        self._stamp_ns = 0
        self._told = ""
        self._zero_due_ns = 0
        self._diagnosed_s = 0.0
        self._ros = RosProcess(setup, "watchdog")
        self._publish = self._ros.command_publisher(self._contract, setup.topic)
        self._diagnostics = self._ros.node.create_publisher(
            DiagnosticArray, setup.diagnostics_topic, 10
        )
        # Best effort takes commands of every publisher, reliable or not.
        qos = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._ros.node.create_subscription(
            message_class(self._action.type), setup.topic, self._on_command, qos
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._ros.node)

    def run(self) -> None:
        """Watch until the control process has ended and the robot stands still."""
        thread = threading.Thread(target=self._executor.spin, name="executor", daemon=True)
        thread.start()
        orphaned_s: float | None = None
        while not self._guard.done:
            idle = not self._guard.running and not self._guard.sends_zeros
            wait([self._control_link, self._node_link], None if idle else _CHECK_S)
            self._node_link.receive()
            with self._lock:
                self._listen()
                now_ns = time.monotonic_ns()
                stopped = self._guard.running and is_stopped(self._control_pid)
                self._guard.check(now_ns, control_is_stopped=stopped)
                if self._guard.sends_zeros and now_ns >= self._zero_due_ns:
                    self._send_zero(now_ns)
            self._tell()
            if self._node_link.closed:
                orphaned_s = orphaned_s or time.monotonic()
                if time.monotonic() - orphaned_s > _ORPHAN_S:
                    break
        self._executor.shutdown()
        thread.join()
        self._ros.close()

    def _listen(self) -> None:
        """Take in what the control process has announced."""
        now_ns = time.monotonic_ns()
        for message in self._control_link.receive():
            if isinstance(message, Announcement):
                self._guard.announce(message, now_ns)
                self._stamp_ns = message.stamp_ns or self._stamp_ns
        if self._control_link.closed:
            self._guard.lose_control(now_ns)

    def _on_command(self, message: Any) -> None:
        stamped = self._action.type == TWIST_STAMPED_TYPE
        stamp_ns = None
        if stamped:
            stamp_ns = message.header.stamp.sec * _NS_PER_S + message.header.stamp.nanosec
        values = _values(self._action.fields, message.twist if stamped else message)
        with self._lock:
            # Announcements are sent before commands, so they are here by now.
            self._listen()
            now_ns = time.monotonic_ns()
            if self._guard.see(stamp_ns, values, now_ns):
                self._send_zero(now_ns)

    def _send_zero(self, now_ns: int) -> None:
        self._zero_due_ns = now_ns + self._action.period_ns
        stamp_ns = self._stamp_ns if self._simulated else time.time_ns()
        zero = np.zeros(self._action.size)
        self._guard.expect(stamp_ns, zero.tolist(), now_ns)
        self._publish(zero, stamp_ns)

    def _tell(self) -> None:
        """Say what is wrong: to the processes, in the log, in the diagnostics."""
        fault = self._guard.fault
        if fault and fault != self._told:
            if self._guard.control_is_at_fault:
                self._node_link.send(Trip(fault))
            else:
                fault += f" on {self._topic}{self._others()}"
            self._control_link.send(Trip(fault))
            self._ros.node.get_logger().error(f"commanding zero: {fault}")
        changed = bool(self._guard.fault) != bool(self._told)
        self._told = self._guard.fault
        now_s = time.monotonic()
        if changed or (self._guard.running and now_s - self._diagnosed_s > _DIAGNOSTICS_PERIOD_S):
            self._diagnosed_s = now_s
            self._diagnose(fault)

    def _others(self) -> str:
        """Who else publishes on the command topic, as far as the graph says."""
        ours = {f"{self._node_name}_control", f"{self._node_name}_watchdog"}
        endpoints = self._ros.node.get_publishers_info_by_topic(self._topic)
        others = sorted({end.node_name for end in endpoints} - ours)
        return f": {', '.join(others)}" if others else ""

    def _diagnose(self, fault: str) -> None:
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

        level = DiagnosticStatus.ERROR if fault else DiagnosticStatus.OK
        text = f"commanding zero: {fault}" if fault else "watching"
        array = DiagnosticArray()
        array.header.stamp = self._ros.node.get_clock().now().to_msg()
        array.status = [
            DiagnosticStatus(level=level, name=f"{self._node_name}: watchdog", message=text)
        ]
        self._diagnostics.publish(array)


def _values(fields: tuple[str, ...], twist: Any) -> list[float]:
    parts = (field.split(".") for field in fields)
    return [getattr(getattr(twist, vector), axis) for vector, axis in parts]


if __name__ == "__main__":
    sys.exit(main())
