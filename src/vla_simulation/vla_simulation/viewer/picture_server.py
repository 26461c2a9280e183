"""Serves pictures that change as a web page to browsers on this machine."""

from __future__ import annotations

import io
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, TypeVar

import numpy as np
from PIL import Image

from vla_simulation.errors import SimulationError

HOST: Final = "127.0.0.1"
"""Nobody but this machine: what a robot sees is private, and a page may drive it."""
_BOUNDARY: Final = "frame"
_QUALITY: Final = 85
_KEEP_ALIVE_S: Final = 1.0
_Opened = TypeVar("_Opened", bound="PictureServer")


class PictureServer:
    """An HTTP server in threads of its own; a context manager.

    Attributes:
        page: HTML, which shows `/stream`.
        url: of the page.
    """

    def __init__(
        self, page: bytes, port: int = 0, handler: type[PictureHandler] | None = None
    ) -> None:
        """Bind the port.

        Args:
            page: HTML, which shows `/stream`.
            port: TCP port of the loopback interface, 0 for any that is free.
            handler: answers requests; `PictureHandler` if it is None.

        Raises:
            SimulationError: the port is taken, or is none.
        """
        self.page = page
        self._condition = threading.Condition()
        self._jpeg = b""
        self._number = 0
        self._closed = False
        try:
            self._server = _Server((HOST, port), self, handler or PictureHandler)
        except (OSError, OverflowError) as error:
            raise SimulationError(
                f"port {port} of {HOST} cannot be used ({getattr(error, 'strerror', None) or error}"
                "); give another one with --port, or 0 for any that is free"
            ) from error
        self.url = f"http://{HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    def __enter__(self: _Opened) -> _Opened:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def show(self, picture: np.ndarray) -> None:
        """Hand out a new picture, (H, W, 3) uint8 RGB."""
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=_QUALITY)
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
                self._condition.wait_for(
                    lambda: self._closed or self._number > after, _KEEP_ALIVE_S
                )
                if self._number and not self._closed:
                    return self._number, self._jpeg
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], pictures: PictureServer, handler: type[PictureHandler]
    ) -> None:
        self.pictures = pictures
        super().__init__(address, handler)


class PictureHandler(BaseHTTPRequestHandler):
    """Answers with the page, or with its stream of pictures."""

    server: _Server

    def do_GET(self) -> None:
        """What is asked for, if this machine's page asks for it."""
        if self.is_local():
            self.get()

    def do_POST(self) -> None:
        """Take what is sent, if this machine's page sends it."""
        if self.is_local():
            self.post()

    def post(self) -> None:
        """Take what this machine sends: nothing, unless a page has wishes."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def get(self) -> None:
        """Answer a request of this machine's."""
        if self.path == "/":
            self.answer("text/html; charset=utf-8", self.server.pictures.page)
        elif self.path == "/stream":
            self._stream()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, *_: object) -> None:
        """Say nothing: a page that polls would fill the terminal."""

    def is_local(self) -> bool:
        """Whether the page was asked for by its own address; refuses what was not.

        Another site that has its name resolved to this machine gets nothing (DNS rebinding), and
        neither do its forms and scripts.
        """
        port = self.server.server_port
        homes = [f"{HOST}:{port}", f"localhost:{port}"]
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in homes and origin in (None, *(f"http://{h}" for h in homes)):
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def answer(self, kind: str, body: bytes, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send a whole answer of a media type."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        """Motion JPEG: one picture replaces the other, as long as the browser listens."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        number = 0
        try:
            while (picture := self.server.pictures.next_picture(number)) is not None:
                number, jpeg = picture
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                head += f"Content-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the browser has left
