"""What docking and undocking have in common: time, interruptions, and the stop at the end."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from vla_core.geometry import Pose2D
from vla_policy_node.docking.goal import Motion, Outcome, Phase, Situation
from vla_policy_node.docking.retreat import STANDSTILL, Retreat
from vla_policy_node.errors import FailedToControl

_NS_PER_S = 1_000_000_000
_STOP_LIMIT_S = 3.0


class Held:
    """For how long a condition has held without a break."""

    def __init__(self) -> None:
        self._since_ns: int | None = None

    def update(self, holds: bool, now_ns: int, already_s: float = 0.0) -> None:
        """Say whether it holds now, and for how long it is known to have held when it begins."""
        if not holds:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = now_ns - to_ns(already_s)

    def lasts(self, duration_s: float, now_ns: int) -> bool:
        """Whether it has held for this long."""
        return self._since_ns is not None and now_ns - self._since_ns >= to_ns(duration_s)


class GoalProgress(ABC):
    """The state machine of one goal.

    Feed it with `update` at the control rate until `outcome` is set. Every end of a goal goes
    through `Motion.STOP`, so that the result is given when the robot has been told to stand still.

    Attributes:
        outcome: how the goal ended, None while it runs.
        phase: what it is at.
        dock_from_base: newest measured pose, None without one.
        back_off: forward speed [m/s] and turning rate [rad/s] of `Motion.BACK_OFF`.
        note: on what trust it backs without seeing, or why not further; empty if the scan covers
            the way.
    """

    def __init__(self, start_ns: int, phase: Phase) -> None:
        self._start_ns = start_ns
        self._now_ns = start_ns
        self._phase_start_ns = start_ns
        self._stop_start_ns: int | None = None
        self._pending: Outcome | None = None
        self._retreat: Retreat | None = None
        self.phase = phase
        self.outcome: Outcome | None = None
        self.dock_from_base: Pose2D | None = None
        self.back_off = STANDSTILL
        self.note = ""

    @property
    def elapsed_s(self) -> float:
        """Time since the goal began, up to the last update, without that of a person [s]."""
        return (self._now_ns - self._start_ns) / _NS_PER_S

    def update(self, situation: Situation) -> Motion:
        """Take a new situation in and say what to do.

        Args:
            situation: at a time not before that of the previous call. A clock that jumped back
                ends the goal.
        """
        previous_ns, self._now_ns = self._now_ns, situation.now_ns
        self.back_off = STANDSTILL
        if self._pending is None:
            self._observe(situation)
            self._pending = self._interrupted(situation, previous_ns)
        if self._pending is None and situation.person_drives:
            since_ns = situation.now_ns - previous_ns
            self._start_ns += since_ns
            self._phase_start_ns += since_ns
            self._pending = self._in_hands(situation)
        elif self._pending is None:
            self._pending = self._verdict(situation)
        return self._motion() if self._pending is None else self._stop(situation)

    @abstractmethod
    def _observe(self, situation: Situation) -> None:
        """Take in what is measured."""

    @abstractmethod
    def _verdict(self, situation: Situation) -> Outcome | None:
        """Why the goal ends now, or None; moves between the phases of a goal that goes on."""

    @abstractmethod
    def _in_hands(self, situation: Situation) -> Outcome | None:
        """In place of the verdict while a person drives, and the goal's time stands still."""

    @abstractmethod
    def _motion(self) -> Motion:
        """What to do in the present phase."""

    def _interrupted(self, situation: Situation, previous_ns: int) -> Outcome | None:
        if situation.interruption is not None:
            return Outcome.failure(situation.interruption)
        if situation.now_ns < previous_ns:
            back_s = (previous_ns - situation.now_ns) / _NS_PER_S
            return Outcome.failure(FailedToControl(f"the clock jumped back by {back_s:.3f} s"))
        return None

    def _phase_lasts(self, duration_s: float) -> bool:
        return self._now_ns - self._phase_start_ns >= to_ns(duration_s)

    def _stop(self, situation: Situation) -> Motion:
        if situation.dock_from_base is not None:
            self.dock_from_base = situation.dock_from_base
        if self._stop_start_ns is None:
            # One period at least, so that the control loop has heard of the stop.
            self._stop_start_ns = situation.now_ns
            return Motion.STOP
        stopping_ns = abs(situation.now_ns - self._stop_start_ns)
        if situation.at_rest or stopping_ns > to_ns(_STOP_LIMIT_S):
            self.outcome = self._pending
        return Motion.STOP

    def _pose_text(self, separator: str) -> str:
        pose = self.dock_from_base
        if pose is None:
            return ""
        return (
            f"{separator}{1e3 * pose.x:.1f} mm longitudinal, {1e3 * pose.y:.1f} mm lateral, "
            f"{math.degrees(pose.yaw):.2f} degrees from the docked pose"
        )


def to_ns(duration_s: float) -> int:
    """Seconds as nanoseconds."""
    return round(duration_s * _NS_PER_S)
