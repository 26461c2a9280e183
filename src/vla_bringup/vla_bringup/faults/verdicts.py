"""What the commands that an observer received say about one trial. No ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LIMIT_S: Final = 0.1
"""Time from a fault to standstill being commanded, on top of what the fault's kind allows."""

_NS_PER_S: Final = 1e9


@dataclass(frozen=True)
class Seen:
    """A command as it arrived.

    Attributes:
        received_ns: when the middleware received it, by the system clock.
        values: the twist's components [m/s, rad/s].
        foreign: whether the campaign itself published it, as the fault.
    """

    received_ns: int
    values: tuple[float, ...]
    foreign: bool = False

    @property
    def moves(self) -> bool:
        """Whether it asks the robot to move."""
        return any(self.values)


@dataclass(frozen=True)
class Verdict:
    """How a trial ended.

    Attributes:
        rest_s: from the fault to the first zero after the last command that moved the robot; None
            if there was none.
        resumed: whether the robot was told to stand, and then to move when it should have stood.
        unsafe: whether that zero came too late or never.
    """

    rest_s: float | None
    resumed: bool
    unsafe: bool


def judge(
    commands: Sequence[Seen], fault_ns: int, allowance_s: float, limit_s: float = LIMIT_S
) -> Verdict:
    """Judge the commands from the fault to the end of the watch.

    Nobody can hinder somebody else from publishing: where the fault is a foreign publisher, each
    of its commands has to be answered by a zero, and the longest wait for one counts. What moves
    the robot again later makes the zero after it the one that counts.

    Args:
        commands: in the order of arrival; those before the fault are ignored.
        fault_ns: when the fault began, by the system clock.
        allowance_s: what the fault's kind may take until it can be noticed.
        limit_s: what it may take from there to the zero.
    """
    due_ns = fault_ns + (allowance_s + limit_s) * _NS_PER_S
    after = [command for command in commands if command.received_ns > fault_ns]
    own = [command for command in after if not command.foreign]
    zeros_ns = [command.received_ns for command in own if not command.moves]
    moves_ns = [command.received_ns for command in own if command.moves]
    last_move_ns = moves_ns[-1] if moves_ns else fault_ns
    rest_ns = next((zero_ns for zero_ns in zeros_ns if zero_ns > last_move_ns), None)
    # Before it is due, a zero may have other reasons, such as a machine that was busy for a moment.
    resumed = bool(zeros_ns) and last_move_ns > max(zeros_ns[0], due_ns)
    if rest_ns is None:
        return Verdict(None, resumed, unsafe=True)
    waits_ns = [rest_ns - fault_ns]
    for command in after:
        if command.foreign and command.moves:
            answer_ns = next((zero for zero in zeros_ns if zero > command.received_ns), None)
            if answer_ns is None:
                return Verdict(None, resumed, unsafe=True)
            waits_ns.append(answer_ns - command.received_ns)
    rest_s = max(waits_ns) / _NS_PER_S
    return Verdict(rest_s, resumed, unsafe=rest_s - allowance_s > limit_s)
