"""Runs a node as a process: signals end it cleanly."""

import functools
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TypeVar

import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

_WAIT_S = 0.2
_Node = TypeVar("_Node", bound=LifecycleNode)
_Transition = Callable[[_Node, LifecycleState], TransitionCallbackReturn]


def logged(transition: _Transition[_Node]) -> _Transition[_Node]:
    """Decorate a transition, so that an exception is logged; rclpy drops it silently."""

    @functools.wraps(transition)
    def wrapper(node: _Node, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception:
            node.get_logger().error(
                f"{transition.__name__} failed in state {state.label}:\n{traceback.format_exc()}"
            )
            return TransitionCallbackReturn.ERROR

    return wrapper


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Spin a node until SIGINT or SIGTERM.

    Args:
        make_node: creates the node once the context is initialised. A method ``close()`` of the
            node, where there is one, is called at the end.
        args: command line with ROS arguments; None takes that of the process.

    Returns:
        Exit code of the process: 0, or 1 where a parameter cannot be used.
    """
    rclpy.init(
        args=list(args) if args is not None else sys.argv,
        signal_handler_options=SignalHandlerOptions.NO,
    )
    executor = SingleThreadedExecutor()
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        node = make_node()
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        rclpy.try_shutdown()
        return 1
    executor.add_node(node)
    try:
        while not stopped and rclpy.ok():
            try:
                executor.spin_once(timeout_sec=_WAIT_S)
            except RCLError as error:
                # rclpy lets a request for an impossible transition end the process.
                node.get_logger().error(" ".join(str(error).split()))
    finally:
        close = getattr(node, "close", None)
        if close is not None:
            close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
