"""The node's end of the control process and of its watchdog."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vla_core.clearance import Surroundings
from vla_core.contract import Contract
from vla_policy_node.control.link import wait
from vla_policy_node.control.loop import Chunk, ControlLoop
from vla_policy_node.control.messages import (
    AddChunk,
    Alive,
    Begin,
    ClockTime,
    End,
    Halt,
    Message,
    Move,
    Report,
    Seen,
    Setup,
    Trip,
)
from vla_policy_node.control.pair import ControlProcesses, wait_for_ready
from vla_policy_node.control.process import schedule_at
from vla_policy_node.docking.goal import Motion
from vla_policy_node.errors import WorkerError
from vla_policy_node.inference.settings import Logger

_BEAT_S = 0.02
_HALT_TIMEOUT_S = 0.2
_JOIN_TIMEOUT_S = 2.0


class ControlClient:
    """A `ControlLoop` that ticks in a process of its own: the same methods, less `tick`.

    Args:
        setup: what the process is told first.
        contract: control period and limits, the same as in `setup`.
        validity_ns: between which times, by the node's clock, every stream is recent enough.
        log: for what a person has to know.
        on_report: called with every report of the running goal, in a thread of this object.
    """

    def __init__(
        self,
        setup: Setup,
        contract: Contract,
        *,
        validity_ns: Callable[[], tuple[int, int]],
        log: Logger,
        on_report: Callable[[Report], None],
    ) -> None:
        self._setup = setup
        self._validity_ns = validity_ns
        self._log = log
        self._on_report = on_report
        # Never ticked: it knows which chunks the process holds, and whether another is wanted.
        self._mirror = ControlLoop(contract, setup.mode, setup.replan_steps)
        self._condition = threading.Condition()
        self._processes: ControlProcesses | None = None
        self._threads: list[threading.Thread] = []
        self._goal = 0
        self._state = Report(0, running=False, at_rest=True, interventions_total=0)
        self._fault = ""
        self._interventions = 0
        self._ending = False

    # What `ControlLoop` offers

    @property
    def running(self) -> bool:
        """Whether a goal runs, or zero commands still follow one."""
        return self._state.running

    @property
    def at_rest(self) -> bool:
        """Whether the robot was last told to stand still, or nothing."""
        return self._state.at_rest

    @property
    def chunk(self) -> Chunk | None:
        """The newest chunk of the goal."""
        return self._mirror.chunk

    @property
    def interventions(self) -> int:
        """Commands that the safety envelope has changed since the node was configured."""
        return self._interventions + self._state.interventions_total

    def begin(self) -> None:
        """Start a goal: nothing is commanded before the first `Motion.FOLLOW`.

        Raises:
            WorkerError: a process that had to be replaced cannot be.
        """
        self._replace_if_broken()
        with self._condition:
            self._mirror.begin()
            self._goal += 1
            self._fault = ""
            total = self._state.interventions_total
            self._state = Report(self._goal, running=True, at_rest=True, interventions_total=total)
            self._send_alive()
            self._send(Begin(self._goal))
            self._condition.notify_all()

    def set_motion(
        self, motion: Motion, back_off_mps: float = 0.0, turn_radps: float = 0.0
    ) -> None:
        """Say what to do from the next tick on, see `ControlLoop.set_motion`.

        It has to be said again within a second, even if nothing changes.
        """
        self._mirror.set_motion(motion, back_off_mps, turn_radps)
        self._send(Move(self._goal, motion.name, back_off_mps, turn_radps))

    def end(self, now_ns: int, zero_hold_s: float) -> None:
        """End a goal: zeros for a while if the robot has moved, then silence."""
        self._mirror.end(now_ns, zero_hold_s)
        self._send(End(self._goal, zero_hold_s))

    def halt(self) -> bool:
        """Be silent from now on; returns whether the robot was being commanded.

        On return the last command is out: a zero, if the robot was being commanded. A control
        process that does not obey is ended, and the watchdog commands zero.
        """
        self._mirror.halt()
        with self._condition:
            was_commanding = not self._state.at_rest
            processes = self._processes
            if processes is None or not self._state.running:
                return False
            self._send(Halt(self._goal))
            obeyed = self._condition.wait_for(lambda: not self._state.running, _HALT_TIMEOUT_S)
            if not obeyed:
                self._break(processes, f"{processes.control} does not answer")
        return was_commanding

    def wants_chunk(self, now_ns: int) -> bool:
        """Whether a chunk computed from the frame of this tick would be used."""
        return not self._fault and self._mirror.wants_chunk(now_ns)

    def add_chunk(self, stamp_ns: int, actions: npt.NDArray[np.float32]) -> None:
        """Take a chunk.

        Args:
            stamp_ns: tick of the frame that it was computed from.
            actions: (H, A), [m/s, rad/s].
        """
        self._mirror.add_chunk(stamp_ns, actions)
        self._send(AddChunk(self._goal, stamp_ns, np.asarray(actions).tolist()))

    def buffer_depth(self, now_ns: int) -> int:
        """Actions left from `now_ns` on."""
        return self._mirror.buffer_depth(now_ns)

    # What a process needs on top

    @property
    def fault(self) -> str:
        """Why the running goal can move the robot no more; empty as long as it can."""
        return self._fault

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the control process and of the watchdog; empty while there are none."""
        processes = self._processes
        return () if processes is None else (processes.control.pid, processes.watchdog.pid)

    def trip(self, reason: str) -> None:
        """End all motion at once, for `reason`: zeros, and nothing more until the next goal."""
        self._send(Trip(reason))

    def look(self, surroundings: Surroundings) -> None:
        """Pass the newest scan on, for robots that brake for obstacles."""
        self._send(Seen.of(surroundings))

    def set_clock(self, now_ns: int) -> None:
        """Pass simulated time on."""
        self._send(ClockTime(now_ns))

    def start(self) -> None:
        """Start both processes; `wait_until_ready` waits for them."""
        self._ending = False
        self._processes = ControlProcesses.start()
        self._send(self._setup)
        self._processes.watchdog_link.send(self._setup)

    def wait_until_ready(self) -> None:
        """Wait until both processes have their publishers.

        Raises:
            WorkerError: one of them cannot work or does not answer; both are ended then.
        """
        processes = self._processes
        if processes is None:
            raise WorkerError("the control process was not started")
        try:
            ready = wait_for_ready(processes.control, processes.control_link)
            wait_for_ready(processes.watchdog, processes.watchdog_link)
        except WorkerError:
            self.close()
            raise
        self._log.info(f"{processes.control} is ready, scheduled {ready.scheduling}")
        self._threads = [
            threading.Thread(target=target, args=(processes,), name=name, daemon=True)
            for target, name in ((self._listen, "control reports"), (self._beat, "control beat"))
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End both processes. Safe to call twice."""
        with self._condition:
            processes, self._processes = self._processes, None
            self._ending = True
            self._condition.notify_all()
        if processes is None:
            return
        processes.stop()
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT_S)
        processes.control_link.close()
        processes.watchdog_link.close()

    # The threads

    def _listen(self, processes: ControlProcesses) -> None:
        """Take reports in until the control process has ended."""
        link, watchdog_link = processes.control_link, processes.watchdog_link
        while not link.closed:
            wait([link, watchdog_link], None)
            for message in link.receive():
                if isinstance(message, Report) and message.goal == self._goal:
                    self._take(message)
            for message in watchdog_link.receive():
                if isinstance(message, Trip):
                    self._break(processes, message.reason)
                    processes.control.kill()
        if not self._ending:
            self._break(processes, processes.control.obituary())

    def _take(self, report: Report) -> None:
        with self._condition:
            self._state = report
            if report.fault and not self._fault:
                self._fault = report.fault
                self._log.error(f"stopped: {report.fault}")
            self._condition.notify_all()
        try:
            self._on_report(report)
        except Exception:
            # As long as this thread lives, the goal hears of faults.
            self._log.error(f"a control report was lost:\n{traceback.format_exc()}")

    def _beat(self, processes: ControlProcesses) -> None:
        """Give signs of life while a goal runs, and look for those of the processes."""
        schedule_at(self._setup.priority)
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._ending or self._state.running)
                if self._ending or self._processes is not processes:
                    return
            self._send_alive()
            problem = processes.problem()
            if problem:
                self._break(processes, problem)
                return
            time.sleep(_BEAT_S)

    def _break(self, processes: ControlProcesses, fault: str) -> None:
        """Give up on the processes: the next goal gets others."""
        with self._condition:
            if self._processes is not processes or self._ending:
                return
            if not self._fault:
                self._fault = fault
                self._log.error(f"stopped: {fault}")
            # The watchdog, or the control process, has told the robot to stand still.
            total = self._state.interventions_total
            self._state = Report(self._goal, running=False, at_rest=True, interventions_total=total)
            self._condition.notify_all()
        if processes.control.is_stopped():
            processes.control.kill()
        processes.control_link.hang_up()

    def _replace_if_broken(self) -> None:
        processes = self._processes
        if processes is None:
            raise WorkerError("the control process has been ended")
        if not processes.control_link.closed and not processes.problem():
            return
        self._log.info("starting another control process and watchdog")
        self._interventions += self._state.interventions_total
        self._state = Report(self._goal, running=False, at_rest=True, interventions_total=0)
        self.close()
        self.start()
        self.wait_until_ready()

    def _send_alive(self) -> None:
        self._send(Alive(*self._validity_ns()))

    def _send(self, message: Message) -> None:
        processes = self._processes
        if processes is not None:
            processes.control_link.send(message)
