"""Serves the picture as a web page to browsers on this machine."""

import importlib.resources
import io
import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

import numpy as np
from PIL import Image

from vla_simulation.errors import SimulationError
from vla_simulation.viewer.session import Session, Wish

HOST: Final = "127.0.0.1"
"""Nobody but this machine: the page drives a robot, if only a simulated one."""
_BOUNDARY: Final = "frame"
_QUALITY: Final = 85
_KEEP_ALIVE_S: Final = 1.0


class PageServer:
    """An HTTP server in threads of its own; a context manager.

    Attributes:
        url: of the page.
        session: takes the wishes.
    """

    def __init__(self, session: Session, port: int = 0) -> None:
        """Bind the port.

        Args:
            session: takes the wishes.
            port: TCP port of the loopback interface, 0 for any that is free.

        Raises:
            SimulationError: the port is taken.
        """
        self.session = session
        self._condition = threading.Condition()
        self._jpeg: bytes | None = None
        self._number = 0
        self._state: dict[str, Any] = {}
        self._closed = False
        try:
            self._server = _Server((HOST, port), self)
        except OSError as error:
            raise SimulationError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); give another one with "
                "--port, or 0 for any that is free"
            ) from error
        self.url = f"http://{HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    def __enter__(self) -> "PageServer":
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

    def show(self, picture: np.ndarray, state: dict[str, Any]) -> None:
        """Hand out a new picture, (H, W, 3) uint8 RGB, and what the page writes beside it."""
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=_QUALITY)
        with self._condition:
            self._jpeg, self._state = buffer.getvalue(), state
            self._number += 1
            self._condition.notify_all()

    def state(self) -> dict[str, Any]:
        """What the page writes beside the picture."""
        with self._condition:
            return dict(self._state)

    def next_picture(self, after: int) -> tuple[int, bytes] | None:
        """Number and JPEG of a picture newer than `after`; None when the server ends.

        While time stands still the last one is repeated now and then, so that a browser that has
        left is noticed.
        """
        deadline_s = time.monotonic() + _KEEP_ALIVE_S
        with self._condition:
            while not self._closed:
                if self._jpeg is not None and self._number > after:
                    return self._number, self._jpeg
                rest_s = deadline_s - time.monotonic()
                if rest_s <= 0.0 and self._jpeg is not None:
                    return self._number, self._jpeg
                self._condition.wait(max(rest_s, 0.05))
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], page: PageServer) -> None:
        self.page = page
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """The page, its stream of pictures, one picture, or the state."""
        if not self._is_local():
            return
        if self.path == "/":
            files = importlib.resources.files("vla_simulation.viewer")
            self._answer("text/html; charset=utf-8", files.joinpath("page.html").read_bytes())
        elif self.path == "/state":
            self._answer("application/json", json.dumps(self.server.page.state()).encode())
        elif self.path == "/picture.jpg":
            picture = self.server.page.next_picture(after=0)
            if picture is not None:
                self._answer("image/jpeg", picture[1])
        elif self.path == "/stream":
            self._stream()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """A wish."""
        if not self._is_local():
            return
        name = self.path.removeprefix("/wish/")
        if name not in [wish.value for wish in Wish]:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.server.page.session.wish(Wish(name))
        self._answer("text/plain", b"", HTTPStatus.ACCEPTED)

    def log_message(self, *_: object) -> None:
        """Say nothing: a page that polls would fill the terminal."""

    def _is_local(self) -> bool:
        """Whether the page was asked for by its own address.

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

    def _answer(self, kind: str, body: bytes, status: HTTPStatus = HTTPStatus.OK) -> None:
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
            while (picture := self.server.page.next_picture(number)) is not None:
                number, jpeg = picture
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                head += f"Content-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the browser has left
