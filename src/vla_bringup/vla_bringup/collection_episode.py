"""A simulator, an expert and a recorder in a DDS domain of their own, and how they record.

The simulator is active only while an episode is recorded. In lock-step it publishes its first
observations when it is activated and then waits for the expert's answer, so every bag begins with
the first tick of its episode and holds each tick that there was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from vla_msgs.action import RecordEpisode
from vla_msgs.msg import SimulationState
from vla_msgs.srv import ResetSimulation, StopEpisode

from vla_bringup.collection_nodes import NodeProcesses, node_specs
from vla_bringup.collection_types import (
    CollectionError,
    EpisodeOrder,
    EpisodeResult,
    EpisodeSettings,
)
from vla_bringup.graph import EXPERT, RECORDER, SIMULATOR
from vla_core import bag_metadata

START_TIMEOUT_S: Final = 60.0
ANSWER_TIMEOUT_S: Final = 30.0
SILENCE_TIMEOUT_S: Final = 20.0
POLL_PERIOD_S: Final = 0.05
MATCHING_S: Final = 0.5
OPERATOR: Final = "docking_expert"


class EpisodeWatch:
    """Decides from the simulator's states when an episode is over, and how it went."""

    def __init__(self, time_limit_s: float, settle_s: float) -> None:
        """Begin an episode.

        Args:
            time_limit_s: when the robot is not docked by then, it has failed.
            settle_s: how long it has to stay docked.
        """
        self._time_limit_s = time_limit_s
        self._settle_s = settle_s
        self._docked_since_s: float | None = None
        self.time_s = 0.0
        self.states = 0
        self.reason = ""

    def see(self, state: SimulationState) -> None:
        """Take note of a state; `reason` is set once the episode is over."""
        self.states += 1
        self.time_s = state.time_s
        if state.collision:
            self.reason = self.reason or "collision"
        elif state.docked_station not in (-1, state.goal):
            self.reason = self.reason or "wrong_station"
        elif not state.docked:
            self._docked_since_s = None
            if state.time_s >= self._time_limit_s:
                self.reason = self.reason or "timeout"
        else:
            if self._docked_since_s is None:
                self._docked_since_s = state.time_s
            if state.time_s - self._docked_since_s >= self._settle_s:
                self.reason = self.reason or "docked"


class EpisodeRunner:
    """Drives the lifecycle of the three nodes, and one episode after the other."""

    def __init__(self, settings: EpisodeSettings, directory: Path, logs: Path) -> None:
        """Describe the processes; nothing is started.

        Args:
            settings: of the collection.
            directory: receives the bags.
            logs: receives what the nodes print.
        """
        self._settings = settings
        self._processes = NodeProcesses(node_specs(settings, directory), logs)
        self._on_state: Callable[[SimulationState], None] = lambda state: None

    def __enter__(self) -> EpisodeRunner:
        self._processes.__enter__()
        try:
            self._connect()
            self._discover()
            for name in (SIMULATOR, EXPERT, RECORDER):
                self._change_state(name, Transition.TRANSITION_CONFIGURE)
            for name in (EXPERT, RECORDER):
                self._change_state(name, Transition.TRANSITION_ACTIVATE)
        except BaseException:
            self._processes.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._processes.__exit__(kind, error, trace)
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def run(self, order: EpisodeOrder) -> EpisodeResult:
        """Record one episode.

        Raises:
            CollectionError: a process ended, or a node refused or does not answer.
        """
        started_s = time.monotonic()
        request = ResetSimulation.Request(seed=order.seed, suite=order.suite, goal=order.goal)
        answer = self._call(self._reset, request, "reset of the simulator")
        if not answer.success:
            raise CollectionError(f"the simulator refused seed {order.seed}: {answer.message}")
        watch = EpisodeWatch(order.time_limit_s, self._settings.settle_s)
        self._on_state = watch.see
        recording = self._begin_recording(order, answer)
        self._change_state(SIMULATOR, Transition.TRANSITION_ACTIVATE)
        self._drive(watch, recording)
        self._change_state(SIMULATOR, Transition.TRANSITION_DEACTIVATE)
        bag = self._end_recording(watch.reason, recording)
        return EpisodeResult(
            seed=order.seed,
            suite=order.suite,
            goal=answer.goal,
            station_count=answer.station_count,
            instruction=answer.instruction,
            bag=bag,
            success=watch.reason == "docked",
            reason=watch.reason,
            ticks=watch.states,
            duration_s=watch.time_s,
            wall_s=time.monotonic() - started_s,
        )

    # ------------------------------------------------------------------ one episode

    def _begin_recording(self, order: EpisodeOrder, start: ResetSimulation.Response) -> Future:
        metadata = {
            bag_metadata.SEED: str(order.seed),
            bag_metadata.SUITE: order.suite,
            bag_metadata.GOAL: str(start.goal),
            bag_metadata.STATION_COUNT: str(start.station_count),
            bag_metadata.NOISE: str(self._settings.noise),
            bag_metadata.PARAPHRASES: json.dumps(list(start.paraphrases), ensure_ascii=False),
        }
        goal = RecordEpisode.Goal(
            name=order.name,
            instruction=start.instruction,
            operator_name=OPERATOR,
            metadata_keys=list(metadata),
            metadata_values=list(metadata.values()),
        )
        heard: list[Any] = []
        sent = self._record.send_goal_async(goal, feedback_callback=heard.append)
        self._wait(sent.done, ANSWER_TIMEOUT_S, "the recorder's answer")
        recording = sent.result().get_result_async()
        # The first feedback says that from here on everything is recorded.
        self._wait(lambda: heard or recording.done(), ANSWER_TIMEOUT_S, "the recorder's start")
        self._check_recording(recording)
        return recording

    def _drive(self, watch: EpisodeWatch, recording: Future) -> None:
        states, changed_s = 0, time.monotonic()
        while not watch.reason:
            self._executor.spin_once(timeout_sec=POLL_PERIOD_S)
            if watch.states != states:
                states, changed_s = watch.states, time.monotonic()
                continue
            self._processes.check()
            self._check_recording(recording)
            if time.monotonic() - changed_s > SILENCE_TIMEOUT_S:
                raise CollectionError(
                    f"the simulation stands still for {SILENCE_TIMEOUT_S:g} s at "
                    f"{watch.time_s:.2f} s of its time; the expert no longer answers"
                )

    def _end_recording(self, reason: str, recording: Future) -> str:
        request = StopEpisode.Request(
            outcome=StopEpisode.Request.SUCCESS
            if reason == "docked"
            else StopEpisode.Request.FAILURE,
            note=reason,
        )
        answer = self._call(self._stop, request, "end of the recording")
        self._wait(recording.done, ANSWER_TIMEOUT_S, "the recorder's result")
        result = recording.result().result
        if not answer.success or not result.success:
            raise CollectionError(f"the recorder failed: {result.message or answer.message}")
        return str(result.bag_path)

    @staticmethod
    def _check_recording(recording: Future) -> None:
        if recording.done():
            raise CollectionError(f"the recorder failed: {recording.result().result.message}")

    # ------------------------------------------------------------------ graph

    def _connect(self) -> None:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("collection", start_parameter_services=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._transitions = {
            name: self._node.create_client(ChangeState, f"{name}/change_state")
            for name in (SIMULATOR, EXPERT, RECORDER)
        }
        self._reset = self._node.create_client(ResetSimulation, f"{SIMULATOR}/reset")
        self._stop = self._node.create_client(StopEpisode, f"{RECORDER}/stop_episode")
        self._record = ActionClient(self._node, RecordEpisode, f"{RECORDER}/record_episode")
        self._node.create_subscription(
            SimulationState,
            "ground_truth/state",
            lambda state: self._on_state(state),
            QoSProfile(depth=100),
        )

    def _discover(self) -> None:
        for name, client in self._transitions.items():
            self._wait(client.service_is_ready, START_TIMEOUT_S, f"{name}'s start")
        self._wait(self._record.server_is_ready, START_TIMEOUT_S, "the recorder's action")
        # A server may not know the way back to a client yet that knows the server already.
        time.sleep(MATCHING_S)

    def _change_state(self, name: str, transition: int) -> None:
        request = ChangeState.Request()
        request.transition.id = transition
        if not self._call(self._transitions[name], request, f"{name}'s transition").success:
            raise CollectionError(f"{name}: {self._processes.last_words(name)}")

    def _call(self, client: Any, request: Any, what: str) -> Any:
        self._wait(client.service_is_ready, START_TIMEOUT_S, f"{what} (service)")
        future = client.call_async(request)
        self._wait(future.done, ANSWER_TIMEOUT_S, what)
        return future.result()

    def _wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            self._processes.check()
            if time.monotonic() > deadline_s:
                raise CollectionError(f"no answer within {timeout_s:g} s: {what}")
            self._executor.spin_once(timeout_sec=POLL_PERIOD_S)
