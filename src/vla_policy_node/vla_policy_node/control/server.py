"""What the control process does with messages and at ticks. No ROS, no sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from vla_core.contract import Contract
from vla_policy_node.control.loop import ControlLoop
from vla_policy_node.control.messages import (
    AddChunk,
    Alive,
    Announcement,
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
from vla_policy_node.control.tick_schedule import TickSchedule
from vla_policy_node.docking.goal import Motion

_NS_PER_S = 1_000_000_000
_ZERO_HOLD_NS = 500_000_000
_SILENT_PERIODS = 3
_LATE_PERIODS = 2
_LEAP_NS = _NS_PER_S // 2  # of simulated time; messages of a fast simulator may be lost
# The goal says twenty times a second what to do; a goal that hangs says nothing.
_MOTION_LEASE_NS = _NS_PER_S


class ControlServer:
    """Ticks while a goal runs, and brings the robot to a stand when the node can no longer do so.

    Args:
        contract: control period and limits.
        setup: what the node asks for.
        publish: sends a command, (A,) [m/s, rad/s], with its stamp [ns].
        report: tells the node.
        announce: tells the watchdog, before it sees the command.
        node_is_stopped: whether the node's process is stopped.
        clock_ns: the node's clock where time is not simulated.
    """

    def __init__(
        self,
        contract: Contract,
        setup: Setup,
        *,
        publish: Callable[[np.ndarray, int], None],
        report: Callable[[Report], object],
        announce: Callable[[Announcement], object],
        node_is_stopped: Callable[[], bool],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._publish_command = publish
        self._report_to_node = report
        self._announce = announce
        self._node_is_stopped = node_is_stopped
        self._clock_ns = clock_ns
        self._simulated = setup.simulated
        self._silence_ns = round(setup.silence_s * 1e9)
        self._period_ns = contract.action.period_ns
        self._loop = ControlLoop(contract, setup.mode, setup.replan_steps, setup.fault_stop_s)
        self._zero = np.zeros(contract.action.size)
        self._goal = 0
        self._fault = ""
        self._zeros_to_ns: int | None = None
        self._following = False
        self._moved_ns = 0
        self._heard_ns = 0
        self._valid_ns = (0, -1)
        self._simulated_ns = 0
        # Of steady time: ticks, or the checks between the ticks of a simulated clock.
        self._steady = TickSchedule(self._period_ns)
        self._ticks = TickSchedule(self._period_ns) if self._simulated else self._steady

    @property
    def busy(self) -> bool:
        """Whether anything has to be done before the next message."""
        return self._loop.running or self._zeros_to_ns is not None

    def next_wake_ns(self) -> int | None:
        """When `run` has to be called next, by the monotonic clock; None: at the next message."""
        if not self.busy:
            return None
        if self._zeros_to_ns is not None:
            return self._steady.next_ns
        return min(self._steady.next_ns, self._heard_ns + self._silence_ns)

    def take(self, message: Message, now_ns: int) -> None:
        """Take a message of the node in.

        Args:
            message: of the node.
            now_ns: the monotonic clock.
        """
        self._heard_ns = now_ns
        if isinstance(message, Alive):
            self._valid_ns = (message.valid_from_ns, message.valid_to_ns)
        elif isinstance(message, Seen):
            self._loop.look(message.surroundings)
        elif isinstance(message, ClockTime):
            self._set_clock(message.now_ns, now_ns)
        elif isinstance(message, Begin):
            self._begin(message.goal, now_ns)
        elif isinstance(message, Trip):
            self.trip(message.reason, now_ns)
        elif isinstance(message, Halt):
            self._halt()
        elif isinstance(message, (Move, AddChunk, End)) and message.goal == self._goal:
            self._steer(message, now_ns)

    def run(self, now_ns: int) -> None:
        """Do what is due: check the node, tick.

        Args:
            now_ns: the monotonic clock.
        """
        if self._zeros_to_ns is not None:
            if self._steady.due(now_ns) is not None:
                self._hold_zero(now_ns)
            return
        if not self._loop.running:
            return
        problem = self._problem(now_ns)
        if problem:
            self.trip(problem, now_ns)
            return
        late_ns = self._steady.due(now_ns)
        if self._simulated:
            if late_ns is not None:
                self._report()
                self._announce(self._announcement())
            late_ns = self._ticks.due(self._simulated_ns)
        elif self._loop.commanding and (late_ns or 0) > _LATE_PERIODS * self._period_ns:
            self.trip(f"the control process was held up for {1e-9 * (late_ns or 0):.2f} s", now_ns)
            return
        if late_ns is not None:
            self._tick(now_ns)

    def trip(self, reason: str, now_ns: int) -> None:
        """Command zero at once, for a while, and nothing more until the next goal."""
        if not self._loop.running:
            return
        self._fault = reason
        if self._loop.halt():
            self._zeros_to_ns = now_ns + _ZERO_HOLD_NS
            self._steady.start(now_ns)
            self._steady.due(now_ns)
            self._publish(self._zero, self._now_ns())
        self._report()
        self._announce(self._announcement())

    def _begin(self, goal: int, now_ns: int) -> None:
        self._goal, self._fault, self._zeros_to_ns = goal, "", None
        self._following = False
        self._loop.begin()
        self._steady.start(now_ns)
        if self._simulated:
            self._ticks.start(self._simulated_ns)

    def _steer(self, message: Move | AddChunk | End, now_ns: int) -> None:
        if isinstance(message, Move):
            motion = Motion[message.motion]
            self._following = motion in (Motion.FOLLOW, Motion.BACK_OFF)
            self._moved_ns = now_ns
            self._loop.set_motion(motion, message.back_off_mps, message.turn_radps)
        elif isinstance(message, AddChunk):
            self._loop.add_chunk(message.stamp_ns, np.array(message.actions, np.float32))
        else:
            self._following = False
            self._loop.end(self._now_ns(), message.zero_hold_s)

    def _set_clock(self, simulated_ns: int, now_ns: int) -> None:
        leap_ns = simulated_ns - self._simulated_ns
        self._simulated_ns = simulated_ns
        # A simulator that is reset between two goals leaps, too, and disturbs nobody.
        if self._following and self._loop.commanding and not 0 <= leap_ns <= _LEAP_NS:
            direction = "forward" if leap_ns > 0 else "back"
            self.trip(f"the clock jumped {direction} by {1e-9 * abs(leap_ns):.2f} s", now_ns)

    def _halt(self) -> None:
        was_commanding = self._loop.halt() or self._zeros_to_ns is not None
        self._zeros_to_ns = None
        if was_commanding:
            self._publish(self._zero, self._now_ns())
        self._report()
        self._announce(self._announcement())

    def _problem(self, now_ns: int) -> str:
        """Why the node cannot be trusted to stop the robot any more; empty if it can."""
        if self._node_is_stopped():
            return "the process of the node was stopped"
        silent_ns = now_ns - self._heard_ns
        if silent_ns > self._silence_ns:
            return f"the process of the node was silent for {1e-9 * silent_ns:.2f} s"
        if self._following and now_ns - self._moved_ns > _MOTION_LEASE_NS:
            return "the docking goal hangs: it no longer says what to do"
        return ""

    def _tick(self, steady_ns: int) -> None:
        now_ns = self._now_ns()
        first_ns, last_ns = self._valid_ns
        # A short silence, such as that of a machine that is busy, is braked for like a lost stream.
        heard = steady_ns - self._heard_ns <= _SILENT_PERIODS * self._period_ns
        command = self._loop.tick(now_ns, heard and first_ns <= now_ns <= last_ns)
        if self._loop.latched:
            # The policy can no more be followed, and nobody drives on with what it said before.
            self.trip("the policy commanded NaN or infinity", time.monotonic_ns())
            return
        if command is None:
            self._announce(self._announcement())
            self._report(now_ns)
            return
        self._publish(command.values, now_ns)
        self._report(
            now_ns,
            sent_ns=time.monotonic_ns(),
            values=command.values.tolist(),
            interventions=[str(reason) for reason in command.interventions],
            buffer_depth=command.buffer_depth,
        )
        if not self._loop.running:
            self._announce(self._announcement())

    def _hold_zero(self, now_ns: int) -> None:
        if self._zeros_to_ns is not None and now_ns < self._zeros_to_ns:
            self._publish(self._zero, self._now_ns())
            return
        self._zeros_to_ns = None
        self._report()
        self._announce(self._announcement())

    def _publish(self, values: np.ndarray, stamp_ns: int) -> None:
        self._announce(self._announcement(stamp_ns, values.tolist()))
        self._publish_command(values, stamp_ns)

    def _report(
        self,
        tick_ns: int | None = None,
        *,
        sent_ns: int = 0,
        values: Sequence[float] | None = None,
        interventions: Sequence[str] = (),
        buffer_depth: int = 0,
    ) -> None:
        self._report_to_node(
            Report(
                goal=self._goal,
                running=self.busy,
                at_rest=self._loop.at_rest,
                interventions_total=self._loop.interventions,
                tick_ns=tick_ns,
                sent_ns=sent_ns,
                values=values,
                interventions=interventions,
                buffer_depth=buffer_depth,
                fault=self._fault,
            )
        )

    def _announcement(
        self, stamp_ns: int = 0, values: Sequence[float] | None = None
    ) -> Announcement:
        commanding = self._loop.commanding or self._zeros_to_ns is not None
        return Announcement(self._goal, self.busy, commanding, stamp_ns, values)

    def _now_ns(self) -> int:
        return self._simulated_ns if self._simulated else self._clock_ns()
