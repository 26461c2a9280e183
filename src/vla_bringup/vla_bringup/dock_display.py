"""A docking or an undocking, said to people: progress, result, and the result for machines."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from vla_msgs.action import Dock, Undock


def describe_feedback(feedback: Dock.Feedback) -> str:
    """One line on how far the docking is."""
    parts = _time_and_state(feedback.docking_time, STATE_WORDS, feedback.state)
    if math.isfinite(feedback.distance_m):
        parts.append(f"{feedback.distance_m:5.2f} m to go")
    if math.isfinite(feedback.inference_latency_s):
        parts.append(f"inference {feedback.inference_latency_s * 1e3:3.0f} ms")
    return "  ".join(parts + _silent(feedback.streams))


def describe_undocking(feedback: Undock.Feedback) -> str:
    """One line on how far the undocking is."""
    parts = _time_and_state(feedback.undocking_time, UNDOCK_STATE_WORDS, feedback.state)
    parts.append(f"{feedback.distance_m:5.2f} m to go")
    if not math.isnan(feedback.rear_free_m):
        parts.append(f"{feedback.rear_free_m:.2f} m free behind")
    return "  ".join(parts + _silent(feedback.streams))


def _time_and_state(elapsed: Any, words: dict[int, str], state: int) -> list[str]:
    seconds = elapsed.sec + elapsed.nanosec * 1e-9
    return [f"{seconds:5.1f} s", words.get(state, f"state {state}")]


def _silent(streams: Any) -> list[str]:
    keys = [stream.key for stream in streams if not stream.valid]
    return [f"no {', '.join(keys)}"] if keys else []


STATE_WORDS: Final = {
    Dock.Feedback.NONE: "waiting",
    Dock.Feedback.NAV_TO_STAGING_POSE: "staging",
    Dock.Feedback.INITIAL_PERCEPTION: "looking",
    Dock.Feedback.CONTROLLING: "driving",
    Dock.Feedback.WAIT_FOR_CHARGE: "settling",
    Dock.Feedback.RETRY: "retrying",
    Dock.Feedback.RETURN: "returning",
}
UNDOCK_STATE_WORDS: Final = {
    Undock.Feedback.NONE: "waiting",
    Undock.Feedback.INITIAL_PERCEPTION: "looking",
    Undock.Feedback.CONTROLLING: "backing",
    Undock.Feedback.WAIT_FOR_CHARGE: "settling",
}


def describe_result(result: Dock.Result) -> str:
    """One line on how the docking ended."""
    if not result.success:
        reason = result.error_msg or result.termination_reason or "no reason given"
        return f"not docked (error {result.error_code}): {reason}"
    line = f"docked in {result.docking_time_s:.1f} s"
    if math.isfinite(result.lateral_error_m):
        line += (
            f": {result.longitudinal_error_m * 1e3:+.1f} mm along, "
            f"{result.lateral_error_m * 1e3:+.1f} mm across, "
            f"{math.degrees(result.yaw_error_rad):+.2f} degrees"
        )
    return line


def describe_undocked(result: Undock.Result) -> str:
    """One line on how the undocking ended."""
    if not result.success:
        reason = result.error_msg or result.termination_reason or "no reason given"
        return f"not undocked (error {result.error_code}): {reason}"
    return f"undocked in {result.undocking_time_s:.1f} s, {result.backed_m:.2f} m out"


def result_as_dict(result: Dock.Result | Undock.Result) -> dict[str, Any]:
    """The result for JSON; NaN becomes None."""
    values = {name: getattr(result, name) for name in result.get_fields_and_field_types()}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


class ProgressPrinter:
    """Prints feedback: one line that changes on a terminal, one line a second elsewhere."""

    def __init__(self, describe: Callable[[Any], str]) -> None:
        self._describe = describe
        self._on_terminal = sys.stdout.isatty()
        self._period_s = 0.1 if self._on_terminal else 1.0
        self._due_s = 0.0

    def __call__(self, feedback: Any) -> None:
        """Print the message if it is time for one."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + self._period_s
        line = self._describe(feedback)
        sys.stdout.write(f"\r\033[K{line}" if self._on_terminal else f"{line}\n")
        sys.stdout.flush()

    def finish(self) -> None:
        """Leave the changing line."""
        if self._on_terminal:
            sys.stdout.write("\r\033[K")
