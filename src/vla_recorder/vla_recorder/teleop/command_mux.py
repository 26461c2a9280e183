"""Node that stands between those who drive and the robot, and says who drives."""

from __future__ import annotations

import signal
import sys
import time
from functools import partial
from types import FrameType
from typing import Any, Final

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger
from vla_msgs.msg import Driver

from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_recorder.errors import TeleopError
from vla_recorder.teleop.command_arbiter import PERSON, POLICY, Command, CommandArbiter
from vla_recorder.teleop.twist_messages import command_message, command_type, command_values

MUX: Final = "command_mux"
DRIVER_TOPIC: Final = "driver"
_DRIVER_PERIOD_S: Final = 1.0
_WAIT_S: Final = 0.1


def mux_topic(source: str, topic: str) -> str:
    """Where a source of commands publishes, by the topic of the robot."""
    return f"{source}/{topic.lstrip('/')}"


class CommandMux(Node):
    """Passes the commands of `policy/…` and `person/…` on to the contract's topic."""

    def __init__(self) -> None:
        """Subscribe.

        Raises:
            VlaError: the contract cannot be read.
        """
        super().__init__(MUX)
        descriptor = ParameterDescriptor(description="contract of the robot", read_only=True)
        path = self.declare_parameter("contract", "", descriptor).value
        if not path:
            raise TeleopError("parameter contract is empty; give the path of a contract (YAML)")
        self._contract = Contract.load(path)
        self._arbiter = CommandArbiter(self._contract.action)
        self._told: tuple[str, float] = ("", -_DRIVER_PERIOD_S)
        kind, topic = command_type(self._contract), self._contract.action.topic
        self._commands = self.create_publisher(kind, topic, QoSProfile(depth=1))
        self._driver = self.create_publisher(Driver, DRIVER_TOPIC, QoSProfile(depth=10))
        for source in (POLICY, PERSON):
            self.create_subscription(
                kind, mux_topic(source, topic), partial(self._on_command, source), 1
            )
        self.create_service(Trigger, "~/release", self._on_release)
        period_s = 1.0 / self._contract.action.rate_hz
        self.create_timer(period_s, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_command(self, source: str, message: Any) -> None:
        now_s = time.monotonic()
        values = command_values(self._contract, message)
        self._publish(self._arbiter.hear(source, values, now_s))
        self._tell(now_s)

    def _on_release(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._arbiter.release()
        response.message = "given back" if response.success else "nobody had taken over"
        self._tell(time.monotonic())
        return response

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._publish(self._arbiter.tick(now_s))
        self._tell(now_s)

    def _publish(self, values: Command | None) -> None:
        if values is not None:
            stamp = self.get_clock().now().to_msg()
            self._commands.publish(command_message(self._contract, values, stamp))

    def _tell(self, now_s: float) -> None:
        driver = self._arbiter.driver(now_s)
        told, told_s = self._told
        if driver == told and now_s - told_s < _DRIVER_PERIOD_S:
            return
        if driver != told:
            self.get_logger().info(f"driver: {driver or 'nobody'}")
        self._told = driver, now_s
        message = Driver(driver=driver)
        message.header.stamp = self.get_clock().now().to_msg()
        self._driver.publish(message)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        node = CommandMux()
    except VlaError as error:
        print(f"{MUX}: error: {error}", file=sys.stderr)  # noqa: T201
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stopped:
        executor.spin_once(timeout_sec=_WAIT_S)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
