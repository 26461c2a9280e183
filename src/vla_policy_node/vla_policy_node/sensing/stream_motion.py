"""When the robot moved, by its odometry and by what it was told. No ROS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

_STILL_MPS = 0.02
_STILL_RADPS = 0.05
_COMMANDED_MPS = 0.05
_COMMANDED_RADPS = 0.2
_BASE_DELAY_NS = 500_000_000  # a base may take this long until its odometry shows a command
_COMMAND_AGE_NS = 200_000_000


@dataclass(frozen=True)
class Spell:
    """A time in which the robot moved without a break.

    Attributes:
        since_ns: its start.
        until_ns: its end; None while it lasts.
    """

    since_ns: int
    until_ns: int | None = None

    def exceeds_ns(self, duration_ns: int, since_ns: int) -> int | None:
        """From when on it has gone on for longer than a time, that before a moment not counted.

        None if it ended before; while it lasts this may lie ahead.
        """
        from_ns = max(self.since_ns, since_ns) + duration_ns
        return None if self.until_ns is not None and self.until_ns <= from_ns else from_ns


class _Condition:
    """The last spell in which something held. Replaced as a whole, for other threads to read."""

    def __init__(self) -> None:
        self.spell: Spell | None = None

    def update(self, holds: bool, now_ns: int) -> None:
        spell = self.spell
        if spell is not None and now_ns < spell.since_ns:
            spell = None  # the clock was set back
        if holds and (spell is None or spell.until_ns is not None):
            spell = Spell(now_ns)
        elif not holds and spell is not None and spell.until_ns is None:
            spell = replace(spell, until_ns=now_ns)
        self.spell = spell


class MotionWatch:
    """Remembers when the robot moved last, and whether its odometry noticed."""

    def __init__(self) -> None:
        self._measured = _Condition()
        self._commanded = _Condition()
        self._commanded_ns = 0
        self._says_still = True
        self._first_pose: tuple[float, ...] | None = None
        self._pose_moves = False

    def forget(self) -> None:
        """Know of no motion so far."""
        self._measured.spell = self._commanded.spell = None

    def add_odometry(self, message: Any, now_ns: int) -> None:
        """Take a nav_msgs/Odometry in."""
        twist, position = message.twist.twist, message.pose.pose.position
        still = abs(twist.linear.x) < _STILL_MPS and abs(twist.angular.z) < _STILL_RADPS
        self._says_still = still
        self._measured.update(not still, now_ns)
        pose = (position.x, position.y)
        if self._first_pose is None:
            self._first_pose = pose
        self._pose_moves |= pose != self._first_pose

    def add_command(self, v_mps: float, w_radps: float, now_ns: int) -> None:
        """Take a command in."""
        moves = abs(v_mps) >= _COMMANDED_MPS or abs(w_radps) >= _COMMANDED_RADPS
        self._commanded.update(moves, now_ns)
        self._commanded_ns = now_ns

    def moved(self, now_ns: int) -> tuple[Spell, ...]:
        """When it moved last: by its odometry, and by what it was told, where that is known."""
        return tuple(s for s in (self._measured.spell, self._told(now_ns)) if s is not None)

    def unnoticed(self, now_ns: int) -> tuple[Spell, ...]:
        """When odometry should have been changing last.

        Odometry that says "moving" has to change its pose, if it ever does (some tell a twist
        only). One that says "standing" while the robot was told to move is frozen, or the wheels
        are blocked: neither is a state to go on in.
        """
        if self._says_still:
            spell = self._told(now_ns)
        else:
            spell = self._measured.spell if self._pose_moves else None
        return () if spell is None else (spell,)

    def _told(self, now_ns: int) -> Spell | None:
        spell, last_ns = self._commanded.spell, self._commanded_ns
        # A command that seems to come from the future is one from before the clock was set back.
        if spell is None or last_ns > now_ns + _COMMAND_AGE_NS:
            return None
        if spell.until_ns is None and now_ns > last_ns + _COMMAND_AGE_NS:
            spell = replace(spell, until_ns=last_ns)
        return replace(spell, since_ns=spell.since_ns + _BASE_DELAY_NS)
