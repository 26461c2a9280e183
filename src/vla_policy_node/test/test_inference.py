"""The inference thread and its process, without ROS."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from policy_fixtures import HORIZON, bundle, constant_graph, contract
from policy_rig import is_gone, wait_until

from vla_core.errors import DecodeError
from vla_policy_node.errors import WorkerError
from vla_policy_node.inference.loop import InferenceLoop, InferenceSettings
from vla_policy_node.inference.worker import WorkerSpec, blank_frame


class Sink:
    """Takes chunks and logs."""

    def __init__(self):
        self.chunks = []
        self.lines = []
        self.wanted = True

    def wants_chunk(self, now_ns):
        return self.wanted

    def add_chunk(self, stamp_ns, actions):
        self.chunks.append((stamp_ns, actions))

    def info(self, message):
        self.lines.append(message)

    warning = error = info


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return bundle(tmp_path_factory.mktemp("constant"), constant_graph(0.2, 0.1))


@pytest.fixture
def loop_of(policy):
    loops = []

    def make(
        sink, assemble=lambda _: blank_frame(contract()), max_restarts=1, path=policy, **options
    ):
        settings = InferenceSettings(timeout_s=5.0, start_timeout_s=60.0, max_restarts=max_restarts)
        spec = WorkerSpec(path, "onnx", 1)
        loops.append(InferenceLoop(spec, settings, assemble=assemble, log=sink, **options))
        return loops[-1]

    yield make
    for loop in loops:
        loop.close()
        assert loop.state.worker_pid is None


def tick_until(loop, condition):
    def attempt():
        loop.notify_tick(7)
        return condition()

    wait_until(attempt)


def test_chunks_until_the_processes_are_used_up(loop_of):
    sink = Sink()
    loop = loop_of(sink, max_restarts=1)
    loop.start()
    loop.begin("dock", sink)
    tick_until(loop, lambda: sink.chunks)
    _, actions = sink.chunks[0]
    np.testing.assert_allclose(actions, np.tile(np.float32([0.2, 0.1]), (HORIZON, 1)))
    assert loop.state.latency_s > 0.0

    first = psutil.Process(loop.state.worker_pid)
    first.kill()
    tick_until(loop, lambda: loop.state.fault)
    assert "was killed by SIGKILL" in loop.state.fault
    assert "starting another, 0 left after it" in sink.lines[-1]
    wait_until(lambda: loop.state.ready)
    count = len(sink.chunks)
    loop.notify_tick(8)
    time.sleep(0.2)
    assert len(sink.chunks) == count, "a fault lasts until the next goal"
    loop.begin("dock again", sink)
    tick_until(loop, lambda: len(sink.chunks) > count)

    psutil.Process(loop.state.worker_pid).kill()
    tick_until(loop, lambda: "killed" in loop.state.fault)
    assert "not replaced" in sink.lines[-1]
    wait_until(lambda: not loop.state.ready)

    def gone():
        loop.begin("dock", sink)
        return "configure it anew" in loop.state.fault

    wait_until(gone)


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGSTOP, "stopped")]
)
def test_a_process_that_is_lost_between_two_inferences_is_a_fault_at_a_tick(loop_of, number, words):
    sink, faults = Sink(), []
    loop = loop_of(sink, on_fault=faults.append)
    loop.start()
    loop.begin("dock", sink)
    tick_until(loop, lambda: sink.chunks)
    sink.wanted = False
    worker = psutil.Process(loop.state.worker_pid)
    worker.send_signal(number)
    tick_until(loop, lambda: faults)
    assert words in faults[0]
    wait_until(lambda: is_gone(worker))


def test_no_chunks_when_none_are_wanted_or_after_the_end(loop_of):
    sink = Sink()
    sink.wanted = False
    loop = loop_of(sink)
    loop.start()
    loop.begin("dock", sink)
    for _ in range(5):
        loop.notify_tick(1)
        time.sleep(0.02)
    assert not sink.chunks
    sink.wanted = True
    loop.end()
    loop.notify_tick(2)
    time.sleep(0.1)
    assert not sink.chunks


def test_a_message_that_cannot_be_decoded_is_a_fault_by_name(loop_of):
    def assemble(_):
        raise DecodeError("stream 'image': cannot be decoded")

    sink = Sink()
    loop = loop_of(sink, assemble=assemble)
    loop.start()
    loop.begin("dock", sink)
    tick_until(loop, lambda: loop.state.fault == "stream 'image': cannot be decoded")


def test_a_bundle_that_is_not_there_fails_the_start(loop_of, tmp_path):
    loop = loop_of(Sink(), path=tmp_path / "nowhere")
    with pytest.raises(WorkerError, match="does not exist"):
        loop.start()


def test_closing_interrupts_a_start(loop_of):
    loop = loop_of(Sink())
    errors = []

    def start():
        try:
            loop.start()
        except WorkerError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    wait_until(lambda: psutil.Process().children())
    (worker,) = psutil.Process().children()
    loop.close()
    thread.join(5.0)
    assert len(errors) == 1
    wait_until(lambda: is_gone(worker))


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("vla_policy_node.policy_node", {"torch", "onnxruntime", "mujoco", "vla_simulation"}),
        ("vla_policy_node.inference.worker", {"torch", "rclpy", "numpy", "vla_training"}),
        ("vla_policy_node.inference.runtimes.onnx", {"torch", "rclpy", "websockets"}),
        (
            "vla_policy_node.inference.runtimes.remote",
            {"torch", "rclpy", "onnxruntime", "vla_training"},
        ),
        ("vla_policy_node.inference.runtimes.pytorch", {"torch", "rclpy", "vla_training"}),
        ("vla_policy_node.inference.policy_server", {"torch", "rclpy", "vla_training"}),
    ],
)
def test_what_is_not_imported(module, absent):
    code = f"import sys, {module}; print(*({absent!r} & set(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.split() == []
