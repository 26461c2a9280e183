"""The last word on every velocity command, whatever policy or runtime it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from vla_core.clearance import Surroundings, speed_factor
from vla_core.contract_safety import ObstacleSpec, SafetySpec
from vla_core.contract_specs import ActionSpec

_LONG_S = 1e6  # keeps products finite; any limit is reached within it


class Intervention(str, Enum):
    """Why a command differs from what was asked for.

    EMERGENCY_STOP: somebody pressed it; zero at once.
    FAULT: whoever makes the actions has failed; the robot brakes.
    STALE: an observation is too old or missing; the robot brakes.
    STARVED: there is no action for this moment; the robot brakes.
    NAN: the action holds NaN or infinity; the robot brakes.
    VELOCITY: clipped to the limits.
    DEADBAND: too small to move the robot, so replaced by zero.
    ACCELERATION: approached in steps, because the change was too large.
    JERK: approached in smaller steps, because the acceleration changed too fast.
    OBSTACLE: slowed down, so that the robot can stop in front of what the scanner sees.
    """

    EMERGENCY_STOP = "emergency_stop"
    FAULT = "fault"
    STALE = "stale"
    STARVED = "starved"
    NAN = "nan"
    VELOCITY = "velocity"
    DEADBAND = "deadband"
    ACCELERATION = "acceleration"
    JERK = "jerk"
    OBSTACLE = "obstacle"

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
        max_jerk: (A,) float64, above 0, infinite for none [m/s^3, rad/s^3]; None for none at all.
        fault_deceleration: (A,) float64, of braking for a fault; None: `max_acceleration`.
        obstacles: outline of the robot; None where it brakes for nothing that a scan shows.
        linear: which component is the forward speed, None if there is none.
        angular: which component is the turning rate, None if there is none.
    """

    low: np.ndarray
    high: np.ndarray
    max_acceleration: np.ndarray
    deadband: np.ndarray
    max_jerk: np.ndarray | None = None
    fault_deceleration: np.ndarray | None = None
    obstacles: ObstacleSpec | None = None
    linear: int | None = 0
    angular: int | None = 1

    @classmethod
    def from_action(
        cls, action: ActionSpec, safety: SafetySpec | None = None, fault_stop_s: float = 0.0
    ) -> EnvelopeLimits:
        """The limits that a contract sets.

        Args:
            action: of the contract.
            safety: of the contract.
            fault_stop_s: time in which a fault brings the command from any speed to zero, however
                small `max_acceleration` is: how hard the robot brakes then is left to its base.
                0 stays within `max_acceleration` [s].
        """
        safety = safety or SafetySpec()
        high, low = np.array(action.high, np.float64), np.array(action.low, np.float64)
        fields, max_acceleration = action.fields, np.array(action.max_acceleration, np.float64)
        fault_deceleration = max_acceleration
        if fault_stop_s > 0.0:
            fault_deceleration = np.maximum(max_acceleration, np.maximum(high, -low) / fault_stop_s)
        return cls(
            low=low,
            high=high,
            max_acceleration=max_acceleration,
            deadband=np.array(action.deadband, np.float64),
            max_jerk=np.array(safety.max_jerk, np.float64) if safety.max_jerk else None,
            fault_deceleration=fault_deceleration,
            obstacles=safety.obstacles,
            linear=fields.index("linear.x") if "linear.x" in fields else None,
            angular=fields.index("angular.z") if "angular.z" in fields else None,
        )


@dataclass(frozen=True, eq=False)
class Moment:
    """What a command is judged by, beside what is asked for.

    Attributes:
        stale: what the robot sees is too old to act on.
        fault: whoever makes the actions has failed.
        emergency_stop: somebody pressed it.
        stop: the robot shall come to rest, and nothing is wrong.
        acceleration: (A,) of the command before, for the jerk limit; None counts as 0.
        surroundings: points of the scan as they lie now. Without them a robot that brakes for
            obstacles is blind, which counts as stale.
    """

    stale: bool = False
    fault: bool = False
    emergency_stop: bool = False
    stop: bool = False
    acceleration: np.ndarray | None = None
    surroundings: Surroundings | None = None


def limit_command(
    desired: np.ndarray | None,
    previous: np.ndarray,
    dt_s: float,
    limits: EnvelopeLimits,
    moment: Moment,
) -> tuple[np.ndarray, tuple[Intervention, ...]]:
    """The command that may be published now. Pure: it depends on its arguments only.

    The result is finite and within `low` and `high`, whatever the arguments hold. No component
    differs from `previous` by more than `max_acceleration * dt_s` (rounding aside), except to
    brake: for a fault by `fault_deceleration * dt_s`, for an obstacle by as much as it takes, and
    an emergency stop is zero at once. Without a usable action (starved, stale, fault, NaN) each
    component goes to zero and stays there: a velocity is never held.

    A jerk limit shapes how an acceleration builds up and how it fades towards the target. One that
    leads away from the target ends at once, and braking for a fault, an obstacle or an emergency
    stop knows no jerk: being gentle comes after being safe.

    Args:
        desired: (A,) [m/s, rad/s]; None if there is no action for this moment.
        previous: (A,) the command before this one [m/s, rad/s]. Components that are not finite
            count as 0, others are clipped to the limits first.
        dt_s: time since then [s]; a value that is negative or not finite counts as 0.
        limits: of the robot.
        moment: what else is known.

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
    reasons = _stopping_reasons(desired, target, limits, moment)
    if moment.emergency_stop:
        return np.zeros(size), tuple(reasons)
    if reasons or moment.stop:
        command, gentle = _brake(last, elapsed_s, limits, moment, set(reasons))
        if gentle:
            reasons.append(Intervention.JERK)
    else:
        command = _follow(target, last, elapsed_s, limits, moment, reasons)
    slower = _slowed_for_obstacles(command, limits, moment.surroundings)
    if slower is not command:
        reasons.append(Intervention.OBSTACLE)
    return slower, tuple(reasons)


def _stopping_reasons(
    desired: np.ndarray | None, target: np.ndarray, limits: EnvelopeLimits, moment: Moment
) -> list[Intervention]:
    blind = limits.obstacles is not None and moment.surroundings is None
    there = {
        Intervention.EMERGENCY_STOP: moment.emergency_stop,
        Intervention.FAULT: moment.fault,
        Intervention.STALE: moment.stale or (blind and not moment.stop),
        Intervention.STARVED: desired is None and not moment.stop,
        Intervention.NAN: desired is not None and not np.isfinite(target).all(),
    }
    return [reason for reason, holds in there.items() if holds]


def _brake(
    last: np.ndarray,
    elapsed_s: float,
    limits: EnvelopeLimits,
    moment: Moment,
    reasons: set[Intervention],
) -> tuple[np.ndarray, bool]:
    """A step of the ramp to zero, and whether the jerk limit made it smaller."""
    zero = np.zeros_like(last)
    if reasons - {Intervention.STARVED}:
        rate = limits.fault_deceleration
        rate = limits.max_acceleration if rate is None else rate
        return _approach(zero, last, rate * elapsed_s), False
    ramp = _approach(zero, last, limits.max_acceleration * elapsed_s)
    gentle = _approach_gently(ramp, zero, last, elapsed_s, limits, moment.acceleration)
    return gentle, bool((gentle != ramp).any())


def _follow(
    target: np.ndarray,
    last: np.ndarray,
    elapsed_s: float,
    limits: EnvelopeLimits,
    moment: Moment,
    reasons: list[Intervention],
) -> np.ndarray:
    """A step towards what is asked for; adds the reasons why it is not that itself."""
    clipped = np.clip(target, limits.low, limits.high)
    if (clipped != target).any():
        reasons.append(Intervention.VELOCITY)
    still = (np.abs(clipped) < limits.deadband) & (clipped != 0.0)
    if still.any():
        reasons.append(Intervention.DEADBAND)
        clipped = np.where(still, 0.0, clipped)
    step = limits.max_acceleration * elapsed_s
    ramp = np.clip(_approach(clipped, last, step), limits.low, limits.high)
    if (ramp != clipped).any():
        reasons.append(Intervention.ACCELERATION)
    gentle = _approach_gently(ramp, clipped, last, elapsed_s, limits, moment.acceleration)
    if (gentle != ramp).any():
        reasons.append(Intervention.JERK)
    return gentle


def _approach(target: np.ndarray, start: np.ndarray, step: np.ndarray) -> np.ndarray:
    """From start towards the target, by at most a step and never beyond it."""
    distance = target - start
    return np.where(np.abs(distance) <= step, target, start + np.sign(distance) * step)


def _approach_gently(
    ramp: np.ndarray,
    target: np.ndarray,
    last: np.ndarray,
    elapsed_s: float,
    limits: EnvelopeLimits,
    acceleration: np.ndarray | None,
) -> np.ndarray:
    """The same without a jolt: what the acceleration limit alone would do, or less of it.

    An acceleration that fades by jerk * dt in each of n periods, from n of them on, covers
    jerk * dt^2 * n (n + 1) / 2. The largest one allowed is that which fades to zero at the target
    in the fewest periods.
    """
    if limits.max_jerk is None or elapsed_s == 0.0:
        return ramp
    limited = np.isfinite(limits.max_jerk)
    rise = np.where(limited, limits.max_jerk, 1.0) * elapsed_s
    away = np.abs(target - last)
    before = np.zeros_like(last) if acceleration is None else acceleration
    before = np.maximum(0.0, np.where(np.isfinite(before), before, 0.0) * np.sign(target - last))
    exact = (np.sqrt(1.0 + 8.0 * away / (rise * elapsed_s)) - 1.0) / 2.0
    periods = np.maximum(1.0, np.ceil(exact - 1e-9))
    fading = away / (elapsed_s * periods) + rise * (periods - 1.0) / 2.0
    rate = np.clip(fading, before - rise, before + rise)
    change = np.minimum(rate * elapsed_s, np.abs(ramp - last))
    arrived = (periods == 1.0) & (rate >= fading)
    gentle = limited & ~arrived & (np.abs(ramp - last) > change)
    return np.where(gentle, last + np.sign(target - last) * change, ramp)


def _slowed_for_obstacles(
    command: np.ndarray, limits: EnvelopeLimits, surroundings: Surroundings | None
) -> np.ndarray:
    """The command itself, or a share of it that keeps to the same arc."""
    if limits.obstacles is None or surroundings is None or not command.any():
        return command
    v, v_rate = _component(command, limits, limits.linear)
    w, w_rate = _component(command, limits, limits.angular)
    factor = speed_factor(surroundings, limits.obstacles, v, w, (v_rate, w_rate))
    return command if factor == 1.0 else command * factor


def _component(
    command: np.ndarray, limits: EnvelopeLimits, index: int | None
) -> tuple[float, float]:
    if index is None:
        return 0.0, 1.0
    return float(command[index]), float(limits.max_acceleration[index])
