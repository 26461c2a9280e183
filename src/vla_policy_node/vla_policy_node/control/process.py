"""The control process: takes the action for now, limits it and publishes it, 20 times a second.

It has one thread and nothing to do but this, so that neither sensor callbacks nor inference can
delay a command. The node tells it what to do through a socket that it never waits for. It commands
zero by itself when the node hangs, is stopped or ends, and stays there until the next goal.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from vla_core.contract import Contract
from vla_policy_node.child_process import describe_failure, is_stopped
from vla_policy_node.control.link import Link, wait
from vla_policy_node.control.messages import Ready, Setup, Trip
from vla_policy_node.control.server import ControlServer

_NICENESS = -10


def main() -> int:
    """Serve the node and the watchdog whose sockets are the first and the second argument."""
    ignore_signals()
    node, watchdog = (Link.inherited(int(number)) for number in sys.argv[1:3])
    setup = wait_for_setup(node)
    if setup is None:
        return 0
    # Before there are threads: one of the middleware that holds a lock must not wait for its turn.
    scheduling = schedule_at(setup.priority)
    try:
        contract = Contract.from_yaml(setup.contract)
        ros = RosProcess(setup, "control")
        publish = ros.command_publisher(contract, setup.topic)
    except Exception as error:
        node.send(Ready(error=describe_failure(error)))
        return 1
    server = ControlServer(
        contract,
        setup,
        publish=publish,
        report=node.send,
        announce=watchdog.send,
        node_is_stopped=lambda: is_stopped(os.getppid()),
    )
    # There are no cycles to collect, and a collection would hold up a tick.
    gc.collect()
    gc.freeze()
    gc.disable()
    node.send(Ready(scheduling=scheduling))
    _serve(server, node, watchdog)
    ros.close()
    return 0


def _serve(server: ControlServer, node: Link, watchdog: Link) -> None:
    """Serve until the node has gone and the robot has been told to stand still."""
    while not node.closed or server.busy:
        wake_ns = server.next_wake_ns()
        wait(
            [node, watchdog],
            None if wake_ns is None else 1e-9 * (wake_ns - time.monotonic_ns()),
        )
        for message in node.receive():
            server.take(message, time.monotonic_ns())
        for message in watchdog.receive():
            if isinstance(message, Trip):
                server.trip(message.reason, time.monotonic_ns())
        if node.closed:
            server.trip("the process of the node has ended", time.monotonic_ns())
        server.run(time.monotonic_ns())


class RosProcess:
    """A context and a node without anything that has to be spun.

    Args:
        setup: what the node asks for.
        role: what its name ends with.
    """

    def __init__(self, setup: Setup, role: str) -> None:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        rclpy.init(
            args=[], domain_id=setup.domain_id, signal_handler_options=SignalHandlerOptions.NO
        )
        self.node = rclpy.create_node(
            f"{setup.node_name}_{role}",
            namespace=setup.namespace,
            use_global_arguments=False,
            start_parameter_services=False,
        )

    def command_publisher(self, contract: Contract, topic: str) -> Callable[[Any, int], None]:
        """Publishes (A,) [m/s, rad/s] with a stamp [ns] from now on."""
        from vla_policy_node.control.command_messages import command_message, message_class

        publisher = self.node.create_publisher(message_class(contract.action.type), topic, 1)

        def publish(values: Any, stamp_ns: int) -> None:
            publisher.publish(command_message(contract, values, stamp_ns))

        return publish

    def close(self) -> None:
        """Leave the graph."""
        import rclpy

        self.node.destroy_node()
        rclpy.try_shutdown()


def ignore_signals() -> None:
    """Leave it to the node to end this process: signals may reach the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def wait_for_setup(node: Link) -> Setup | None:
    """The first message; None if the node has ended before it."""
    while not node.closed:
        wait([node], None)
        for message in node.receive():
            if isinstance(message, Setup):
                return message
    return None


def schedule_at(priority: int) -> str:
    """Have this thread, and those that it starts, run before others; says how far that went.

    Args:
        priority: of SCHED_FIFO, 0 to leave everything as it is.
    """
    if priority > 0 and hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            return f"SCHED_FIFO, priority {priority}"
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
            return f"niceness {_NICENESS}"
    return "as any other process"


if __name__ == "__main__":
    sys.exit(main())
