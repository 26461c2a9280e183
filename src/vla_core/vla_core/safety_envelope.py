"""The last word on every velocity command, whatever policy or runtime it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from vla_core.contract_specs import ActionSpec

_LONG_S = 1e6  # keeps products finite; any limit is reached within it


class Intervention(str, Enum):
    """Why a command differs from what was asked for.

    STALE: an observation is too old or missing; the robot brakes.
    STARVED: there is no action for this moment; the robot brakes.
    NAN: the action holds NaN or infinity; the robot brakes.
    VELOCITY: clipped to the limits.
    DEADBAND: too small to move the robot, so replaced by zero.
    ACCELERATION: approached in steps, because the change was too large.
    """

    STALE = "stale"
    STARVED = "starved"
    NAN = "nan"
    VELOCITY = "velocity"
    DEADBAND = "deadband"
    ACCELERATION = "acceleration"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False)
class EnvelopeLimits:
    """Limits of a command, per component.

    Attributes:
        low: (A,) float64, at most 0 [m/s, rad/s].
        high: (A,) float64, at least 0 [m/s, rad/s].
        max_acceleration: (A,) float64, above 0 [m/s^2, rad/s^2]; for braking, too.
        deadband: (A,) float64, at least 0 [m/s, rad/s].
    """

    low: np.ndarray
    high: np.ndarray
    max_acceleration: np.ndarray
    deadband: np.ndarray

    @classmethod
    def from_action(cls, action: ActionSpec) -> EnvelopeLimits:
        """The limits that a contract sets."""
        return cls(
            low=np.array(action.low, np.float64),
            high=np.array(action.high, np.float64),
            max_acceleration=np.array(action.max_acceleration, np.float64),
            deadband=np.array(action.deadband, np.float64),
        )


def limit_command(
    desired: np.ndarray | None,
    previous: np.ndarray,
    dt_s: float,
    limits: EnvelopeLimits,
    *,
    stale: bool,
) -> tuple[np.ndarray, tuple[Intervention, ...]]:
    """The command that may be published now. Pure: it depends on its arguments only.

    The result is finite and within `low` and `high`, and no component differs from `previous` by
    more than `max_acceleration * dt_s` (rounding aside), whatever the arguments hold. Without a
    usable action (starved, stale, NaN) each component goes to zero at `max_acceleration` and
    stays there: a velocity is never held.

    Args:
        desired: (A,) [m/s, rad/s]; None if there is no action for this moment.
        previous: (A,) the command before this one [m/s, rad/s]. Components that are not finite
            count as 0, others are clipped to the limits first.
        dt_s: time since then [s]; a value that is negative or not finite counts as 0.
        limits: of the robot.
        stale: whether what the robot sees is too old to act on.

    Returns:
        (A,) float64 command, and the reasons for every change, in the order of `Intervention`.

    Raises:
        ValueError: if an array does not have one value per component.
    """
    size = limits.low.shape
    last = np.asarray(previous, np.float64)
    target = np.zeros(size) if desired is None else np.asarray(desired, np.float64)
    if last.shape != size or target.shape != size:
        raise ValueError(f"got shapes {target.shape} and {last.shape}, expected {size}")
    last = np.clip(np.where(np.isfinite(last), last, 0.0), limits.low, limits.high)
    elapsed_s = min(dt_s, _LONG_S) if math.isfinite(dt_s) and dt_s > 0.0 else 0.0
    step = limits.max_acceleration * elapsed_s

    reasons = [Intervention.STALE] if stale else []
    if desired is None:
        reasons.append(Intervention.STARVED)
    elif not np.isfinite(target).all():
        reasons.append(Intervention.NAN)
    if reasons:
        return _approach(np.zeros(size), last, step), tuple(reasons)

    clipped = np.clip(target, limits.low, limits.high)
    if (clipped != target).any():
        reasons.append(Intervention.VELOCITY)
    still = (np.abs(clipped) < limits.deadband) & (clipped != 0.0)
    if still.any():
        reasons.append(Intervention.DEADBAND)
        clipped = np.where(still, 0.0, clipped)
    command = np.clip(_approach(clipped, last, step), limits.low, limits.high)
    if (command != clipped).any():
        reasons.append(Intervention.ACCELERATION)
    return command, tuple(reasons)


def _approach(target: np.ndarray, start: np.ndarray, step: np.ndarray) -> np.ndarray:
    """From start towards the target, by at most a step and never beyond it."""
    distance = target - start
    return np.where(np.abs(distance) <= step, target, start + np.sign(distance) * step)
