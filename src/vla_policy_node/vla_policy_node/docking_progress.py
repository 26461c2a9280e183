"""How far a docking goal has come, and how it ends: a state machine without ROS.

Whether the robot is docked is decided here from the battery, the odometry and, where there is one,
a measured pose. What the policy commands plays no part in it.
"""

from __future__ import annotations

import math

from vla_core.geometry import Pose2D
from vla_policy_node.docking_goal import DockingRules, Motion, Outcome, Phase, Situation
from vla_policy_node.errors import (
    DockingError,
    DockTimeout,
    FailedToCharge,
    FailedToControl,
    FailedToDetectDock,
    UnknownFault,
)
from vla_policy_node.streams import describe_stale

_NS_PER_S = 1_000_000_000
_STOP_LIMIT_S = 3.0


class _Held:
    """For how long a condition has held without a break."""

    def __init__(self) -> None:
        self._since_ns: int | None = None

    def update(self, holds: bool, now_ns: int) -> None:
        if not holds:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = now_ns

    def lasts(self, duration_s: float, now_ns: int) -> bool:
        return self._since_ns is not None and now_ns - self._since_ns >= _to_ns(duration_s)


class DockingProgress:
    """The state machine of one goal.

    Feed it with `update` at the control rate until `outcome` is set. Every end of a goal goes
    through `Motion.STOP`, so that the result is given when the robot has been told to stand still.
    """

    def __init__(self, rules: DockingRules, start_ns: int) -> None:
        self._rules = rules
        self._start_ns = start_ns
        self._now_ns = start_ns
        self._phase_start_ns = start_ns
        self._stop_start_ns: int | None = None
        self._pending: Outcome | None = None
        self._docked = _Held()
        self._standing = _Held()
        self._stale = _Held()
        self._starved = _Held()
        self._has_moved = False
        self._backed_off_m = 0.0
        self._was_charging = False
        self.phase = Phase.INITIAL_PERCEPTION
        self.outcome: Outcome | None = None
        self.num_retries = 0
        self.dock_from_base: Pose2D | None = None
        self.contact_speed_mps = math.nan

    @property
    def elapsed_s(self) -> float:
        """Time since the goal began, up to the last update [s]."""
        return (self._now_ns - self._start_ns) / _NS_PER_S

    @property
    def distance_m(self) -> float:
        """Distance to the docked pose, NaN without a fresh pose [m]."""
        return math.nan if self.dock_from_base is None else self.dock_from_base.distance

    def update(self, situation: Situation) -> Motion:
        """Take a new situation in and say what to do.

        Args:
            situation: at a time not before that of the previous call. A clock that jumped back
                ends the goal.
        """
        previous_ns, self._now_ns = self._now_ns, situation.now_ns
        if self._pending is None:
            self._observe(situation)
            self._pending = self._verdict(situation, previous_ns)
        if self._pending is not None:
            return self._stop(situation)
        if self.phase is Phase.INITIAL_PERCEPTION:
            return Motion.WAIT
        return Motion.BACK_OFF if self.phase is Phase.RETRY else Motion.FOLLOW

    def _observe(self, situation: Situation) -> None:
        tolerance, now_ns = self._rules.tolerance, situation.now_ns
        self.dock_from_base = situation.dock_from_base
        still = situation.speed_mps is not None and tolerance.at_rest(situation.speed_mps)
        self._has_moved |= situation.speed_mps is not None and not still
        in_place = self.dock_from_base is None or tolerance.contains(self.dock_from_base)
        charging = situation.charging is True
        if charging and not self._was_charging and math.isnan(self.contact_speed_mps):
            speed_mps = situation.speed_mps
            self.contact_speed_mps = math.nan if speed_mps is None else speed_mps
        self._was_charging = charging
        self._docked.update(charging and still and in_place, now_ns)
        # A standstill short of the station is left to the timeout: a policy may creep.
        self._standing.update(still and (charging or (in_place and self._has_moved)), now_ns)
        self._stale.update(not all(stream.valid for stream in situation.streams), now_ns)
        self._starved.update(not situation.chunk_ready, now_ns)

    def _verdict(self, situation: Situation, previous_ns: int) -> Outcome | None:
        """Why the goal ends now, or None; moves between the phases of a goal that goes on."""
        rules, now_ns = self._rules, situation.now_ns
        if situation.stop_reason:
            return _failure(UnknownFault(situation.stop_reason))
        if situation.cancel_requested:
            return Outcome("canceled by the client", canceled=True)
        if now_ns < previous_ns:
            back_s = (previous_ns - now_ns) / _NS_PER_S
            return _failure(FailedToControl(f"the clock jumped back by {back_s:.3f} s"))
        if self.phase is not Phase.RETRY and self._docked.lasts(rules.tolerance.settle_s, now_ns):
            return Outcome(self._docked_reason())
        if situation.inference_fault:
            return _failure(FailedToControl(situation.inference_fault))
        if now_ns - self._start_ns >= _to_ns(rules.timeout_s):
            return _failure(
                DockTimeout(f"not docked within {rules.timeout_s:g} s{self._pose_text(', ')}")
            )
        if self.phase is Phase.INITIAL_PERCEPTION:
            return self._perceive(situation)
        return self._lost(situation) or self._approach(situation, previous_ns)

    def _perceive(self, situation: Situation) -> Outcome | None:
        limit_s = self._rules.perception_timeout_s
        stale = describe_stale(situation.streams)
        if not stale and situation.chunk_ready and situation.at_rest:
            # Standing on the charger already: wait for the verdict instead of pushing on.
            if not self._docked.lasts(0.0, situation.now_ns):
                self._enter(Phase.CONTROLLING)
            return None
        if situation.now_ns - self._phase_start_ns < _to_ns(limit_s):
            return None
        if stale:
            return _failure(FailedToDetectDock(f"after {limit_s:g} s: {stale}"))
        return _failure(FailedToControl(f"no action chunk from the policy within {limit_s:g} s"))

    def _lost(self, situation: Situation) -> Outcome | None:
        grace_s = self._rules.stale_grace_s
        if self._stale.lasts(grace_s, situation.now_ns):
            stale = describe_stale(situation.streams)
            return _failure(FailedToControl(f"{stale}, for longer than {grace_s:g} s"))
        if self.phase is not Phase.RETRY and self._starved.lasts(grace_s, situation.now_ns):
            return _failure(FailedToControl(f"no fresh action chunk for {grace_s:g} s"))
        return None

    def _approach(self, situation: Situation, previous_ns: int) -> Outcome | None:
        rules, now_ns = self._rules, situation.now_ns
        if self.phase is Phase.RETRY:
            self._back_off(situation, previous_ns)
            return None
        standing = self._standing.lasts(rules.tolerance.settle_s, now_ns)
        if standing and self.phase is Phase.CONTROLLING:
            self._enter(Phase.WAIT_FOR_CHARGE)
        elif not standing and self.phase is Phase.WAIT_FOR_CHARGE:
            self._enter(Phase.CONTROLLING)
        if self.phase is not Phase.WAIT_FOR_CHARGE:
            return None
        if now_ns - self._phase_start_ns < _to_ns(rules.charge_timeout_s):
            return None
        return self._retry_or(self._standstill_error(situation))

    def _standstill_error(self, situation: Situation) -> DockingError:
        waited = f"for {self._rules.charge_timeout_s:g} s"
        if situation.charging:
            return FailedToControl(
                f"stands on the charger {waited}, but out of tolerance{self._pose_text(': ')}"
            )
        battery = "no battery state arrives" if situation.charging is None else "it does not charge"
        return FailedToCharge(
            f"stands at the station {waited} and {battery}{self._pose_text(', ')}"
        )

    def _retry_or(self, error: DockingError) -> Outcome | None:
        if self.num_retries >= self._rules.max_retries:
            return _failure(error)
        self.num_retries += 1
        self._backed_off_m = 0.0
        self._enter(Phase.RETRY)
        return None

    def _back_off(self, situation: Situation, previous_ns: int) -> None:
        if situation.speed_mps is not None:
            self._backed_off_m += (
                abs(situation.speed_mps) * (situation.now_ns - previous_ns) / _NS_PER_S
            )
        if self._backed_off_m >= self._rules.retry_backoff_m:
            self._enter(Phase.INITIAL_PERCEPTION)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._phase_start_ns = self._now_ns
        self._starved.update(False, self._now_ns)
        if phase is Phase.INITIAL_PERCEPTION:
            self._has_moved = False

    def _stop(self, situation: Situation) -> Motion:
        if situation.dock_from_base is not None:
            self.dock_from_base = situation.dock_from_base
        if self._stop_start_ns is None:
            # One period at least, so that the control loop has heard of the stop.
            self._stop_start_ns = situation.now_ns
            return Motion.STOP
        stopping_ns = abs(situation.now_ns - self._stop_start_ns)
        if situation.at_rest or stopping_ns > _to_ns(_STOP_LIMIT_S):
            self.outcome = self._pending
        return Motion.STOP

    def _docked_reason(self) -> str:
        pose = self._pose_text(", ") or ", pose not measured"
        settle_s = self._rules.tolerance.settle_s
        return f"docked: the battery charges, at rest for {settle_s:g} s{pose}"

    def _pose_text(self, separator: str) -> str:
        pose = self.dock_from_base
        if pose is None:
            return ""
        return (
            f"{separator}{1e3 * pose.x:.1f} mm longitudinal, {1e3 * pose.y:.1f} mm lateral, "
            f"{math.degrees(pose.yaw):.2f} degrees from the docked pose"
        )


def _failure(error: DockingError) -> Outcome:
    return Outcome(str(error), error=error)


def _to_ns(duration_s: float) -> int:
    return round(duration_s * _NS_PER_S)
