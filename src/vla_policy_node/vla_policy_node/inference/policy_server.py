"""The far end of the remote runtime: serves one policy to robots, over openpi's protocol."""

from __future__ import annotations

import http
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from vla_core.errors import VlaError
from vla_policy_node.errors import ServerError
from vla_policy_node.inference.remote_protocol import (
    ACTIONS,
    DISTANCES,
    SERVER_TIMING,
    describe_policy,
    frame_of,
    max_question_bytes,
    pack,
    unpack,
)
from vla_policy_node.inference.runtimes.protocol import Runtime
from vla_policy_node.inference.worker import blank_frame

_CLOSE_S = 1.0
_WARM_UP_RUNS = 3
_HEALTH_PATH = "/healthz"


class PolicyServer:
    """Serves a policy on a port.

    Any number of robots may be connected; their questions are answered one at a time. Nobody is
    asked who he is and nothing is encrypted: bind it to an address that only robots reach, or to
    the loopback with a tunnel.

    Args:
        runtime: computes the policy.
        host: address to listen on.
        port: 0 for any that is free.
        log: takes a line for a person.

    Raises:
        ServerError: the address cannot be listened on.
        VlaError: the policy fails.
    """

    def __init__(
        self, runtime: Runtime, host: str, port: int, log: Callable[[str], object]
    ) -> None:
        self._runtime = runtime
        self._log = log
        self._turn = threading.Lock()
        contract = runtime.bundle.contract
        self._greeting = pack(describe_policy(contract, runtime.name))
        for _ in range(_WARM_UP_RUNS):
            runtime.infer(blank_frame(contract), "warm up")
        try:
            self._server: Server = serve(
                self._converse,
                host,
                port,
                compression=None,
                max_size=max_question_bytes(contract),
                close_timeout=_CLOSE_S,
                process_request=_answer_health,
            )
        except OSError as error:
            raise ServerError(
                f"cannot listen on {host}:{port} ({error.strerror or error}); choose another "
                "--host or --port"
            ) from error

    @property
    def uri(self) -> str:
        """Where it is reached."""
        host, port = self._server.socket.getsockname()[:2]
        return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"

    def serve_forever(self) -> None:
        """Serve until `close` is called in another thread."""
        self._server.serve_forever()

    def close(self) -> None:
        """Hang up on everybody and listen no more; `serve_forever` must be running."""
        self._server.shutdown()

    def _converse(self, connection: ServerConnection) -> None:
        host, port = connection.remote_address[:2]
        robot = f"{host}:{port}"
        self._log(f"{robot} connected")
        try:
            connection.send(self._greeting)
            for data in connection:
                connection.send(pack(self._answer(data)))
        except ConnectionClosed:
            pass
        except VlaError as error:
            self._refuse(connection, robot, str(error))
        except Exception as error:
            self._log(traceback.format_exc())
            self._refuse(connection, robot, f"{type(error).__name__}: {error}")
        self._log(f"{robot} disconnected")

    def _answer(self, data: str | bytes) -> dict[str, Any]:
        contract = self._runtime.bundle.contract
        frame, instruction = frame_of(unpack(data, "question"), contract, "question")
        with self._turn:
            started_s = time.monotonic()
            actions = self._runtime.infer(frame, instruction)
            infer_ms = 1e3 * (time.monotonic() - started_s)
            distances = self._runtime.distances
        answer = {ACTIONS: actions, SERVER_TIMING: {"infer_ms": infer_ms}}
        return answer if distances is None else {**answer, DISTANCES: distances}

    def _refuse(self, connection: ServerConnection, robot: str, reason: str) -> None:
        """An error goes out as text and ends the conversation, as the protocol has it."""
        self._log(f"{robot}: {reason}")
        try:
            connection.send(reason)
            connection.close(CloseCode.INTERNAL_ERROR, "see the message before")
        except ConnectionClosed:
            pass


def _answer_health(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == _HEALTH_PATH:
        return connection.respond(http.HTTPStatus.OK, "OK\n")
    return None
