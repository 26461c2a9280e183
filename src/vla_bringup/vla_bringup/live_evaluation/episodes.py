"""One episode through the live graph, with the same figures as in lock-step."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Final

from vla_msgs.action import Dock
from vla_msgs.msg import SimulationState

from vla_bringup.live_evaluation.episode_watch import EpisodeWatch, dock_from_base
from vla_bringup.live_evaluation.live_graph import LiveGraph
from vla_bringup.live_evaluation.options import LiveEvaluationError
from vla_core.geometry import Pose2D
from vla_simulation.environment import DockingEnv
from vla_training.evaluation.live import LiveFacts
from vla_training.evaluation.rollouts import EpisodeResult
from vla_training.evaluation.traces import Trace

SETTLE_S: Final = 0.6
"""From the reset to the goal: the policy must not take the old episode's observations for the new
one's. A `DockingEnv` stands still meanwhile, and so does the robot."""

VERDICT_S: Final = 1.5
"""Truth and the action's verdict settle for 0.5 s each; the slower one is waited for."""

ANSWER_TIMEOUT_S: Final = 10.0


class LiveEpisodes:
    """Runs episodes; a context manager.

    The scene is drawn here a second time, without being driven: what it says of the start does not
    depend on what was heard.
    """

    def __init__(self) -> None:
        self._env: DockingEnv | None = None

    def __enter__(self) -> LiveEpisodes:
        self._env = DockingEnv("nominal", render=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._env is not None:
            self._env.close()

    def run(
        self, graph: LiveGraph, suite: str, seed: int, *, swapped: bool = False, restarts: int = 0
    ) -> tuple[EpisodeResult, Trace]:
        """Dock once.

        Args:
            graph: that runs.
            suite: that the episode is drawn from.
            seed: of it.
            swapped: command the station after the drawn one.
            restarts: how often this episode was begun before.

        Raises:
            VlaError: the graph failed; a robot that did not dock is a result, not an error.
        """
        env = self._drawn(suite, seed, swapped)
        watch = EpisodeWatch(seed, env.suite.time_limit_s)
        graph.on_state, graph.on_status = watch.see_state, watch.see_status
        answer = graph.reset(seed, suite, env.scene.goal)
        if answer.instruction != env.instruction:
            raise LiveEvaluationError(
                f"seed {seed} of suite {suite} says '{answer.instruction}' in the graph and "
                f"'{env.instruction}' here: two versions of the simulator are installed; build the "
                "workspace again (make setup)"
            )
        self._wait(graph, watch)
        watch.begin()
        result = graph.dock(env.instruction, env.suite.time_limit_s)
        self._see_out(graph, watch, result)
        return self._figures(env, seed, swapped, watch, result, restarts), watch.trace()

    def _drawn(self, suite: str, seed: int, swapped: bool) -> DockingEnv:
        assert self._env is not None
        goal = {"goal": "swap"} if swapped else {}
        self._env.reset(seed=seed, options={"suite": suite, **goal})
        return self._env

    def station_count(self, suite: str, seed: int) -> int:
        """How many stations an episode has."""
        return len(self._drawn(suite, seed, swapped=False).scene.stations)

    @staticmethod
    def _wait(graph: LiveGraph, watch: EpisodeWatch) -> None:
        """Until the episode is heard, and what was on its way from the last one is gone."""
        begun_s = time.monotonic()
        while watch.newest is None or watch.newest.time_s < SETTLE_S:
            graph.check()
            graph.spin()
            if time.monotonic() > begun_s + ANSWER_TIMEOUT_S:
                raise LiveEvaluationError(
                    f"the simulator publishes no states within {ANSWER_TIMEOUT_S:g} s of the reset"
                )

    @staticmethod
    def _see_out(graph: LiveGraph, watch: EpisodeWatch, result: Dock.Result) -> None:
        """Hear what was still on its way when the result came."""
        seen_s = watch.time_s
        begun_s = time.monotonic()
        while watch.final is None and watch.time_s < seen_s + VERDICT_S:
            graph.check()
            graph.spin()
            if time.monotonic() > begun_s + ANSWER_TIMEOUT_S:
                raise LiveEvaluationError(
                    f"the simulator fell silent ({result.termination_reason})"
                )

    @staticmethod
    def _figures(
        env: DockingEnv,
        seed: int,
        swapped: bool,
        watch: EpisodeWatch,
        result: Dock.Result,
        restarts: int,
    ) -> EpisodeResult:
        start: Pose2D = env.truth.dock_from_base
        last = watch.final or watch.newest
        assert last is not None  # the episode was waited for
        error, outcome = dock_from_base(last), outcome_of(last)
        return EpisodeResult(
            seed=seed,
            swapped=swapped,
            success=outcome == "docked",
            outcome=outcome,
            instruction=env.instruction,
            naming=env.scene.naming,
            station_count=len(env.scene.stations),
            goal=env.scene.goal,
            docked_station=None if last.docked_station == -1 else int(last.docked_station),
            time_s=watch.time_s,
            longitudinal_error_mm=error.x * 1e3,
            lateral_error_mm=error.y * 1e3,
            yaw_error_deg=math.degrees(error.yaw),
            precise=bool(last.precise),
            mated=bool(last.mated),
            contact_speed_mps=_known(last.contact_speed_mps),
            wrong_station=outcome == "wrong_station",
            collision_with="",
            start_distance_m=start.distance,
            start_bearing_deg=math.degrees(math.atan2(start.y, -start.x)),
            start_heading_deg=math.degrees(start.yaw),
            inferences=watch.inferences,
            interventions=dict(watch.interventions),
            live=LiveFacts(
                reported_success=bool(result.success),
                error_code=int(result.error_code),
                termination=result.error_msg or result.termination_reason,
                retries=int(result.num_retries),
                reported_contact_speed_mps=_known(result.contact_speed_mps),
                docking_time_s=float(result.docking_time_s),
                graph_restarts=restarts,
            ),
        )


def outcome_of(state: SimulationState) -> str:
    """How the episode stands, by the rules of lock-step."""
    if state.docked:
        return "docked"
    if state.docked_station != -1:
        return "wrong_station"
    return "collision" if state.collision else "timeout"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
