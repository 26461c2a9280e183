"""Decides whose commands reach the robot. No ROS."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from vla_core.contract_specs import ActionSpec

POLICY: Final = "policy"
PERSON: Final = "person"
NOBODY: Final = ""

PERSON_TIMEOUT_S: Final = 0.3
"""A person who says nothing for this long, although the robot is theirs, stops it."""

POLICY_TIMEOUT_S: Final = 0.5
"""A policy that says nothing for this long does not drive."""

_LONGEST_STEP_PERIODS: Final = 2.0

Command = npt.NDArray[np.float64]


class CommandArbiter:
    """Passes commands on: the person's, once they have said anything, or else the policy's.

    The robot stays the person's until it is given back: a terminal that was closed, or a network
    that broke, must not make the policy drive again. A command is passed on when it comes and
    never repeated, so that silence stays silence; only a person's silence becomes a stop.

    What is passed on never asks for more acceleration than the contract allows: who takes over does
    not know how fast the other one drove. A slower command is passed on as it is.
    """

    def __init__(self, action: ActionSpec) -> None:
        self._low, self._high = np.array(action.low), np.array(action.high)
        self._acceleration = np.array(action.max_acceleration)
        self._period_s = 1.0 / action.rate_hz
        self._owner = POLICY
        self._heard_s: dict[str, float] = {}
        self._last: Command = np.zeros(action.size)
        self._last_s: float | None = None

    def driver(self, now_s: float) -> str:
        """Who drives: the person, the policy if it says anything, or nobody."""
        if self._owner == PERSON:
            return PERSON
        heard_s = self._heard_s.get(POLICY)
        return POLICY if heard_s is not None and now_s - heard_s <= POLICY_TIMEOUT_S else NOBODY

    def hear(self, source: str, values: Command, now_s: float) -> Command | None:
        """Take a command.

        Args:
            source: `POLICY` or `PERSON`; a person takes over by saying anything.
            values: (A,) [m/s, rad/s].
            now_s: of a clock that never goes back.

        Returns:
            (A,) float64, what the robot is told; None if nothing.
        """
        self._heard_s[source] = now_s
        if source == PERSON:
            self._owner = PERSON
        return self._pass(values, now_s) if source == self._owner else None

    def release(self) -> bool:
        """Give the robot back to the policy; false if nobody had taken it."""
        had, self._owner = self._owner == PERSON, POLICY
        return had

    def tick(self, now_s: float) -> Command | None:
        """The stop, at every control period for as long as the robot's person says nothing."""
        if self._owner != PERSON or now_s - self._heard_s[PERSON] <= PERSON_TIMEOUT_S:
            return None
        return self._pass(np.zeros_like(self._last), now_s)

    def _pass(self, values: Command, now_s: float) -> Command:
        wanted = np.where(np.isfinite(values), np.clip(values, self._low, self._high), 0.0)
        since_s = np.inf if self._last_s is None else now_s - self._last_s
        if since_s > PERSON_TIMEOUT_S:
            self._last = np.zeros_like(self._last)  # the robot has stopped by itself
        step = self._acceleration * min(since_s, _LONGEST_STEP_PERIODS * self._period_s)
        limited = np.clip(wanted, self._last - step, self._last + step)
        slows_down = (wanted * self._last >= 0.0) & (np.abs(wanted) <= np.abs(self._last))
        self._last = np.where(slows_down, wanted, limited)
        self._last_s = now_s
        return self._last
