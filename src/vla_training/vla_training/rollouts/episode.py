"""One episode in the simulator, driven and labelled, as rows of a data set.

A row is what the policy node would see at that control tick: frames are those of
`vla_core.frames.FrameAssembler`. Its label is the command that the expert gives at the state
visited, whoever drives: Ross, Gordon and Bagnell, "A reduction of imitation learning and structured
prediction to no-regret online learning", AISTATS 2011.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vla_core.bag_metadata import Outcome
from vla_core.contract import Contract
from vla_core.frames import FrameAssembler
from vla_core.geometry import Pose2D
from vla_simulation.config import CONTROL_PERIOD_NS, CONTROL_PERIOD_S
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    AGE_NS,
    DOCK_POSE,
    DOCK_POSE_VALID,
    DRIVER,
    TICK_NS,
    VALID,
    Rows,
    observation,
    row_specs,
)

_MARGIN_S: Final = 1e-9
_LOOK_PERIOD_NS: Final = 10 * CONTROL_PERIOD_NS
"""Looking for a free way takes as long as a control period."""

Command = Callable[[DockingEnv, tuple[float, float]], tuple[np.ndarray, int]]
"""What is executed at a tick, (2,) [m/s, rad/s], and who drives (see `layout.DRIVERS`), for the
expert's clean command there."""


@dataclass(frozen=True)
class EpisodeLimits:
    """When an episode is over.

    Attributes:
        duration_s: After this time; None: when docked, at the suite's time limit, or failed.
        settle_s: How long it goes on in the commanded dock.
        max_distance_m: Further from the commanded dock, the expert's labels say little.
        can_finish: Whether the expert could drive on from a `world_from_base` to the commanded
            station; where it could not, its labels lead into something.
    """

    duration_s: float | None
    settle_s: float
    max_distance_m: float
    can_finish: Callable[[Pose2D], bool] = lambda world_from_base: True


@dataclass(frozen=True, eq=False)
class DrivenEpisode:
    """What became of an episode.

    Attributes:
        rows: Arrays by name, of at least one row unless the robot collided at once.
        goal: Number of the commanded station, from the left.
        instruction: The sentence.
        paraphrases: Further sentences that command the same.
        outcome: Success, failure, or unknown if it ended before either.
        reason: "docked", "wrong_station", "collision", "astray" (too far away), "blocked" (from
            where the expert could not go on), "timeout" or "duration".
    """

    rows: Rows
    goal: int
    instruction: str
    paraphrases: tuple[str, ...]
    outcome: Outcome
    reason: str

    @property
    def length(self) -> int:
        """Number of rows."""
        return len(self.rows[VALID])


_OUTCOMES: Final = {"docked": Outcome.SUCCESS, "duration": Outcome.UNKNOWN}


def drive_episode(
    env: DockingEnv,
    contract: Contract,
    seed: int,
    options: Mapping[str, Any],
    limits: EpisodeLimits,
    command: Command,
) -> DrivenEpisode:
    """Drive one episode and keep every tick of it, but for a collision's.

    Args:
        env: With a camera.
        contract: What the rows are.
        seed: Of the scene.
        options: Of `DockingEnv.reset`.
        limits: When it is over.
        command: Who drives.
    """
    env.reset(seed=seed, options=dict(options))
    recording = _Recording(contract)
    docked_since_s: float | None = None
    while True:
        truth = env.truth
        if not truth.docked:
            docked_since_s = None
        elif docked_since_s is None:
            docked_since_s = truth.time_s
        settled = docked_since_s is not None and truth.time_s - docked_since_s >= limits.settle_s
        reason = _why_useless(env, limits)
        if reason:
            break
        clean = expert_action(truth.dock_from_base)
        executed, driver = command(env, clean)
        recording.add(env, clean, driver)
        reason = "docked" if settled else _why_over(env, limits)
        if reason:
            break
        env.step(np.asarray(executed, np.float32))
    scene = env.scene
    return DrivenEpisode(
        recording.rows(),
        scene.goal,
        scene.instruction,
        scene.paraphrases,
        _OUTCOMES.get(reason, Outcome.FAILURE),
        reason,
    )


def _why_useless(env: DockingEnv, limits: EpisodeLimits) -> str:
    """Why the state is none that the expert's command could be learned in; empty if it is one."""
    truth = env.truth
    if truth.collision:
        return "collision"
    if truth.dock_from_base.distance > limits.max_distance_m:
        return "astray"
    is_looking = env.stamp_ns % _LOOK_PERIOD_NS == 0
    return "blocked" if is_looking and not limits.can_finish(truth.world_from_base) else ""


def _why_over(env: DockingEnv, limits: EpisodeLimits) -> str:
    """Why this was the last tick; empty if it was not."""
    truth = env.truth
    if truth.wrong_station:
        return "wrong_station"
    if limits.duration_s is not None:
        last_s = limits.duration_s - CONTROL_PERIOD_S
        return "duration" if truth.time_s >= last_s - _MARGIN_S else ""
    return "timeout" if truth.time_s >= env.suite.time_limit_s - _MARGIN_S else ""


class _Recording:
    """Collects the rows of an episode.

    Args:
        contract: What they are.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._assembler = FrameAssembler(contract)
        self._columns: dict[str, list[Any]] = {
            name: []
            for name in (
                *map(observation, contract.keys),
                VALID,
                AGE_NS,
                ACTION,
                DOCK_POSE,
                DRIVER,
                TICK_NS,
            )
        }

    def add(self, env: DockingEnv, clean: tuple[float, float], driver: int) -> None:
        """Keep the present tick."""
        for sample in env.samples():
            if sample.key in self._contract.keys:
                self._assembler.push(sample.key, sample.stamp_ns, sample.reading)
        frame = self._assembler.assemble(env.stamp_ns)
        station = env.truth.world_from_dock.relative_to(env.truth.world_from_base)
        columns = self._columns
        for key, array in frame.arrays.items():
            columns[observation(key)].append(array)
        columns[VALID].append(frame.valid)
        columns[AGE_NS].append(frame.age_ns)
        columns[ACTION].append(clean)
        columns[DOCK_POSE].append((station.x, station.y, station.yaw))
        columns[DRIVER].append(driver)
        columns[TICK_NS].append(frame.tick_ns)

    def rows(self) -> Rows:
        """Arrays by name."""
        count = len(self._columns[TICK_NS])
        known = np.ones(count, bool)
        specs = {spec.name: spec for spec in row_specs(self._contract)}
        rows = {
            name: np.array(values, specs[name].dtype).reshape(count, *specs[name].shape)
            for name, values in self._columns.items()
        }
        return {**rows, ACTION_VALID: known, DOCK_POSE_VALID: known}
