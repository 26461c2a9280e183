"""What the operator sees all the time, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vla_msgs.action import RecordEpisode

from vla_recorder.teleop.operation import Operation

_UNITS: Final = {"linear.x": "m/s", "angular.z": "rad/s"}


def status_line(
    operation: Operation, fields: Sequence[str], feedback: RecordEpisode.Feedback | None
) -> str:
    """Who drives, how fast, and what is being recorded; streams that are not valid shout.

    Args:
        operation: of the robot.
        fields: components of its command.
        feedback: of the recorder; None while nothing is being recorded.
    """
    if operation.is_stopped:
        state = "EMERGENCY STOP"
    else:
        state = "you drive" if operation.in_control else "hands off"
    parts = [state]
    if operation.in_control:
        values = zip(fields, operation.command, strict=True)
        parts.append("  ".join(f"{value:+.2f} {_UNITS[name]}" for name, value in values))
    parts.append(f"speed {operation.speed:.0%}")
    if feedback is not None:
        parts.append(f"REC {feedback.elapsed_s:.1f} s {feedback.bytes / 1e6:.1f} MB")
        parts.append(
            "  ".join(
                f"{stream.key} {stream.rate_hz:.0f} Hz"
                if stream.valid
                else f"!! {stream.key} {'missing' if not stream.messages else 'late'}"
                for stream in feedback.streams
            )
        )
    return " | ".join(parts)
