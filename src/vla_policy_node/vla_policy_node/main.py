"""The process of the policy node: threads, signals, exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.executors import Executor

    from vla_policy_node.policy_node import PolicyNode

# Python's default of 5 ms is how long a decoding thread may keep a sign of life or a frame waiting.
_SWITCH_INTERVAL_S = 0.0005
_SIGNAL_POLL_S = 0.2


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to end.

    Returns:
        Exit code: 0 after SIGINT or SIGTERM, 1 after an error.
    """
    # Before anything imports numpy. Images are small: a second BLAS thread gains nothing here, and
    # spins on a core that others need.
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    import rclpy
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
    from rclpy.executors import MultiThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from vla_policy_node.composition import THREADS
    from vla_policy_node.policy_node import PolicyNode

    stop = threading.Event()
    # Our own handlers: rclpy's would close the context before the last zero command is out.
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        node = PolicyNode()
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f"vla_policy: error: {error}", file=sys.stderr)  # noqa: T201
        rclpy.try_shutdown()
        return 1
    executor = MultiThreadedExecutor(THREADS)
    executor.add_node(node)
    failures: list[str] = []
    spinner = threading.Thread(target=_spin, args=(executor, node, stop, failures), name="executor")
    spinner.start()
    # Not one long wait: a signal that the kernel gives to another thread does not interrupt it.
    while not stop.wait(_SIGNAL_POLL_S):
        pass
    node.close()
    for failure in failures:
        node.get_logger().fatal(f"a callback failed:\n{failure}")
    exit_code = 1 if failures else 0
    executor.shutdown()
    spinner.join()
    node.destroy_node()
    rclpy.try_shutdown()
    return exit_code


def _spin(executor: Executor, node: PolicyNode, stop: threading.Event, failures: list[str]) -> None:
    """Spin until the executor is shut down; an exception of a callback ends the node."""
    from vla_policy_node.composition import spin

    try:
        spin(executor, [node])
    except Exception:
        failures.append(traceback.format_exc())
        stop.set()


if __name__ == "__main__":
    sys.exit(main())
