"""How far a docking goal has come, and how it ends: a state machine without ROS.

Whether the robot is docked is decided here from the battery, the odometry and, where there is one,
a measured pose. What the policy commands plays no part in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from vla_core.docking import DockTolerance
from vla_policy_node.docking.goal import Motion, Outcome, Phase, Situation
from vla_policy_node.docking.goal_progress import GoalProgress, Held
from vla_policy_node.docking.retreat import Retreat, RetreatRules, room_behind
from vla_policy_node.errors import (
    DockingError,
    DockTimeout,
    FailedToCharge,
    FailedToControl,
    FailedToDetectDock,
    FailedToStage,
    PolicyUnsure,
)
from vla_policy_node.inference.confidence import NONE, RETRY, STOP
from vla_policy_node.sensing.streams import describe_stale

_SHORTEST_RETREAT_M = 0.05


@dataclass(frozen=True)
class DockingRules:
    """Limits of one docking goal.

    Attributes:
        timeout_s: of the whole goal, retries included.
        perception_timeout_s: until every stream is valid and the first chunk is there.
        stale_grace_s: how long streams or chunks may fail on the way.
        charge_timeout_s: longest standstill without a verified dock.
        max_retries: how often to back off and come in again.
        on_doubt: what a policy that doubts itself leads to: "retry" and "stop" end the attempt.
        retry_backoff_m: way back before a retry.
        return_m: way back after the last attempt, 0 to stay.
        retreat: how to drive on these ways.
        tolerance: pose, speed and settling time of a docked robot.
    """

    timeout_s: float = 30.0
    perception_timeout_s: float = 5.0
    stale_grace_s: float = 1.0
    charge_timeout_s: float = 5.0
    max_retries: int = 0
    on_doubt: str = NONE
    retry_backoff_m: float = 0.4
    return_m: float = 0.0
    retreat: RetreatRules = field(default_factory=RetreatRules)
    tolerance: DockTolerance = field(default_factory=DockTolerance)


class DockingProgress(GoalProgress):
    """The state machine of one docking goal.

    Attributes:
        num_retries: how often it has backed off.
        contact_speed_mps: highest speed while the contacts met, NaN without contact.
    """

    def __init__(self, rules: DockingRules, start_ns: int) -> None:
        super().__init__(start_ns, Phase.INITIAL_PERCEPTION)
        self._rules = rules
        self._docked = Held()
        self._standing = Held()
        self._idle = Held()
        self._stale = Held()
        self._starved = Held()
        self._has_moved = False
        self._has_driven = False
        self._failed: DockingError | None = None
        self.num_retries = 0
        self.contact_speed_mps = math.nan

    @property
    def distance_m(self) -> float:
        """Distance to the docked pose, NaN without a fresh pose [m]."""
        return math.nan if self.dock_from_base is None else self.dock_from_base.distance

    def _motion(self) -> Motion:
        if self.phase is Phase.INITIAL_PERCEPTION:
            return Motion.WAIT
        return Motion.FOLLOW if self._retreat is None else Motion.BACK_OFF

    def _observe(self, situation: Situation) -> None:
        tolerance, now_ns = self._rules.tolerance, situation.now_ns
        self.dock_from_base = situation.dock_from_base
        still = situation.speed_mps is not None and tolerance.at_rest(situation.speed_mps)
        moved = situation.speed_mps is not None and not still
        self._has_moved |= moved
        self._has_driven |= moved
        in_place = self.dock_from_base is None or tolerance.contains(self.dock_from_base)
        charging = situation.charging is True
        contact_mps = situation.contact_speed_mps
        if contact_mps is not None and self._has_driven:
            self.contact_speed_mps = float(np.fmax(self.contact_speed_mps, contact_mps))
        docked = charging and still and in_place
        # What odometry has shown before the goal counts only for a robot that stood there already.
        already_s = 0.0 if self._has_driven else situation.standing_s
        self._docked.update(docked, now_ns, already_s)
        self._standing.update(still and (charging or (in_place and self._has_moved)), now_ns)
        self._idle.update(still and self._has_moved, now_ns)
        self._stale.update(not all(stream.valid for stream in situation.streams), now_ns)
        self._starved.update(not situation.chunk_ready, now_ns)

    def _verdict(self, situation: Situation) -> Outcome | None:
        rules, now_ns = self._rules, situation.now_ns
        if self._retreat is None and self._docked.lasts(rules.tolerance.settle_s, now_ns):
            return Outcome(self._docked_reason())
        if self.phase is Phase.RETURN:
            return self._return(situation)
        if situation.inference_fault:
            return Outcome.failure(FailedToControl(situation.inference_fault))
        if self.elapsed_s >= rules.timeout_s:
            return self._give_up(
                situation,
                DockTimeout(f"not docked within {rules.timeout_s:g} s{self._pose_text(', ')}"),
            )
        if self.phase is Phase.INITIAL_PERCEPTION:
            return self._perceive(situation)
        return self._lost(situation) or self._doubted(situation) or self._approach(situation)

    def _in_hands(self, situation: Situation) -> Outcome | None:
        if self._docked.lasts(self._rules.tolerance.settle_s, situation.now_ns):
            return Outcome(self._docked_reason())
        if self._failed is not None:  # it was on its way back
            reason = f"{self._failed}; did not return: a person has taken over"
            return Outcome.failure(type(self._failed)(reason))
        # What the policy was at is over: it begins anew from where the robot is given back.
        self._retreat = None
        self._enter(Phase.INITIAL_PERCEPTION)
        for held in (self._standing, self._stale):
            held.update(False, situation.now_ns)
        return None

    def _perceive(self, situation: Situation) -> Outcome | None:
        limit_s = self._rules.perception_timeout_s
        stale = describe_stale(situation.streams)
        if not stale and situation.chunk_ready and situation.at_rest:
            # Standing on the charger already: wait for the verdict instead of pushing on.
            if not self._docked.lasts(0.0, situation.now_ns):
                self._enter(Phase.CONTROLLING)
            return None
        if not self._phase_lasts(limit_s):
            return None
        if stale:
            return Outcome.failure(FailedToDetectDock(f"after {limit_s:g} s: {stale}"))
        return Outcome.failure(
            FailedToControl(f"no action chunk from the policy within {limit_s:g} s")
        )

    def _lost(self, situation: Situation) -> Outcome | None:
        grace_s = self._rules.stale_grace_s
        if self._stale.lasts(grace_s, situation.now_ns):
            stale = describe_stale(situation.streams)
            return Outcome.failure(FailedToControl(f"{stale}, for longer than {grace_s:g} s"))
        if self._retreat is None and self._starved.lasts(grace_s, situation.now_ns):
            return Outcome.failure(FailedToControl(f"no fresh action chunk for {grace_s:g} s"))
        return None

    def _doubted(self, situation: Situation) -> Outcome | None:
        """A policy at the station is trusted: what is left is to wait for the charger."""
        drives = self._retreat is None and self.phase is Phase.CONTROLLING
        if not (situation.doubt and drives):
            return None
        error = PolicyUnsure(f"the policy doubts: {situation.doubt}")
        if self._rules.on_doubt == RETRY:
            return self._retry_or_give_up(situation, error)
        return self._give_up(situation, error) if self._rules.on_doubt == STOP else None

    def _approach(self, situation: Situation) -> Outcome | None:
        rules, now_ns = self._rules, situation.now_ns
        if self._retreat is not None:
            return self._back_off(self._retreat, situation)
        standing = self._standing.lasts(rules.tolerance.settle_s, now_ns)
        if standing and self.phase is Phase.CONTROLLING:
            self._enter(Phase.WAIT_FOR_CHARGE)
        elif not standing and self.phase is Phase.WAIT_FOR_CHARGE:
            self._enter(Phase.CONTROLLING)
        if self.phase is Phase.WAIT_FOR_CHARGE and self._phase_lasts(rules.charge_timeout_s):
            return self._retry_or_give_up(situation, self._standstill_error(situation))
        # A policy that rests short of the station may creep on: without a retry left, the timeout
        # decides.
        left = self.num_retries < rules.max_retries
        if left and self._idle.lasts(rules.charge_timeout_s, now_ns):
            self._retry(situation)
        return None

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

    # Ways back

    def _retry_or_give_up(self, situation: Situation, error: DockingError) -> Outcome | None:
        if self.num_retries >= self._rules.max_retries:
            return self._give_up(situation, error)
        note = self._retry(situation)
        if not note:
            return None
        return self._give_up(situation, type(error)(f"{error}; no retry: {note}"))

    def _retry(self, situation: Situation) -> str:
        """Begin to back off; why not, if there is no room."""
        note = self._retreat_by(situation, self._rules.retry_backoff_m, Phase.RETRY)
        self.num_retries += not note
        return note

    def _give_up(self, situation: Situation, error: DockingError) -> Outcome | None:
        """The end of the last attempt, after a way back if that is wanted and possible."""
        self._failed = error
        self._retreat = None
        valid = all(stream.valid for stream in situation.streams)
        if self._rules.return_m <= 0.0 or not self._has_driven or not valid:
            return Outcome.failure(error)
        note = self._retreat_by(situation, self._rules.return_m, Phase.RETURN)
        return Outcome.failure(type(error)(f"{error}; stays: {note}")) if note else None

    def _retreat_by(self, situation: Situation, way_m: float, phase: Phase) -> str:
        room = room_behind(situation, way_m, self._rules.retreat)
        if situation.odometry is None:
            return "no odometry"
        if room.way_m < _SHORTEST_RETREAT_M:
            return room.note
        self._retreat = Retreat(situation, room.way_m, self._rules.retreat)
        self.note = room.note
        self._enter(phase)
        return ""

    def _back_off(self, retreat: Retreat, situation: Situation) -> Outcome | None:
        self.back_off = retreat.update(situation)
        if retreat.problem:
            return Outcome.failure(FailedToStage(f"cannot back off: {retreat.problem}"))
        if retreat.done:
            self._retreat = None
            self._enter(Phase.INITIAL_PERCEPTION)
        return None

    def _return(self, situation: Situation) -> Outcome | None:
        retreat, error = self._retreat, self._failed
        if retreat is None or error is None:
            raise RuntimeError("a return needs a reason and a way")
        lost = self._lost(situation)
        self.back_off = retreat.update(situation)
        if not (lost or retreat.problem or retreat.done):
            return None
        end = f"returned by {retreat.backed_m:.2f} m"
        if not retreat.done:
            end = f"did not return: {lost.reason if lost else retreat.problem}"
        return Outcome.failure(type(error)(f"{error}; {end}"))

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._phase_start_ns = self._now_ns
        self._starved.update(False, self._now_ns)
        self._idle.update(False, self._now_ns)
        if phase is Phase.INITIAL_PERCEPTION:
            self._has_moved = False

    def _docked_reason(self) -> str:
        pose = self._pose_text(", ") or ", pose not measured"
        settle_s = self._rules.tolerance.settle_s
        already = "" if self._has_driven else "already "
        return f"{already}docked: the battery charges, at rest for {settle_s:g} s{pose}"
