"""Which of several goals may drive: the newest, once the one before it has come to rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vla_policy_node.errors import DockingError, Preempted

_POLL_S = 0.02


class Turn:
    """One goal's right to drive, until a newer goal asks for it."""

    def __init__(self) -> None:
        self.taken_by = ""

    def interruption(self) -> DockingError | None:
        """Why to give up, once a newer goal has taken over."""
        return Preempted(f"pre-empted by a newer goal: {self.taken_by}") if self.taken_by else None


class GoalTurns:
    """Lets one goal drive at a time; a newer one takes over as soon as the robot stands."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._open = 0
        self._newest: Turn | None = None
        self._driving: Turn | None = None

    @property
    def busy(self) -> bool:
        """Whether a goal has been accepted that has not ended."""
        return self._open > 0

    def open(self) -> None:
        """Count a goal that has been accepted."""
        with self._condition:
            self._open += 1

    def close(self) -> None:
        """Count a goal that has ended."""
        with self._condition:
            self._open -= 1
            self._condition.notify_all()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether every goal ended in time."""
        with self._condition:
            return self._condition.wait_for(lambda: not self.busy, timeout_s)

    @contextmanager
    def take(self, name: str, interruption: Callable[[], DockingError | None]) -> Iterator[Turn]:
        """Take over from whichever goal drives, and drive.

        Args:
            name: what the other goal is told that took over.
            interruption: why to give up the wait, asked again and again.

        Raises:
            DockingError: interrupted, or overtaken by a still newer goal, before it was its turn.
        """
        turn = Turn()
        with self._condition:
            if self._newest is not None:
                self._newest.taken_by = name
            self._newest = turn
            while self._driving is not None:
                error = turn.interruption() or interruption()
                if error is not None:
                    self._leave(turn)
                    raise error
                self._condition.wait(_POLL_S)
            self._driving = turn
        try:
            yield turn
        finally:
            with self._condition:
                self._driving = None
                self._leave(turn)

    def _leave(self, turn: Turn) -> None:
        if self._newest is turn:
            self._newest = None
        self._condition.notify_all()
