"""Targets of the link between a robot and a policy server: each end, with the other one lying."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import socket
import threading
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from vla_bringup.fuzzing.errors import AcceptedError, ReportedError
from vla_bringup.fuzzing.policy_subjects import write_small_bundle
from vla_bringup.fuzzing.samples import SENTENCES, frame_arrays
from vla_bringup.fuzzing.subject import Subject
from vla_bringup.fuzzing.wire import (
    CLOSE_HEAD,
    Conversation,
    binary_frame,
    join,
    packed,
    split,
    text_frame,
)
from vla_core import keys
from vla_core.errors import PolicyError
from vla_policy_node.inference.policy_server import PolicyServer
from vla_policy_node.inference.remote_protocol import (
    ACTIONS,
    DISTANCES,
    PROMPT,
    SERVER_TIMING,
    describe_policy,
)
from vla_policy_node.inference.runtimes.onnx import OnnxRuntime
from vla_policy_node.inference.runtimes.remote import RemoteRuntime
from vla_policy_node.inference.worker import blank_frame

_HOST: Final = "127.0.0.1"
_ANSWER_S: Final = 10.0
_PATIENCE_S: Final = 0.3
_FAREWELL: Final = "end of the input"
_BLOCK: Final = 1 << 16
_END: Final = b"\r\n\r\n"
_ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_REQUEST: Final = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_GOODBYE: Final = text_frame(_FAREWELL, masked=True).encode()


class Server(Subject):
    """A policy server, and what comes over TCP after the handshake, or in place of it."""

    suffix: ClassVar[str] = ".wire"
    format = Conversation()

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        logging.getLogger("websockets").addHandler(logging.NullHandler())
        self._log: list[str] = []
        bundle = write_small_bundle(scratch / "policy")
        self._contract = bundle.contract
        self._server = PolicyServer(OnnxRuntime(bundle.path), _HOST, 0, self._log.append)
        self._port = int(self._server.uri.rpartition(":")[2])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._uncaught: list[threading.ExceptHookArgs] = []
        self._former_hook = threading.excepthook
        threading.excepthook = self._uncaught.append

    def seeds(self) -> list[bytes]:
        """A question, two of them, one without validity, an error, and a request of HTTP."""
        question = {
            **frame_arrays(self._contract),
            keys.VALID: np.ones(len(self._contract.streams), bool),
            PROMPT: SENTENCES[0],
        }
        short = {key: value for key, value in question.items() if key != keys.VALID}
        frames = [binary_frame(packed(each), masked=True) for each in (question, short)]
        return [
            join(frames[:1]),
            join(frames),
            join([text_frame("an error", masked=True)]),
            b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        ]

    def consume(self, data: bytes) -> None:
        """Send it, hang up, and see whether the server has taken harm."""
        self._log.clear()
        # Answers come in order: with the last words, which are an error, all else was answered.
        answers = self._converse(data if data.startswith(b"GET ") else _REQUEST + data)
        if self._uncaught:
            found = self._uncaught.pop()
            raise found.exc_value or RuntimeError(str(found.exc_type))
        if not self._thread.is_alive():
            raise RuntimeError("the server has ended")
        traces = [line for line in self._log if "Traceback" in line]
        if traces:
            raise ReportedError(traces[0].strip())
        refusals = [line for line in self._log if "connected" not in line and _FAREWELL not in line]
        if refusals:
            raise PolicyError(refusals[0].partition(": ")[2])
        if not answers:
            raise PolicyError("the server said nothing")

    def close(self) -> None:
        """End the server."""
        self._server.close()
        threading.excepthook = self._former_hook

    def _converse(self, data: bytes) -> bytes:
        """What the server sends until it hangs up."""
        with socket.create_connection((_HOST, self._port)) as link:
            with contextlib.suppress(ConnectionError):
                link.sendall(data + _GOODBYE)
            try:
                return _heard(link)
            except TimeoutError as error:
                raise AcceptedError("the server kept a link that has ended") from error


class Client(Subject):
    """The remote runtime, and what a server sends over TCP after the handshake."""

    suffix: ClassVar[str] = ".wire"
    format = Conversation()

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        bundle = write_small_bundle(scratch / "policy")
        self._bundle, self._contract = bundle.path, bundle.contract
        self._listener = socket.create_server((_HOST, 0))
        self._port = self._listener.getsockname()[1]
        self._said = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def seeds(self) -> list[bytes]:
        """An answer, one with distances, an error, and a server that says nothing of itself."""
        greeting = binary_frame(packed(describe_policy(self._contract, "liar")), masked=False)
        action = self._contract.action
        actions = np.full((action.chunk_length, action.size), 0.1, np.float32)
        answers = (
            {ACTIONS: actions, SERVER_TIMING: {"infer_ms": 3.0}},
            {ACTIONS: actions.astype(np.float64), DISTANCES: np.ones(1, np.float32)},
        )
        return [
            *(join([greeting, binary_frame(packed(each), masked=False)]) for each in answers),
            join([greeting, text_frame("Traceback\nKeyError: 'image'", masked=False)]),
            join([binary_frame(packed({"name": "a policy"}), masked=False)]),
        ]

    def consume(self, data: bytes) -> None:
        """Connect to a server that says this, and ask for a chunk."""
        self._said = data
        runtime = RemoteRuntime(self._bundle, f"ws://{_HOST}:{self._port}", _ANSWER_S)
        try:
            chunk = runtime.infer(blank_frame(self._contract), SENTENCES[0])
            distances = runtime.distances
            _ = runtime.name
        finally:
            runtime.close()
        action = self._contract.action
        if chunk.shape != (action.chunk_length, action.size) or not np.isfinite(chunk).all():
            raise AcceptedError(f"a chunk of shape {chunk.shape}, or not finite")
        if distances is not None and distances.ndim != 1:
            raise AcceptedError(f"distances of shape {distances.shape}")

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return  # closed
            with link, contextlib.suppress(OSError):
                link.settimeout(_ANSWER_S)
                self._answer(link)

    def _answer(self, link: socket.socket) -> None:
        request = b""
        while _END not in request and (block := link.recv(_BLOCK)):
            request += block
        lines = dict(line.partition(b": ")[::2] for line in request.split(b"\r\n"))
        key = lines.get(b"Sec-WebSocket-Key", b"")
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT_GUID).digest())
        link.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + _END + self._said
        )
        _heard(link)


def _heard(link: socket.socket) -> bytes:
    """What the other end sends until it hangs up; it is told when nothing more will come.

    Raises:
        TimeoutError: it does not hang up.
    """
    heard, patience_s = b"", _PATIENCE_S
    while True:
        link.settimeout(patience_s)
        try:
            block = link.recv(_BLOCK)
        except ConnectionError:
            return heard
        except TimeoutError:
            if patience_s == _ANSWER_S:
                raise
            block = b""  # it waits for the rest of a frame that has none
        else:
            if not block:
                return heard
        heard += block
        if not block or _says_goodbye(heard):
            patience_s = _ANSWER_S
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_WR)


def _says_goodbye(heard: bytes) -> bool:
    """Whether there is a frame that closes a conversation, after the head of an answer of HTTP."""
    frames = heard.partition(_END)[2] if heard.startswith(b"HTTP") else heard
    return any(frame.head == CLOSE_HEAD for frame in split(frames))
