"""The live picture of a robot's camera as a web page on this machine: behind ``vla watch``."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, Final

import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions

from vla_bringup.preflight import current_domain_id
from vla_core.contract import Contract, StreamSpec
from vla_core.decoding import reading_from_message
from vla_core.errors import DecodeError
from vla_core.keys import IMAGE
from vla_core.readings import ImageReading
from vla_policy_node.control.command_messages import message_class
from vla_simulation.viewer.picture_server import PictureServer

SPIN_S: Final = 0.1
_PAGE: Final = b"""<!doctype html><meta charset="utf-8"><title>camera</title>
<style>body{margin:0;background:#222}img{width:100vw;height:100vh;object-fit:contain}</style>
<img src="/stream" alt="waiting for the camera">"""


def watch_camera(contract: Contract, *, namespace: str = "", port: int = 0) -> int:
    """Show the contract's image stream until SIGINT or SIGTERM.

    Args:
        contract: of the robot; its stream `image` is shown, as the camera publishes it.
        namespace: of the robot.
        port: of the page.

    Returns:
        0.

    Raises:
        VlaError: the port is taken, or the domain is none.
    """
    stream = contract.stream(IMAGE)
    current_domain_id()
    stopped = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        stopped.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    with PictureServer(_PAGE, port) as page:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = Node("vla_watch", namespace=namespace or None, start_parameter_services=False)
        try:
            node.create_subscription(
                message_class(stream.type),
                stream.topic,
                lambda message: _show(page, node, stream, message),
                qos_profile_sensor_data,
            )
            sys.stdout.write(
                f"{node.resolve_topic_name(stream.topic)} at {page.url} (Ctrl-C ends)\n"
            )
            sys.stdout.flush()
            while not stopped.is_set():
                rclpy.spin_once(node, timeout_sec=SPIN_S)
        finally:
            node.destroy_node()
            rclpy.try_shutdown()
    return 0


def _show(page: PictureServer, node: Node, stream: StreamSpec, message: Any) -> None:
    try:
        reading = reading_from_message(stream, message)
    except DecodeError as error:
        node.get_logger().error(str(error), throttle_duration_sec=5.0)
        return
    assert isinstance(reading, ImageReading)
    page.show(reading.rgb)
