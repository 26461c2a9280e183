"""How well the policy node keeps its control rate, against an empty rclpy timer beside it.

The real policy node drives with the given policy, while a robot publishes a camera of 640x480 at
30 Hz, a scan and odometry, and the recorder writes all of it to disk. An empty rclpy timer node of
the same rate runs in the same minutes. Both publish to a subscriber in another process, which takes
the time at which the middleware received each message: the subscriber's own interpreter has no part
in the figures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import rclpy
import yaml
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from vla_msgs.action import Dock, RecordEpisode

from vla_bringup.benchmarks.loop_probe import LoopError, Probe
from vla_bringup.collection_nodes import NodeProcesses
from vla_bringup.goal_client import GoalClient
from vla_bringup.graph import POLICY, RECORDER, NodeSpec, dock_graph
from vla_bringup.graph_arguments import GraphOptions
from vla_bringup.large_messages import camera_environment
from vla_bringup.node_process import die_with_parent
from vla_bringup.preflight import find_free_domain
from vla_bringup.waiting import wait_until_active
from vla_core.bundle import PolicyBundle
from vla_core.contract import Contract

_QUICK_S: Final = 20.0
_WARM_UP_S: Final = 2.0
_ACTIVE_TIMEOUT_S: Final = 60.0
# A second of the camera is 28 MB: what is recorded is thrown away before it fills the disk.
_EPISODE_S: Final = 20.0


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    policy: Path,
    contract: Path,
    minutes: float = 10.0,
    no_recorder: bool = False,
    set: list[str] | None = None,
) -> dict[str, Any]:
    """`vla bench loop`.

    Args:
        quick: 20 s in place of `minutes`.
        out: folder for bags and logs; None for a temporary one.
        policy: bundle that drives.
        contract: of the robot.
        minutes: how long to measure.
        no_recorder: leave the recorder out.
        set: parameters of the policy node, "name=value".

    Returns:
        `period_ms`; errors of the commands and of the empty timer against their schedules [ms];
        `p99_9_over_timer_ms`, their difference; how often the chunk buffer was empty; the median
        inference latency; what else ran.

    Raises:
        LoopError: the goal ended before its time.
    """
    duration_s = _QUICK_S if quick else 60.0 * minutes
    os.environ["ROS_DOMAIN_ID"] = str(find_free_domain())
    with tempfile.TemporaryDirectory(dir=out) as name:
        return _measure(
            Path(name), policy, contract, duration_s, not no_recorder, _assignments(set or [])
        )


def _assignments(texts: list[str]) -> dict[str, Any]:
    parts = [text.partition("=") for text in texts]
    return {name: yaml.safe_load(value) for name, _, value in parts}


def _measure(
    folder: Path,
    policy: Path,
    contract_path: Path,
    duration_s: float,
    record: bool,
    settings: dict[str, Any],
) -> dict[str, Any]:
    contract = Contract.load(contract_path)
    sentence = _sentence(PolicyBundle.load(policy))
    graph = dock_graph(
        GraphOptions(
            sim="none",
            policy=policy,
            contract=contract_path,
            record=record,
            record_directory=folder / "bags",
        )
    )
    specs = tuple(_with(spec, settings) if spec.name == POLICY else spec for spec in graph.nodes)
    others = [
        subprocess.Popen(
            [sys.executable, "-m", "vla_bringup.benchmarks.loop_nodes", name, str(contract_path)],
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
            env=environment,
        )
        for name, environment in (("robot", camera_environment()), ("timer", None))
    ]
    rclpy.init(args=[])
    try:
        with NodeProcesses(specs, folder / "logs") as processes:
            probe = Probe(contract)
            wait_until_active(probe, _ACTIVE_TIMEOUT_S, processes.check)
            probe.wait_for_timer(_ACTIVE_TIMEOUT_S)
            recorder = Recorder(record, folder / "bags")
            try:
                result = _drive(probe, sentence, duration_s + _WARM_UP_S)
            finally:
                recorder.stop()
            processes.check()
        if result.error_code != Dock.Result.TIMEOUT:
            raise LoopError(
                f"the goal of the benchmark ended after {result.docking_time_s:.1f} s, expected a "
                f"time-out after {duration_s + _WARM_UP_S:g} s: {result.termination_reason}"
            )
        return probe.figures(round(_WARM_UP_S * 1e9)) | {"recorded_episodes": recorder.episodes}
    finally:
        rclpy.try_shutdown()
        for process in others:
            process.terminate()
        for process in others:
            process.wait()


def _with(spec: NodeSpec, settings: dict[str, Any]) -> NodeSpec:
    return replace(spec, parameters={**spec.parameters, **settings})


def _sentence(bundle: PolicyBundle) -> str:
    words = bundle.vocabulary.words
    return "dock at the " + next((word for word in ("station", "charger") if word in words), "dock")


def _drive(probe: Probe, sentence: str, duration_s: float) -> Dock.Result:
    client = GoalClient(probe, Dock, "dock")
    goal = Dock.Goal(instruction=sentence, timeout_s=duration_s)
    goal.use_dock_id = False
    goal.navigate_to_staging_pose = False
    return client.run(goal, server_timeout_s=20.0)


class Recorder:
    """Records one episode after the other in a thread of its own, and throws them away.

    Args:
        wanted: whether to record at all.
        folder: where the recorder puts its bags.
    """

    def __init__(self, wanted: bool, folder: Path) -> None:
        self.episodes = 0
        self._folder = folder
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recording")
        if wanted:
            self._thread.start()

    def stop(self) -> None:
        """End the present episode."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        node = rclpy.create_node("bench_recording")
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        client = ActionClient(node, RecordEpisode, f"{RECORDER}/record_episode")
        while not client.server_is_ready() and not self._end.wait(0.1):
            executor.spin_once(0.0)
        while not self._end.is_set():
            goal = RecordEpisode.Goal(name=f"load_{self.episodes}", instruction="load")
            sent = client.send_goal_async(goal)
            executor.spin_until_future_complete(sent, 10.0)
            if not sent.done() or not sent.result().accepted:
                break
            self.episodes += 1
            result = sent.result().get_result_async()
            self._end.wait(_EPISODE_S)
            executor.spin_until_future_complete(sent.result().cancel_goal_async(), 10.0)
            executor.spin_until_future_complete(result, 30.0)
            _remove(self._folder / goal.name)
        executor.shutdown()
        node.destroy_node()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
