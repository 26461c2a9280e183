"""The node's end of the inference process."""

from __future__ import annotations

import socket
import time
from multiprocessing.connection import Connection
from typing import Any

from vla_core.frames import Frame
from vla_policy_node.child_process import ChildProcess
from vla_policy_node.errors import WorkerError
from vla_policy_node.inference.worker import Ping, Ready, Reply, Request, WorkerSpec

_CHECK_S = 0.05
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerProcess:
    """Starts the inference process and exchanges frames and chunks with it.

    Everything but `kill` belongs to one thread, which lives as long as the process shall live: on
    Linux the kernel ends the process with the thread that started it.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = ChildProcess(
                "inference process",
                "vla_policy_node.inference.worker",
                [theirs.fileno()],
                environment={name: str(spec.threads) for name in _THREAD_VARIABLES},
            )
        self._connection = Connection(ours.detach())
        self._spec = spec
        self._sequence = 0

    @property
    def pid(self) -> int:
        """Its process identifier."""
        return self._process.pid

    def wait_until_ready(self, timeout_s: float) -> Ready:
        """Wait until it has loaded and warmed up.

        Raises:
            WorkerError: it cannot load the bundle, it died, or the time is over.
        """
        try:
            self._connection.send(self._spec)
            ready: Ready = self._receive(timeout_s, f"is not ready after {timeout_s:g} s")
        except OSError as error:
            raise WorkerError(self.obituary()) from error
        if ready.error:
            raise WorkerError(ready.error)
        return ready

    def infer(self, frame: Frame, instruction: str, timeout_s: float) -> Reply:
        """Compute one chunk.

        Returns:
            The reply; its `error` is set if the policy failed while the process lives on.

        Raises:
            WorkerError: the process died or did not answer in time; it is of no further use.
        """
        self._sequence += 1
        return self._ask(Request(self._sequence, frame, instruction), timeout_s)

    def problem(self, timeout_s: float) -> str:
        """Why the policy could compute nothing now, although it is not asked to; mostly empty.

        Only a policy somewhere else is asked for it: one in the process fails with the process.

        Raises:
            WorkerError: as of `infer`.
        """
        if self._spec.runtime != "remote":
            return ""
        self._sequence += 1
        return self._ask(Ping(self._sequence), timeout_s).error

    def check(self) -> None:
        """Make sure that the process can work.

        Raises:
            WorkerError: it has ended or was stopped; it is of no further use.
        """
        if not self._process.is_alive():
            raise WorkerError(self.obituary())
        if self._process.is_suspended():
            self._process.kill()
            raise WorkerError(f"{self._process} was stopped")

    def stop(self) -> None:
        """End the process: by the end of its pipe, or else by force."""
        self._connection.close()
        self._process.stop()

    def kill(self) -> None:
        """End the process at once; whoever waits for its answer gets a `WorkerError`."""
        self._process.kill()

    def obituary(self) -> str:
        """How the process ended."""
        return self._process.obituary()

    def _receive(self, timeout_s: float, complaint: str) -> Any:
        deadline_s = time.monotonic() + timeout_s
        try:
            while not self._connection.poll(min(_CHECK_S, max(0.0, deadline_s - time.monotonic()))):
                if time.monotonic() >= deadline_s:
                    raise WorkerError(f"{self._process} {complaint}")
                self.check()
            return self._connection.recv()
        except EOFError as error:
            raise WorkerError(self.obituary()) from error

    def _ask(self, question: Request | Ping, timeout_s: float) -> Reply:
        try:
            self._connection.send(question)
            reply: Reply = self._receive(timeout_s, f"gave no answer for {timeout_s:g} s")
        except OSError as error:
            raise WorkerError(self.obituary()) from error
        if reply.sequence != question.sequence:
            raise WorkerError(f"{self._process} answered out of turn")
        return reply
