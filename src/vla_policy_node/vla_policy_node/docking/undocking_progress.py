"""How far an undocking goal has come, and how it ends: a state machine without ROS.

That the robot has left is decided by the battery, which no longer charges, and by the odometry.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vla_core.docking import DockTolerance
from vla_policy_node.docking.goal import Motion, Outcome, Phase, Situation
from vla_policy_node.docking.goal_progress import GoalProgress, Held
from vla_policy_node.docking.retreat import Retreat, RetreatRules, room_behind
from vla_policy_node.errors import DockTimeout, FailedToControl, NotDocked
from vla_policy_node.sensing.streams import describe_stale

_SHORTEST_M = 0.05
_SHORT_BY = 0.1  # of the way: what odometry and a measured pose may disagree by


@dataclass(frozen=True)
class UndockingRules:
    """Limits of one undocking goal.

    Attributes:
        timeout_s: of the whole goal.
        distance_m: way out.
        unseen: go all of it where the scan does not cover the way behind.
        perception_timeout_s: until every stream is valid.
        stale_grace_s: how long streams may fail on the way.
        charge_timeout_s: how long the battery may go on charging after the way.
        retreat: how to drive.
        tolerance: pose of a docked robot; speed and settling time of one that stands.
    """

    timeout_s: float = 30.0
    distance_m: float = 0.6
    unseen: bool = True
    perception_timeout_s: float = 5.0
    stale_grace_s: float = 1.0
    charge_timeout_s: float = 5.0
    retreat: RetreatRules = field(default_factory=lambda: RetreatRules(speed_mps=0.2))
    tolerance: DockTolerance = field(default_factory=DockTolerance)


class UndockingProgress(GoalProgress):
    """The state machine of one undocking goal."""

    def __init__(self, rules: UndockingRules, start_ns: int) -> None:
        super().__init__(start_ns, Phase.INITIAL_PERCEPTION)
        self._rules = rules
        self._stale = Held()
        self._released = Held()
        self._was_charging = False

    @property
    def backed_m(self) -> float:
        """Way made, by odometry [m]."""
        return 0.0 if self._retreat is None else self._retreat.backed_m

    @property
    def to_go_m(self) -> float:
        """Way left [m]."""
        return self._rules.distance_m if self._retreat is None else self._retreat.to_go_m

    def _motion(self) -> Motion:
        if self.phase is Phase.INITIAL_PERCEPTION:
            return Motion.WAIT
        return Motion.BACK_OFF if self.phase is Phase.CONTROLLING else Motion.STOP

    def _observe(self, situation: Situation) -> None:
        tolerance = self._rules.tolerance
        self.dock_from_base = situation.dock_from_base
        self._was_charging |= situation.charging is True
        still = situation.speed_mps is not None and tolerance.at_rest(situation.speed_mps)
        # A battery that fell silent on the way proves nothing; one that never spoke is not asked.
        free = situation.charging is False or not (self._was_charging or situation.charging)
        self._released.update(still and free, situation.now_ns)
        self._stale.update(not all(stream.valid for stream in situation.streams), situation.now_ns)

    def _verdict(self, situation: Situation) -> Outcome | None:
        rules = self._rules
        if self._retreat is None:
            return self._begin(situation)
        if self._stale.lasts(rules.stale_grace_s, situation.now_ns):
            stale = describe_stale(situation.streams)
            return self._fail(f"{stale}, for longer than {rules.stale_grace_s:g} s")
        if self.phase is Phase.CONTROLLING:
            self.back_off = self._retreat.update(situation)
            if self._retreat.problem:
                return self._fail(f"cannot back out: {self._retreat.problem}")
            if self._retreat.done:
                self._enter(Phase.WAIT_FOR_CHARGE)
        elif self._released.lasts(rules.tolerance.settle_s, situation.now_ns):
            return self._left()
        elif self._phase_lasts(rules.charge_timeout_s):
            charge = "the battery still charges" if situation.charging else "it does not stand"
            if situation.charging is None:
                charge = "no battery state arrives any more"
            return self._fail(f"backed out by {self.backed_m:.2f} m, but {charge}")
        if self.elapsed_s >= rules.timeout_s:
            return Outcome.failure(
                DockTimeout(
                    f"not undocked within {rules.timeout_s:g} s, {self.backed_m:.2f} m made"
                )
            )
        return None

    def _in_hands(self, situation: Situation) -> Outcome | None:
        if self._retreat is None:
            return None
        # The way back was planned from where the robot stood.
        return self._fail(f"a person has taken over after {self.backed_m:.2f} m; undock again")

    def _begin(self, situation: Situation) -> Outcome | None:
        rules = self._rules
        stale = describe_stale(situation.streams)
        if stale or situation.odometry is None:
            limit_s = min(rules.perception_timeout_s, rules.timeout_s)
            if not self._phase_lasts(limit_s):
                return None
            return self._fail(f"after {limit_s:g} s: {stale or 'no odometry'}")
        missing = self._not_docked(situation)
        if missing:
            return Outcome.failure(NotDocked(missing))
        room = room_behind(situation, rules.distance_m, rules.retreat)
        way_m, self.note = room.way_m, room.note
        if rules.unseen and not situation.rear.covered:
            way_m = rules.distance_m
        if way_m < _SHORTEST_M:
            return self._fail(f"cannot back out: {room.note}")
        self._retreat = Retreat(situation, way_m, rules.retreat)
        self._enter(Phase.CONTROLLING)
        return None

    def _not_docked(self, situation: Situation) -> str:
        """Why there is nothing to leave; empty for a docked robot."""
        if situation.charging or (
            self.dock_from_base is not None and self._rules.tolerance.contains(self.dock_from_base)
        ):
            return ""
        battery = "no battery state arrives" if situation.charging is None else "it does not charge"
        return f"not docked: {battery}{self._pose_text(', ') or ', and no pose is measured'}"

    def _left(self) -> Outcome | None:
        wanted_m, made_m = self._rules.distance_m, self.backed_m
        if made_m < (1.0 - _SHORT_BY) * wanted_m - _SHORTEST_M:
            return self._fail(
                f"came out by {made_m:.2f} m of {wanted_m:.2f} m only: {self.note or 'no room'}"
            )
        note = f"; {self.note}" if self.note else ""
        return Outcome(f"undocked: {made_m:.2f} m out, the battery does not charge{note}")

    def _fail(self, text: str) -> Outcome:
        return Outcome.failure(FailedToControl(text))

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._phase_start_ns = self._now_ns
