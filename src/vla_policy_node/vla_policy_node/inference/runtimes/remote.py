"""Policies on another machine, over openpi's websocket protocol."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from websockets.exceptions import WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from vla_core.bundle import PolicyBundle
from vla_core.errors import PolicyError
from vla_core.frames import Frame
from vla_policy_node.errors import ParameterError
from vla_policy_node.inference.remote_protocol import (
    MAX_ANSWER_BYTES,
    SERVER,
    check_policy,
    chunk_of,
    distances_of,
    pack,
    question_of,
    unpack,
)

# Of the time that an inference may take before its process counts as hung: a server that is too
# slow shall cost the goal and the link, not the process.
_ANSWER_SHARE = 0.75
_CLOSE_SHARE = 0.1
_IDLE_S = 2.0
_START_S = 10.0


class LinkLostError(PolicyError):
    """The connection to the server has ended."""


class RemoteRuntime:
    """Asks a policy server; the bundle here says what has to come back.

    The package `openpi-client` brings the encoding. Its own client is not used: it waits without
    limit, and cannot be closed.

    A link that is lost, a server that is late or answers with anything but a chunk fail the
    inference; the next inference opens the link again. A link that was lost while nobody used it
    (a server that was started anew between two goals) is opened again without a word.

    Args:
        path: folder of the bundle.
        uri: of the server, such as "ws://10.0.0.5:8000".
        timeout_s: an inference that takes longer is counted as hung by whoever asks.

    Raises:
        BundleError: the bundle cannot be loaded.
        ParameterError: the URI is none of a websocket.
        PolicyError: the server cannot be reached, or serves something else.
    """

    def __init__(self, path: Path, uri: str, timeout_s: float) -> None:
        if not _is_address(uri):
            raise ParameterError(
                f"remote_uri is '{uri}', expected the address of a policy server, such as "
                "ws://10.0.0.5:8000 (`vla serve` starts one)"
            )
        self.bundle = PolicyBundle.load(path)
        self._uri = uri
        self._who = f"policy server {uri}"
        self._answer_s = _ANSWER_SHARE * timeout_s
        self._close_s = _CLOSE_SHARE * timeout_s
        self._used_s = 0.0
        self._distances: npt.NDArray[np.float32] | None = None
        self._server = ""
        self._leave = contextlib.ExitStack()
        self._link: ClientConnection | None = self._connect(_START_S)

    @property
    def distances(self) -> npt.NDArray[np.float32] | None:
        """How far the server found the last frame from training, (G,); None if it does not say."""
        return self._distances

    @property
    def name(self) -> str:
        """Address of the server, and what it says of itself, for logs."""
        return f"{self._who} ({self._server})"

    def infer(self, frame: Frame, instruction: str) -> npt.NDArray[np.float32]:
        """Have one chunk computed, (H, A) float32 [m/s, rad/s].

        Raises:
            PolicyError: the link is lost, the answer did not come in time or is no chunk.
        """
        question = pack(question_of(frame, instruction))
        deadline_s = time.monotonic() + self._answer_s
        was_idle = time.monotonic() - self._used_s > _IDLE_S
        try:
            answer = self._ask(question, deadline_s)
        except LinkLostError:
            if not was_idle:
                raise
            answer = self._ask(question, deadline_s)
        chunk = chunk_of(answer, self.bundle.contract, self._who)
        self._distances = distances_of(answer)
        return chunk

    def problem(self) -> str:
        """That the link was lost since the last answer; empty if that is long ago."""
        link = self._link
        in_use = time.monotonic() - self._used_s <= _IDLE_S
        if link is None or not in_use or link.state is State.OPEN:
            return ""
        self.close()
        return f"{self._who}: the link was lost"

    def close(self) -> None:
        """End the link."""
        self._link = None
        with contextlib.suppress(OSError, WebSocketException):
            self._leave.close()

    def _ask(self, question: bytes, deadline_s: float) -> dict[str, Any]:
        link = self._link = self._link or self._connect(_left_s(deadline_s))
        try:
            link.send(question)
            data = link.recv(_left_s(deadline_s))
            self._used_s = time.monotonic()
            return unpack(data, self._who)
        except TimeoutError as error:
            # Its answer to this question must not be taken for the one to the next.
            self.close()
            raise PolicyError(
                f"{self._who}: no answer within {self._answer_s:.2f} s; the server or the network "
                "is too slow (parameter inference_timeout_s)"
            ) from error
        except (OSError, WebSocketException) as error:
            self.close()
            raise LinkLostError(f"{self._who}: the link was lost ({error})") from error
        except PolicyError:
            # Servers of this protocol hang up after an error.
            self.close()
            raise

    def _connect(self, timeout_s: float) -> ClientConnection:
        deadline_s = time.monotonic() + timeout_s
        try:
            with contextlib.ExitStack() as until_checked:
                link = until_checked.enter_context(
                    connect(
                        self._uri,
                        compression=None,
                        max_size=MAX_ANSWER_BYTES,
                        open_timeout=timeout_s,
                        close_timeout=self._close_s,
                        proxy=None,
                    )
                )
                metadata = unpack(link.recv(_left_s(deadline_s)), self._who)
                check_policy(metadata, self.bundle.contract, self._who)
                self._leave = until_checked.pop_all()
        except (OSError, WebSocketException) as error:
            reason = str(error) or type(error).__name__
            raise PolicyError(
                f"{self._who}: cannot be reached within {timeout_s:.2f} s ({reason}); start it "
                "with `vla serve`, or correct remote_uri"
            ) from error
        self._server = str(metadata.get(SERVER, "which does not say what it is"))
        return link


def _left_s(deadline_s: float) -> float:
    return max(1e-3, deadline_s - time.monotonic())


def _is_address(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False
