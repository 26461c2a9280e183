"""Policy nodes in a process that they share with each other and with nodes of any other kind.

executor = MultiThreadedExecutor(num_threads=2 * THREADS)
nodes = [PolicyNode(namespace="left"), PolicyNode(namespace="right")]
for node in (*nodes, camera):
    executor.add_node(node)
spin(executor, nodes)
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rclpy.executors import Executor

    from vla_policy_node.policy_node import PolicyNode

THREADS: Final = 8
"""Threads of an executor for one policy node: one for a goal that runs, one for a transition that
waits, the others for short callbacks. With all of them taken, rclpy's executor would turn in
circles."""


def spin(executor: Executor, nodes: Sequence[PolicyNode]) -> None:
    """Spin until the executor is shut down, whatever transitions its policy nodes make.

    rclpy collects the entities to wait for without a lock: one that a transition of a node destroys
    at that moment is an error there, which must not end the other nodes of the process.

    Args:
        executor: to which all nodes were added.
        nodes: those of this package among them.

    Raises:
        Exception: what a callback raised.
    """
    while not _spin_on(executor, nodes):
        pass


def _spin_on(executor: Executor, nodes: Sequence[PolicyNode]) -> bool:
    """Spin until the executor is shut down (True) or has tripped over a destroyed entity."""
    from rclpy.exceptions import InvalidHandle
    from rclpy.impl.implementation_singleton import rclpy_implementation

    try:
        executor.spin()
    except (InvalidHandle, rclpy_implementation.RCLError):
        if not any(node.has_just_released for node in nodes):
            raise
        return False
    return True


class GarbagePause:
    """Keeps full collections short while any policy node of the process is active.

    A full collection would go through everything that was ever imported, and hold up signs of life
    and frames for tens of milliseconds. What is frozen belongs to the process: the last node that
    becomes inactive gives it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active = 0

    def begin(self) -> None:
        """A node becomes active."""
        with self._lock:
            self._active += 1
            gc.collect()
            gc.freeze()

    def end(self) -> None:
        """A node that was active is so no longer."""
        with self._lock:
            self._active -= 1
            if self._active == 0:
                gc.unfreeze()


GARBAGE_PAUSE: Final = GarbagePause()
"""Of this process."""
