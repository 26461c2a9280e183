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
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import rclpy
import yaml
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from vla_msgs.action import Dock, RecordEpisode
from vla_msgs.msg import PolicyStatus

from vla_bringup.benchmarks.loop_nodes import EMPTY_TIMER_TOPIC
from vla_bringup.collection_nodes import NodeProcesses
from vla_bringup.goal_client import GoalClient
from vla_bringup.graph import POLICY, RECORDER, NodeSpec, dock_graph
from vla_bringup.graph_arguments import GraphOptions
from vla_bringup.node_process import die_with_parent
from vla_bringup.preflight import find_free_domain
from vla_bringup.waiting import wait_until_active
from vla_core.bundle import PolicyBundle
from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_policy_node.control.command_messages import message_class
from vla_policy_node.control.timing import ScheduleErrors, schedule_errors

_QUICK_S: Final = 20.0
_WARM_UP_S: Final = 2.0
_ACTIVE_TIMEOUT_S: Final = 60.0
# A second of the camera is 28 MB: what is recorded is thrown away before it fills the disk.
_EPISODE_S: Final = 20.0


class LoopError(VlaError):
    """The benchmark could not be carried out."""


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
        )
        for name in ("robot", "timer")
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


class Probe(Node):
    """The independent subscriber."""

    def __init__(self, contract: Contract) -> None:
        super().__init__("bench_probe")
        self._period_ns = contract.action.period_ns
        self.times_ns: dict[str, list[int]] = {"commands": [], "timer": []}
        self._starved = 0
        self._latencies_s: list[float] = []
        kind = message_class(contract.action.type)
        for name, topic in (("commands", contract.action.topic), ("timer", EMPTY_TIMER_TOPIC)):
            self.create_subscription(
                kind if name == "commands" else message_class("geometry_msgs/msg/TwistStamped"),
                topic,
                self._note(self.times_ns[name]),
                100,
            )
        self.create_subscription(PolicyStatus, f"{POLICY}/status", self._on_status, 100)

    @staticmethod
    def _note(times_ns: list[int]) -> Any:
        def note(_message: Any, info: Any) -> None:
            times_ns.append(info["received_timestamp"])

        return note

    def _on_status(self, status: PolicyStatus) -> None:
        if len(status.command):
            self._starved += "starved" in status.interventions
            self._latencies_s.append(status.inference_latency_s)

    def wait_for_timer(self, timeout_s: float) -> None:
        """Spin until the empty timer runs: what it is compared with has to run as long.

        Raises:
            LoopError: it does not in this time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.times_ns["timer"]:
            if time.monotonic() > deadline_s:
                raise LoopError(f"the empty timer did not start within {timeout_s:g} s")
            rclpy.spin_once(self, timeout_sec=0.1)

    def figures(self, warm_up_ns: int) -> dict[str, Any]:
        """Errors of both against their schedules, while both ran."""
        commands, timer = self.times_ns["commands"], self.times_ns["timer"]
        if not commands or not timer:
            raise LoopError(f"received {len(commands)} commands and {len(timer)} of the timer")
        start_ns = max(commands[0], timer[0]) + warm_up_ns
        end_ns = min(commands[-1], timer[-1])
        errors = {
            name: schedule_errors(
                [time_ns for time_ns in times if start_ns <= time_ns <= end_ns], self._period_ns
            )
            for name, times in self.times_ns.items()
        }
        latencies = sorted(self._latencies_s)
        return {
            "duration_s": round(1e-9 * (end_ns - start_ns), 1),
            "period_ms": 1e-6 * self._period_ns,
            "commands": _figures(errors["commands"]),
            "empty_timer": _figures(errors["timer"]),
            "p99_9_over_timer_ms": round(errors["commands"].p99_9_ms - errors["timer"].p99_9_ms, 3),
            "starved_ticks": self._starved,
            "inference_latency_ms": round(1e3 * latencies[len(latencies) // 2], 2),
        }


def _figures(errors: ScheduleErrors) -> dict[str, Any]:
    return {
        "count": errors.count,
        "missed": errors.missed,
        "p50_ms": round(errors.p50_ms, 3),
        "p99_ms": round(errors.p99_ms, 3),
        "p99_9_ms": round(errors.p99_9_ms, 3),
        "max_ms": round(errors.max_ms, 3),
    }


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
