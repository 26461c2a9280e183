"""What a person's hands make of the robot's velocity. No ROS, no terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vla_core.contract_specs import ActionSpec
from vla_recorder.teleop.keys import DIRECTIONS, Action, Direction

SPEEDS: Final = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
"""Steps of speed, as fractions of the contract's limits."""

STALL_S: Final = 0.3
"""After a longer pause of the program, what was pressed meanwhile does not count."""

Command = npt.NDArray[np.float64]

_STOP: Final = Direction(0, 0)


@dataclass(frozen=True)
class HoldTimes:
    """How a held key is told from one that was let go, since a terminal only tells of presses.

    Attributes:
        first_s: a pressed key counts as held for this long; longer than the keyboard waits before
            it repeats.
        repeat_s: a repeated key counts as held for this long; a few times its repeat period.
    """

    first_s: float = 0.7
    repeat_s: float = 0.2


@dataclass(frozen=True)
class Stick:
    """A joystick's wish: fractions of the limits, forward and left positive, -1 to 1."""

    linear: float
    angular: float


class Operation:
    """Who drives, where to and how fast, tick by tick.

    Nothing is commanded before the person takes the robot, by a key or the joystick's deadman
    button; then there is a command at every tick, zero while nothing is held, until the robot is
    given back.
    """

    def __init__(
        self, action: ActionSpec, hold: HoldTimes | None = None, speed_index: int = 2
    ) -> None:
        """Begin without the robot.

        Args:
            action: the contract's limits and rate.
            hold: of the keyboard.
            speed_index: step of speed to begin with, an index into `SPEEDS`.
        """
        self._action = action
        self._hold = hold or HoldTimes()
        self._speed_index = speed_index
        self._low, self._high = np.array(action.low), np.array(action.high)
        self._largest_change = np.array(action.max_acceleration) / action.rate_hz
        self._command: Command = np.zeros(action.size)
        self._key = ""
        self._held_until_s = 0.0
        self._stick: Stick | None = None
        self._ticked_s: float | None = None
        self.in_control = False
        self.is_stopped = False

    @property
    def speed(self) -> float:
        """Fraction of the contract's limits that a held key asks for."""
        return SPEEDS[self._speed_index]

    @property
    def command(self) -> Command:
        """(A,) the last command [m/s, rad/s]."""
        return self._command

    def press(self, key: str, now_s: float) -> None:
        """Take note of a driving key that was pressed or repeated.

        Args:
            key: of `DIRECTIONS`.
            now_s: of a clock that never goes back.
        """
        if self.is_stopped:
            return
        repeated = key == self._key and now_s <= self._held_until_s
        self._key = key
        self._held_until_s = now_s + (self._hold.repeat_s if repeated else self._hold.first_s)
        self.in_control = True

    def move(self, stick: Stick | None) -> None:
        """Take note of the joystick.

        Args:
            stick: None while its deadman button is not pressed, or it says nothing.
        """
        if stick is not None and not self.is_stopped:
            self.in_control = True
            self._key = ""
        self._stick = stick

    def act(self, action: Action) -> None:
        """Do what concerns the robot of what a key does once."""
        if action is Action.EMERGENCY_STOP:
            self.in_control = self.is_stopped = True
            self.halt()
        elif action is Action.UNLOCK:
            self.is_stopped = False
        elif action is Action.FASTER:
            self._speed_index = min(self._speed_index + 1, len(SPEEDS) - 1)
        elif action is Action.SLOWER:
            self._speed_index = max(self._speed_index - 1, 0)
        elif action is Action.RELEASE:
            self.halt()
            self.in_control = False

    def halt(self) -> None:
        """The robot stands, for nothing was said or it was stopped; nothing is held any more."""
        self._key, self._stick = "", None
        self._command = np.zeros(self._action.size)

    def has_stalled(self, now_s: float) -> bool:
        """Whether the program stood still since the last tick; then keys in between are void."""
        return self._ticked_s is not None and now_s - self._ticked_s > STALL_S

    def tick(self, now_s: float) -> Command | None:
        """The command for this control period.

        Args:
            now_s: of a clock that never goes back.

        Returns:
            (A,) float64 [m/s, rad/s], within the limits and the largest acceleration, except for
            an emergency stop; None while the robot is not the person's.
        """
        if self.has_stalled(now_s):
            self.halt()
        self._ticked_s = now_s
        if not self.in_control:
            return None
        change = np.clip(
            self._target(now_s) - self._command, -self._largest_change, self._largest_change
        )
        self._command = self._command + change
        return self._command

    def _target(self, now_s: float) -> Command:
        if self.is_stopped:
            wish = Stick(0.0, 0.0)
        elif self._stick is not None:
            wish = self._stick
        else:
            held = DIRECTIONS.get(self._key, _STOP) if now_s <= self._held_until_s else _STOP
            wish = Stick(float(held.linear), float(held.angular))
        fractions = {"linear.x": wish.linear, "angular.z": wish.angular}
        values = np.array([fractions[field] for field in self._action.fields]) * self.speed
        return np.where(values > 0.0, values * self._high, -values * self._low)
