"""Watches an episode of the live graph: when it is over as in lock-step, and what came before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from vla_msgs.msg import PolicyStatus, SimulationState

from vla_core.geometry import Pose2D
from vla_simulation.config import CONTROL_PERIOD_NS, CONTROL_PERIOD_S
from vla_simulation.viewer.plan import follow
from vla_training.evaluation.traces import PLAN_TICKS, POSE_TICKS, Trace

_PERIOD_TOLERANCE_S: Final = 1e-6


class EpisodeWatch:
    """Takes note of states and status messages from the goal on.

    Args:
        seed: of the episode; messages of another one are left out.
        time_limit_s: from the goal on.

    Attributes:
        newest: state of the episode that was heard last.
        final: the state at which the episode was over, by the conditions of lock-step; None
            before.
        interventions: ticks by reason for which the safety envelope changed the command.
    """

    def __init__(self, seed: int, time_limit_s: float) -> None:
        self._seed, self._time_limit_s = seed, time_limit_s
        self._begun_s: float | None = None
        self._chunk: PolicyStatus | None = None
        self._chunk_stamps: set[int] = set()
        self._poses: list[Pose2D] = []
        self._plans: list[np.ndarray] = []
        self._ticks = 0
        self.newest: SimulationState | None = None
        self.final: SimulationState | None = None
        self.interventions = Counter[str]()

    def begin(self) -> None:
        """The goal is sent now."""
        self._begun_s = self.newest.time_s if self.newest is not None else 0.0

    def see_state(self, state: SimulationState) -> None:
        """A state of the simulator."""
        if state.seed != self._seed or self.final is not None:
            return
        self.newest = state
        if self._begun_s is None:
            return
        self._trace(state)
        ended = state.collision or state.docked or state.docked_station != -1
        if ended or self.time_s >= self._time_limit_s - _PERIOD_TOLERANCE_S:
            self.final = state

    def see_status(self, status: PolicyStatus) -> None:
        """A status of the policy node."""
        if self._begun_s is None or self.final is not None:
            return
        self.interventions.update(status.interventions)
        if len(status.chunk):
            self._chunk = status
            self._chunk_stamps.add(_stamp_ns(status.chunk_stamp))

    @property
    def time_s(self) -> float:
        """From the goal to the newest state."""
        if self.newest is None or self._begun_s is None:
            return 0.0
        return float(self.newest.time_s) - self._begun_s

    @property
    def inferences(self) -> int:
        """How many chunks arrived."""
        return len(self._chunk_stamps)

    def trace(self) -> Trace:
        """The way up to now."""
        last = [] if self.newest is None else [dock_from_base(self.newest)]
        return Trace(self._seed, _array([*self._poses, *last]), tuple(self._plans))

    def _trace(self, state: SimulationState) -> None:
        pose = dock_from_base(state)
        if self._ticks % POSE_TICKS == 0:
            self._poses.append(pose)
        if self._ticks % PLAN_TICKS == 0 and self._chunk is not None:
            intended = follow(pose, self._intended(state, self._chunk), CONTROL_PERIOD_S)
            if len(intended) > 1:
                self._plans.append(_array(intended))
        self._ticks += 1

    @staticmethod
    def _intended(state: SimulationState, status: PolicyStatus) -> np.ndarray:
        """What is left of a chunk at the time of a state: (N, 2) [m/s, rad/s]."""
        actions = np.asarray(status.chunk, np.float64)
        actions = actions.reshape(status.horizon, status.action_size)
        past_ns = _stamp_ns(state.header.stamp) - _stamp_ns(status.chunk_stamp)
        return actions[max(0, past_ns // CONTROL_PERIOD_NS) :]


def dock_from_base(state: SimulationState) -> Pose2D:
    """The robot in the frame of the commanded dock."""
    base, dock = state.base_pose, state.dock_pose
    world_from_dock = Pose2D(dock.x, dock.y, dock.theta)
    return Pose2D(base.x, base.y, base.theta).relative_to(world_from_dock)


def _stamp_ns(stamp: object) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec  # type: ignore[attr-defined]


def _array(poses: Sequence[Pose2D]) -> np.ndarray:
    return np.array([(pose.x, pose.y, pose.yaw) for pose in poses], np.float32).reshape(-1, 3)
