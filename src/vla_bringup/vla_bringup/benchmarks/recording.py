"""Recording at a camera's full size: what is lost, and what it costs beside the bag library alone.

The load is published by a process of its own, with the middleware profile that a camera of this
size needs, and a simulator renders beside it if asked to. The limit is the same messages handed to
the rosbags writer without any ROS.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import rclpy
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from vla_bringup.benchmarks.robot_load import RATES_HZ, STAMP, STAMP_START, messages
from vla_bringup.large_messages import camera_environment
from vla_bringup.node_process import die_with_parent
from vla_bringup.preflight import find_free_domain
from vla_bringup.recording_client import RecordingClient
from vla_bringup.resources import default_contract
from vla_bringup.waiting import wait_until_active
from vla_core.contract import Contract
from vla_core.errors import VlaError

DURATION_S: Final = 300.0
QUICK_S: Final = 20.0
_LIMIT_S: Final = 20.0
_START_TIMEOUT_S: Final = 120.0
_SETTLE_S: Final = 1.0


class BenchmarkError(VlaError):
    """The benchmark could not be carried out."""


def run(
    *, quick: bool, out: Path | None, duration: float | None, no_simulator: bool
) -> dict[str, Any]:
    """Record the load, count what is in the bag, and compare with the writer alone.

    Args:
        quick: for a look.
        out: folder for the bags; None for a temporary one.
        duration: of the load [s]; None for 300 s, or 20 s if quick.
        no_simulator: leave the simulator out.

    Returns:
        Plain values: what was published and lost by topic, when what was lost was published
        [s from the start], how late the load was at most, bytes per second, CPU time of the
        recorder and of the writer alone per second of load.
    """
    duration_s = duration or (QUICK_S if quick else DURATION_S)
    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vla-bench-")))
        os.environ["ROS_DOMAIN_ID"] = str(find_free_domain())
        figures = _record(folder, duration_s, with_simulator=not no_simulator)
        figures["writer_alone_cpu_per_s"] = _writer_alone(folder, min(duration_s, _LIMIT_S))
    figures["recorder_over_writer"] = (
        figures["recorder_cpu_per_s"] / figures["writer_alone_cpu_per_s"]
    )
    return figures


def _record(folder: Path, duration_s: float, *, with_simulator: bool) -> dict[str, Any]:
    contract = folder / "contract.yaml"
    contract.write_text(_contract().to_yaml())
    with ExitStack() as stack:
        log = stack.enter_context((folder / "graph.log").open("w"))
        arguments = ["sim:=none", "driver:=none", f"contract:={contract}"]
        graph = stack.enter_context(
            _program(log, "record", *arguments, f"record_directory:={folder / 'bags'}")
        )
        if with_simulator:
            stack.enter_context(_program(log, "sim", "namespace:=beside"))
        load = stack.enter_context(_load(log))
        rclpy.init()
        stack.callback(rclpy.try_shutdown)
        node = Node("recording_benchmark")
        stack.callback(node.destroy_node)
        wait_until_active(node, _START_TIMEOUT_S)
        if with_simulator:
            beside = Node("recording_benchmark_beside", namespace="beside")
            stack.callback(beside.destroy_node)
            wait_until_active(beside, _START_TIMEOUT_S)
        recording = RecordingClient(node)
        recording.start("benchmark", name="load")
        recorder = _recorder_process(graph)
        before_s, begun_s = _cpu_s(recorder), time.monotonic()
        published = _publish(load, duration_s)
        stamps_ns = published["stamps_ns"]
        time.sleep(_SETTLE_S)
        used_s, lasted_s = _cpu_s(recorder) - before_s, time.monotonic() - begun_s
        bag = recording.stop(success=True)
    recorded_ns = _recorded_stamps_ns(bag)
    lost_ns = {
        topic: sorted(set(sent_ns) - recorded_ns[f"/{topic}"])
        for topic, sent_ns in stamps_ns.items()
    }
    start_ns = min(sent_ns[0] for sent_ns in stamps_ns.values())
    size_bytes = sum(file.stat().st_size for file in bag.iterdir())
    shutil.rmtree(bag)
    return {
        "with_simulator": with_simulator,
        "duration_s": duration_s,
        "published": {topic: len(sent_ns) for topic, sent_ns in stamps_ns.items()},
        "published_in_all": sum(map(len, stamps_ns.values())),
        "lost": {topic: len(times_ns) for topic, times_ns in lost_ns.items()},
        "lost_in_all": sum(map(len, lost_ns.values())),
        "lost_at_s": sorted(
            round(1e-9 * (time_ns - start_ns), 3) for times in lost_ns.values() for time_ns in times
        ),
        "load_late_s": published["late_s"],
        "megabytes_per_s": size_bytes / 1e6 / duration_s,
        "recorder_cpu_per_s": used_s / lasted_s,
    }


def _contract() -> Contract:
    """The shipped contract with the rates of the load; labels are of no interest here."""
    values = Contract.load(default_contract()).to_dict()
    for stream in values["streams"]:
        stream["rate_hz"] = RATES_HZ[stream["topic"]]
    return Contract.from_dict(values)


@contextmanager
def _program(log: Any, graph: str, *arguments: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-m", "vla_bringup.cli", "up", graph, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _load(log: Any) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-m", "vla_bringup.benchmarks.robot_load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=camera_environment(),
        preexec_fn=die_with_parent,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _publish(load: subprocess.Popen, duration_s: float) -> dict[str, Any]:
    """Have the load published; what it tells of that."""
    if load.stdin is None or load.stdout is None or not load.stdout.readline():
        raise BenchmarkError("the process that publishes the load ended; see graph.log")
    load.stdin.write(f"{duration_s}\n")
    load.stdin.flush()
    return json.loads(load.stdout.readline())


def _recorder_process(graph: subprocess.Popen) -> psutil.Process:
    for process in psutil.Process(graph.pid).children(recursive=True):
        if any(part.endswith("recorder_node") for part in process.cmdline()[:2]):
            return process
    raise BenchmarkError("no process of the recorder; see graph.log")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _recorded_stamps_ns(bag: Path) -> defaultdict[str, set[int]]:
    """Stamps of what is in the bag, by topic."""
    stamps_ns: defaultdict[str, set[int]] = defaultdict(set)
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            seconds, nanoseconds = STAMP.unpack_from(data, STAMP_START)
            stamps_ns[connection.topic].add(seconds * 10**9 + nanoseconds)
    return stamps_ns


def _writer_alone(folder: Path, duration_s: float) -> float:
    """CPU time that the library takes for a second of the load."""
    store = get_typestore(Stores.ROS2_JAZZY)
    loads = {topic: serialize_message(message) for topic, message in messages().items()}
    bag = folder / "alone"
    begun_s = time.process_time()
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(f"/{topic}", _type_name(message), typestore=store)
            for topic, message in messages().items()
        }
        counts = dict.fromkeys(loads, 0)
        while True:
            topic = min(counts, key=lambda name: counts[name] / RATES_HZ[name])
            due_s = counts[topic] / RATES_HZ[topic]
            if due_s >= duration_s:
                break
            writer.write(connections[topic], round(due_s * 1e9), loads[topic])
            counts[topic] += 1
    used_s = time.process_time() - begun_s
    shutil.rmtree(bag)
    return used_s / duration_s


def _type_name(message: Any) -> str:
    kind = type(message)
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
