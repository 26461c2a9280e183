"""Runs inference beside the control loop: threads that own one inference process each."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

from vla_core.bundle import PolicyBundle
from vla_core.errors import VlaError
from vla_core.frames import Frame
from vla_policy_node.errors import WorkerError
from vla_policy_node.inference.settings import (
    ChunkTarget,
    Goal,
    InferenceSettings,
    InferenceState,
    Judge,
    Logger,
)
from vla_policy_node.inference.worker import Ready, Reply, WorkerSpec
from vla_policy_node.inference.worker_process import WorkerProcess

__all__ = ["ChunkTarget", "InferenceLoop", "InferenceSettings", "InferenceState", "Logger"]

_GONE = "there is no inference process any more: clean up the node and configure it anew"
_IDLE_CHECK_S = 0.5
_JOIN_TIMEOUT_S = 1.0


class _Lane:
    """A thread, and the process that it owns."""

    def __init__(self, index: int, run: Callable[[_Lane], None]) -> None:
        self.worker: WorkerProcess | None = None
        self.ready = False
        self.thread = threading.Thread(
            target=run, args=[self], name=f"inference {index}", daemon=True
        )

    def join(self) -> None:
        if self.thread.is_alive():
            self.thread.join(_JOIN_TIMEOUT_S)


class InferenceLoop:
    """Computes chunks between `begin` and `end`, each right after a control tick.

    The tick calls `notify_tick` when it has published. Decoding, which shares the interpreter with
    the tick, then has most of a period before the next one.

    A fault (process lost, hung, policy failed, undecodable message) ends the chunks until the next
    `begin`. A lost process is replaced at once, `max_restarts` times in all: the next goal finds a
    new one, the running goal fails.

    Several processes take the frames of different ticks, evenly spread over the time that an
    inference takes.

    Args:
        spec: what the process loads.
        settings: how it runs.
        assemble: makes the frame of a time.
        judge: gets the tick of each frame, its chunk, and how far it is from training; gives the
            chunk to carry out.
        log: for what a person has to know.
        on_fault: told at once why the running goal gets no more chunks.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        settings: InferenceSettings,
        *,
        assemble: Callable[[int], Frame],
        log: Logger,
        on_fault: Callable[[str], object] = lambda _: None,
        judge: Judge = lambda _, actions, __: actions,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._assemble = assemble
        self._log = log
        self._on_fault = on_fault
        self._judge = judge
        self._condition = threading.Condition()
        self._state = InferenceState()
        self._goal: Goal | None = None
        self._closing = False
        self._ticks = 0
        self._ticks_served = 0
        self._tick_ns = 0
        self._asked_ns = 0
        self._under_way = 0
        self._bundle: PolicyBundle | None = None
        self._lanes = [_Lane(index, self._run) for index in range(settings.workers)]

    @property
    def state(self) -> InferenceState:
        """A snapshot."""
        return self._state

    def start(self) -> PolicyBundle:
        """Start the processes and wait until they have warmed up.

        Returns:
            What it has loaded.

        Raises:
            WorkerError: it cannot serve; the loop is closed then.
        """
        for lane in self._lanes:
            lane.thread.start()
        with self._condition:
            self._condition.wait_for(
                lambda: self._state.ready or self._state.fault or self._closing
            )
            problem = self._state.fault or ("closed while it was starting" * self._closing)
        if problem or self._bundle is None:
            self.close()
            raise WorkerError(problem)
        return self._bundle

    def begin(self, instruction: str, target: ChunkTarget) -> None:
        """Compute chunks for `instruction` from now on."""
        with self._condition:
            alive = all(lane.thread.is_alive() for lane in self._lanes)
            self._update(fault="" if alive else _GONE, latency_s=math.nan)
            self._goal = Goal(instruction, target)
            self._condition.notify_all()

    def notify_tick(self, tick_ns: int) -> None:
        """Say that the control tick of `tick_ns` is over; its frame is the next to be used."""
        with self._condition:
            self._tick_ns = tick_ns
            self._ticks += 1
            self._condition.notify_all()

    def end(self) -> None:
        """Compute no more chunks; one that is under way is dropped."""
        with self._condition:
            self._goal = None
            self._condition.notify_all()

    def close(self) -> None:
        """End the processes and the threads. Safe to call twice."""
        with self._condition:
            self._closing = True
            self._goal = None
            self._condition.notify_all()
        if self._state.ready:
            for lane in self._lanes:
                lane.join()
        for lane in self._lanes:
            while lane.thread.is_alive():
                if lane.worker is not None:
                    lane.worker.kill()
                lane.join()

    def _run(self, lane: _Lane) -> None:
        try:
            while not self._closing and self._serve_one_process(lane):
                with self._condition:
                    self._update(restarts=self._state.restarts + 1)
        except Exception as error:
            self._log.error(f"inference loop failed: {error}\n{traceback.format_exc()}")
            self._fail(f"inference loop failed: {error}")

    def _serve_one_process(self, lane: _Lane) -> bool:
        """Run a process until it is lost or nobody wants it; True if it shall be replaced."""
        worker = lane.worker = WorkerProcess(self._spec)
        served = False
        try:
            ready = worker.wait_until_ready(self._settings.start_timeout_s)
            served = True
            self._announce(lane, worker, ready)
            self._serve(worker)
            return False
        except WorkerError as error:
            return self._lost(error, served)
        finally:
            lane.ready = False
            self._note_processes()
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

    def _announce(self, lane: _Lane, worker: WorkerProcess, ready: Ready) -> None:
        self._log.info(
            f"inference process {worker.pid} is ready: {ready.runtime}, "
            f"{1e3 * ready.latency_s:.1f} ms per chunk"
        )
        with self._condition:
            self._bundle = ready.bundle
            lane.ready = True
            self._note_processes()
            self._condition.notify_all()

    def _note_processes(self) -> None:
        first = self._lanes[0]
        pid = first.worker.pid if first.ready and first.worker is not None else None
        self._update(ready=all(lane.ready for lane in self._lanes), worker_pid=pid)

    def _serve(self, worker: WorkerProcess) -> None:
        while True:
            due = self._wait_for_tick(worker)
            if due is None:
                return
            self._infer(worker, *due)

    def _wait_for_tick(self, worker: WorkerProcess) -> tuple[int, Goal] | None:
        """The next tick of a goal that wants chunks; None when the loop is closed."""
        with self._condition:
            seen = self._ticks  # a tick that is over by now is not fresh any more
            while not self._closing:
                # First: a process that is lost between two inferences is noticed at the next tick.
                worker.check()
                fresh = self._ticks > max(seen, self._ticks_served)
                if fresh and self._goal is not None and not self._state.fault:
                    self._ticks_served = self._ticks
                    return self._tick_ns, self._goal
                self._condition.wait(_IDLE_CHECK_S)
        return None

    def _infer(self, worker: WorkerProcess, tick_ns: int, goal: Goal) -> None:
        if not self._is_due(tick_ns) or not goal.target.wants_chunk(tick_ns):
            problem = worker.problem(self._settings.timeout_s)
            if problem:
                self._fail(f"the policy failed: {problem}", goal)
            return
        started_s = time.monotonic()
        try:
            frame = self._assemble(tick_ns)
        except VlaError as error:
            self._fail(str(error), goal)
            return
        if not frame.valid.all():
            return
        reply = self._ask(worker, frame, goal.instruction)
        if reply.actions is None:
            self._fail(f"the policy failed: {reply.error}", goal)
            return
        with self._condition:
            if self._goal is not goal or self._state.fault:
                return
            latency_s = time.monotonic() - started_s
            self._update(latency_s=latency_s, chunks=self._state.chunks + 1)
            actions = self._judge(frame.tick_ns, reply.actions, reply.distances)
            goal.target.add_chunk(frame.tick_ns, actions)

    def _ask(self, worker: WorkerProcess, frame: Frame, instruction: str) -> Reply:
        with self._condition:
            self._asked_ns = frame.tick_ns
            self._under_way += 1
        try:
            return worker.infer(frame, instruction, self._settings.timeout_s)
        finally:
            with self._condition:
                self._under_way -= 1

    def _is_due(self, tick_ns: int) -> bool:
        """Whether it is long enough since the inferences under way began."""
        with self._condition:
            if self._under_way == 0:
                return True
            latency_s = self._state.latency_s
            share_s = 0.0 if math.isnan(latency_s) else latency_s / self._settings.workers
            return abs(tick_ns - self._asked_ns) >= 1e9 * max(share_s, self._settings.spacing_s)

    def _fail(self, fault: str, goal: Goal | None = None) -> None:
        """Note a fault, of one goal or of every one that may have begun meanwhile."""
        with self._condition:
            if goal is None or goal is self._goal:
                self._update(fault=fault)
                self._condition.notify_all()
                if self._goal is not None:
                    self._on_fault(fault)

    def _update(self, **changes: object) -> None:
        with self._condition:
            self._state = replace(self._state, **changes)  # type: ignore[arg-type]
