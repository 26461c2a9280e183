"""Runs inference beside the control loop: a thread that owns the inference process."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vla_core.errors import VlaError
from vla_core.frames import Frame
from vla_policy_node.errors import WorkerError
from vla_policy_node.inference_worker import Ready, WorkerSpec
from vla_policy_node.worker_process import WorkerProcess

_GONE = "there is no inference process any more: clean up the node and configure it anew"
_IDLE_CHECK_S = 0.5
_JOIN_TIMEOUT_S = 1.0


class Logger(Protocol):
    """The part of a ROS or standard logger that is used here."""

    def info(self, message: str) -> object:
        """Log what happens."""

    def warning(self, message: str) -> object:
        """Log what should not happen."""

    def error(self, message: str) -> object:
        """Log what went wrong."""


class ChunkTarget(Protocol):
    """Where chunks go, and who knows whether another one is wanted."""

    def wants_chunk(self, now_ns: int) -> bool:
        """Whether a chunk that is computed now would be used."""

    def add_chunk(self, stamp_ns: int, actions: npt.NDArray[np.float32]) -> None:
        """Take a chunk, (H, A), computed from the frame of `stamp_ns`."""


@dataclass(frozen=True)
class InferenceSettings:
    """How inference runs.

    Attributes:
        timeout_s: a longer inference counts as hung, and the process is replaced.
        start_timeout_s: to load and warm up.
        max_restarts: how often a lost process is replaced.
    """

    timeout_s: float
    start_timeout_s: float
    max_restarts: int


@dataclass(frozen=True)
class InferenceState:
    """How inference is doing.

    Attributes:
        worker_pid: process identifier, None while there is none.
        ready: whether the process can take a frame.
        latency_s: from the assembly of a frame to its chunk, NaN before the first.
        chunks: computed since the node was configured.
        restarts: of the process.
        fault: why the running goal gets no more chunks; empty if it does.
    """

    worker_pid: int | None = None
    ready: bool = False
    latency_s: float = math.nan
    chunks: int = 0
    restarts: int = 0
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Goal:
    """What is inferred for.

    Attributes:
        instruction: what the policy is told.
        target: where its chunks go.
    """

    instruction: str
    target: ChunkTarget


class InferenceLoop:
    """Computes chunks between `begin` and `end`, each right after a control tick.

    The tick calls `notify_tick` when it has published. Decoding, which shares the interpreter with
    the tick, then has most of a period before the next one.

    A fault (process lost, hung, policy failed, undecodable message) ends the chunks until the next
    `begin`. A lost process is replaced at once, `max_restarts` times in all: the next goal finds a
    new one, the running goal fails.

    Args:
        spec: what the process loads.
        settings: how it runs.
        assemble: makes the frame of a time.
        log: for what a person has to know.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        settings: InferenceSettings,
        *,
        assemble: Callable[[int], Frame],
        log: Logger,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._assemble = assemble
        self._log = log
        self._condition = threading.Condition()
        self._state = InferenceState()
        self._goal: Goal | None = None
        self._closing = False
        self._tick_ns: int | None = None
        self._worker: WorkerProcess | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    @property
    def state(self) -> InferenceState:
        """A snapshot."""
        return self._state

    def start(self) -> None:
        """Start the process and wait until it has warmed up.

        Raises:
            WorkerError: it cannot serve; the loop is closed then.
        """
        self._thread.start()
        with self._condition:
            self._condition.wait_for(
                lambda: self._state.ready or self._state.fault or self._closing
            )
            problem = self._state.fault or ("closed while it was starting" * self._closing)
        if problem:
            self.close()
            raise WorkerError(problem)

    def begin(self, instruction: str, target: ChunkTarget) -> None:
        """Compute chunks for `instruction` from now on."""
        with self._condition:
            alive = self._thread.is_alive()
            self._update(fault="" if alive else _GONE, latency_s=math.nan)
            self._goal = Goal(instruction, target)
            self._condition.notify_all()

    def notify_tick(self, tick_ns: int) -> None:
        """Say that the control tick of `tick_ns` is over; its frame is the next to be used."""
        with self._condition:
            self._tick_ns = tick_ns
            self._condition.notify_all()

    def end(self) -> None:
        """Compute no more chunks; one that is under way is dropped."""
        with self._condition:
            self._goal = None
            self._condition.notify_all()

    def close(self) -> None:
        """End the process and the thread. Safe to call twice."""
        with self._condition:
            self._closing = True
            self._goal = None
            self._condition.notify_all()
        if not self._thread.is_alive():
            return
        if self._state.ready:
            self._thread.join(_JOIN_TIMEOUT_S)
        while self._thread.is_alive():
            if self._worker is not None:
                self._worker.kill()
            self._thread.join(_JOIN_TIMEOUT_S)

    def _run(self) -> None:
        try:
            while not self._closing and self._serve_one_process():
                self._update(restarts=self._state.restarts + 1)
        except Exception as error:
            self._log.error(f"inference loop failed: {error}\n{traceback.format_exc()}")
            self._fail(f"inference loop failed: {error}")

    def _serve_one_process(self) -> bool:
        """Run a process until it is lost or nobody wants it; True if it shall be replaced."""
        worker = self._worker = WorkerProcess(self._spec)
        served = False
        try:
            ready = worker.wait_until_ready(self._settings.start_timeout_s)
            served = True
            self._announce(worker, ready)
            self._serve(worker)
            return False
        except WorkerError as error:
            return self._lost(error, served)
        finally:
            self._update(ready=False, worker_pid=None)
            worker.stop()

    def _lost(self, error: WorkerError, served: bool) -> bool:
        if self._closing:
            return False
        left = self._settings.max_restarts - self._state.restarts if served else 0
        if served or self._state.restarts:
            action = f"starting another, {left - 1} left after it" if left > 0 else "not replaced"
            self._log.error(f"{error}; {action}")
        self._fail(str(error))
        return left > 0

    def _announce(self, worker: WorkerProcess, ready: Ready) -> None:
        self._log.info(
            f"inference process {worker.pid} is ready: {ready.runtime}, "
            f"{1e3 * ready.latency_s:.1f} ms per chunk"
        )
        with self._condition:
            self._update(ready=True, worker_pid=worker.pid)
            self._condition.notify_all()

    def _serve(self, worker: WorkerProcess) -> None:
        while True:
            due = self._wait_for_tick(worker)
            if due is None:
                return
            self._infer(worker, *due)

    def _wait_for_tick(self, worker: WorkerProcess) -> tuple[int, Goal] | None:
        """The next tick of a goal that wants chunks; None when the loop is closed."""
        with self._condition:
            self._tick_ns = None
            while not self._closing:
                if self._tick_ns is not None and self._goal is not None and not self._state.fault:
                    return self._tick_ns, self._goal
                if not worker.is_alive():
                    raise WorkerError(worker.obituary())
                self._condition.wait(_IDLE_CHECK_S)
        return None

    def _infer(self, worker: WorkerProcess, tick_ns: int, goal: Goal) -> None:
        if not goal.target.wants_chunk(tick_ns):
            return
        started_s = time.monotonic()
        try:
            frame = self._assemble(tick_ns)
        except VlaError as error:
            self._fail(str(error), goal)
            return
        if not frame.valid.all():
            return
        reply = worker.infer(frame, goal.instruction, self._settings.timeout_s)
        if reply.actions is None:
            self._fail(f"the policy failed: {reply.error}", goal)
            return
        with self._condition:
            if self._goal is not goal:
                return
            latency_s = time.monotonic() - started_s
            self._update(latency_s=latency_s, chunks=self._state.chunks + 1)
            goal.target.add_chunk(frame.tick_ns, reply.actions)

    def _fail(self, fault: str, goal: Goal | None = None) -> None:
        """Note a fault, of one goal or of every one that may have begun meanwhile."""
        with self._condition:
            if goal is None or goal is self._goal:
                self._update(fault=fault)
                self._condition.notify_all()

    def _update(self, **changes: object) -> None:
        with self._condition:
            self._state = replace(self._state, **changes)  # type: ignore[arg-type]
