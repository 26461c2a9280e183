"""How often the safety envelope stepped in, and what to say about it when a goal ends. No ROS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from vla_core.safety_envelope import Intervention

HOLDING: Final = (
    Intervention.OBSTACLE,
    Intervention.STALE,
    Intervention.STARVED,
)
"""What keeps a robot from where it wants to go, without ending the goal at once."""


class InterventionTally:
    """Counts interventions of the running goal, and of all goals."""

    def __init__(self) -> None:
        self._commands = 0
        self._of_goal = Counter[str]()
        self.total = Counter[str]()

    def begin(self) -> None:
        """A goal begins."""
        self._commands = 0
        self._of_goal = Counter()

    def add(self, interventions: Iterable[str]) -> None:
        """Count one command and why it was changed."""
        names = [str(each) for each in interventions]
        self._commands += 1
        self._of_goal.update(names)
        self.total.update(names)

    def explanation(self) -> str:
        """What held the robot back during the goal, as part of a sentence; empty for nothing."""
        held = [
            f"{reason} in {self._of_goal[str(reason)]}"
            for reason in HOLDING
            if self._of_goal[str(reason)]
        ]
        if not held:
            return ""
        return f"held back by the safety envelope: {', '.join(held)} of {self._commands} commands"
