"""The live picture of a robot's camera as a web page on this machine: behind ``vla watch``."""

from __future__ import annotations

import io
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any, Final

import numpy as np
import rclpy
from PIL import Image
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions

from vla_bringup.preflight import current_domain_id
from vla_core.contract import Contract, StreamSpec
from vla_core.decoding import reading_from_message
from vla_core.errors import DecodeError, VlaError
from vla_core.keys import IMAGE
from vla_core.readings import ImageReading
from vla_policy_node.control.command_messages import message_class

HOST: Final = "127.0.0.1"
"""What a robot sees is shown to nobody but this machine."""
QUALITY: Final = 85
SPIN_S: Final = 0.1
SILENCE_S: Final = 1.0
_BOUNDARY: Final = "frame"
_PAGE: Final = b"""<!doctype html><meta charset="utf-8"><title>camera</title>
<style>body{margin:0;background:#222}img{width:100vw;height:100vh;object-fit:contain}</style>
<img src="/stream" alt="waiting for the camera">"""


class CameraPageError(VlaError):
    """The page cannot be served."""


class CameraPage:
    """An HTTP server in threads of its own; a context manager.

    Attributes:
        url: of the page.
    """

    def __init__(self, port: int = 0) -> None:
        """Bind the port.

        Args:
            port: TCP port of the loopback interface, 0 for any that is free.

        Raises:
            CameraPageError: the port is taken.
        """
        self._condition = threading.Condition()
        self._jpeg = b""
        self._number = 0
        self._closed = False
        try:
            self._server = _Server((HOST, port), self)
        except (OSError, OverflowError) as error:
            raise CameraPageError(
                f"port {port} of {HOST} cannot be used ({error}); give another one with --port, or "
                "0 for any that is free"
            ) from error
        self.url = f"http://{HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    def __enter__(self) -> CameraPage:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def show(self, rgb: np.ndarray) -> None:
        """Hand out a new picture, (H, W, 3) uint8 RGB."""
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "JPEG", quality=QUALITY)
        with self._condition:
            self._jpeg = buffer.getvalue()
            self._number += 1
            self._condition.notify_all()

    def next_picture(self, after: int) -> tuple[int, bytes] | None:
        """Number and JPEG of a picture newer than `after`; None when the server ends.

        While none comes the last one is repeated now and then, so that a browser that has left is
        noticed.
        """
        with self._condition:
            while not self._closed:
                fresh = self._condition.wait_for(
                    lambda: self._closed or self._number > after, SILENCE_S
                )
                if self._number and not self._closed and (fresh or after):
                    return self._number, self._jpeg
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], page: CameraPage) -> None:
        self.page = page
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer with the page or the stream of pictures."""
        if self.path == "/":
            self._begin("text/html; charset=utf-8")
            self.wfile.write(_PAGE)
        elif self.path == "/stream":
            self._begin(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            self._stream()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _begin(self, content_type: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()

    def _stream(self) -> None:
        number = 0
        try:
            while (newest := self.server.page.next_picture(number)) is not None:
                number, jpeg = newest
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                self.wfile.write(f"{head}Content-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg)
        except (BrokenPipeError, ConnectionResetError):
            return  # the browser has left

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are no news."""


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
    with CameraPage(port) as page:
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


def _show(page: CameraPage, node: Node, stream: StreamSpec, message: Any) -> None:
    try:
        reading = reading_from_message(stream, message)
    except DecodeError as error:
        node.get_logger().error(str(error), throttle_duration_sec=5.0)
        return
    assert isinstance(reading, ImageReading)
    page.show(reading.rgb)
