"""Runtimes in their processes: PyTorch beside ONNX Runtime, and several processes in turns."""

import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from action_msgs.msg import GoalStatus
from onnx import numpy_helper
from policy_fixtures import approach_graph, bundle, constant_graph, contract
from policy_rig import wait_until

from vla_core import keys
from vla_core.errors import BundleError
from vla_core.language import Vocabulary
from vla_core.normalization import FieldStatistics, Statistics
from vla_policy_node.errors import ParameterError, WorkerError
from vla_policy_node.inference.loop import InferenceLoop, InferenceSettings
from vla_policy_node.inference.runtimes import load_runtime
from vla_policy_node.inference.worker import WorkerSpec, blank_frame
from vla_policy_node.inference.worker_process import WorkerProcess

CONTRACT = contract()
SETTINGS = InferenceSettings(timeout_s=5.0, start_timeout_s=60.0, max_restarts=1)
SMALL = (
    "model.vision.cnn.channels=[8, 8, 8, 16]",
    "model.vision.keypoints=4",
    "model.vision.learned_tokens=2",
    "model.scan.sectors=3",
    "model.width=16",
    "model.fusion.heads=2",
    "model.fusion.layers=1",
    "model.fusion.feedforward=16",
    "model.condition=8",
)


class Target:
    """Wants every chunk and keeps it, with the time at which it came."""

    def __init__(self):
        self.chunks = []
        self.lines = []

    def wants_chunk(self, now_ns):
        return True

    def add_chunk(self, stamp_ns, actions):
        self.chunks.append((stamp_ns, actions))

    def info(self, message):
        self.lines.append(message)

    warning = error = info


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The folder of a training that has just begun."""
    import torch

    from vla_training.checkpoints import Checkpoint, save_checkpoint
    from vla_training.models import build_model
    from vla_training.training_config import load_training_config

    config = load_training_config("d.h5", "run", overrides=SMALL)
    random = np.random.default_rng(0)
    fields = {
        stream.key: FieldStatistics.from_array(random.uniform(0, 2, (99, stream.shape[-1])))
        for stream in CONTRACT.streams
    }
    fields[keys.ACTION] = FieldStatistics.from_array(random.normal(0.1, 0.3, (99, 2)))
    words = Vocabulary.from_sentences(["dock at the orange charger"])
    torch.manual_seed(0)
    model = build_model(config.model, CONTRACT, Statistics(fields), words)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("training")
    weights = dict(model.state_dict())
    state = Checkpoint(config, CONTRACT, Statistics(fields), words, {}, 0, 0.0, weights)
    save_checkpoint(state, folder / "checkpoint.pt")
    return folder


def test_a_checkpoint_runs_in_pytorch_as_in_evaluation(checkpoint):
    from vla_training.evaluation.checkpoint_policy import load_checkpoint_policy

    target = Target()
    frame = blank_frame(CONTRACT)
    loop = InferenceLoop(
        WorkerSpec(checkpoint, "torch", 1), SETTINGS, assemble=lambda _: frame, log=target
    )
    try:
        loaded = loop.start()
        assert loaded.contract.hash == CONTRACT.hash
        assert "orange" in loaded.vocabulary.words
        assert any("PyTorch" in line and "on cpu" in line for line in target.lines)
        loop.begin("dock at the orange charger", target)
        _tick_until(loop, lambda: target.chunks)
    finally:
        loop.close()
    policy, _ = load_checkpoint_policy(checkpoint)
    expected = policy(frame, "dock at the orange charger")
    np.testing.assert_array_equal(target.chunks[0][1], expected)
    assert np.ptp(expected) > 0.0


def test_what_pytorch_cannot_use_is_refused(checkpoint, tmp_path):
    with pytest.raises(ParameterError, match="device is 'abacus'"):
        load_runtime(WorkerSpec(checkpoint, "torch", 1, device="abacus"))
    loop = InferenceLoop(
        WorkerSpec(tmp_path, "torch", 1), SETTINGS, assemble=blank_frame, log=Target()
    )
    with pytest.raises(WorkerError, match="make one with `vla train`"):
        loop.start()
    with pytest.raises(ParameterError, match="expected one of onnx, torch, remote"):
        load_runtime(WorkerSpec(tmp_path, "abacus", 1))


def test_a_graph_that_cannot_be_computed_is_refused(tmp_path):
    """As ONNX Runtime has it, it is loaded without complaint."""
    model = approach_graph()
    for constant in model.graph.initializer:
        if constant.name == "ahead":
            constant.CopyFrom(numpy_helper.from_array(np.array([999], np.int64), "ahead"))
    runtime = load_runtime(WorkerSpec(bundle(tmp_path, model), "onnx", 1))
    with pytest.raises(BundleError, match="ONNX Runtime cannot compute the graph") as caught:
        runtime.infer(blank_frame(CONTRACT), "dock")
    assert "\n" not in str(caught.value)


def test_without_pytorch_the_remedy_is_said(tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from vla_policy_node.inference.runtimes.pytorch import TorchRuntime\n"
        f"try: TorchRuntime({str(tmp_path)!r})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("ParameterError runtime 'torch' needs the Python module torch")


def _tick_until(loop, condition):
    def attempt():
        loop.notify_tick(time.monotonic_ns())
        return condition()

    wait_until(attempt)


@pytest.fixture(scope="module")
def slow_policy(tmp_path_factory):
    return bundle(tmp_path_factory.mktemp("constant"), constant_graph(0.2, 0.1))


@pytest.fixture
def loop_with(slow_policy):
    loops = []

    def make(target, **changes):
        settings = InferenceSettings(5.0, 60.0, 2, **changes)
        loops.append(
            InferenceLoop(
                WorkerSpec(slow_policy, "onnx", 1),
                settings,
                assemble=lambda tick_ns: _frame_at(tick_ns),
                log=target,
            )
        )
        return loops[-1]

    yield make
    for loop in loops:
        loop.close()
        assert not loop.state.ready


def _frame_at(tick_ns):
    from dataclasses import replace

    return replace(blank_frame(CONTRACT), tick_ns=tick_ns)


@pytest.fixture
def slow_by_stopping(monkeypatch):
    """Lets a stopped process stand for a slow one: that it was stopped goes unnoticed."""
    monkeypatch.setattr(WorkerProcess, "check", lambda _: None)


def test_processes_take_turns_while_one_is_slow(loop_with, slow_by_stopping):
    target = Target()
    loop = loop_with(target, workers=2)
    loop.start()
    children = psutil.Process().children()
    assert len(children) == 2
    loop.begin("dock", target)
    _tick_until(loop, lambda: target.chunks)
    slow = next(child for child in children if child.pid == loop.state.worker_pid)
    slow.suspend()
    try:
        # One of the next frames goes to the process that hangs; all others are served meanwhile.
        count = len(target.chunks)
        _tick_until(loop, lambda: len(target.chunks) >= count + 5)
        assert not loop.state.fault
    finally:
        slow.resume()
    stamps = [stamp_ns for stamp_ns, _ in target.chunks]
    assert len(set(stamps)) == len(stamps), "no tick is inferred twice"


def test_frames_under_way_keep_their_distance(loop_with, slow_by_stopping):
    target = Target()
    loop = loop_with(target, workers=2, spacing_s=3600.0)
    loop.start()
    loop.begin("dock", target)
    _tick_until(loop, lambda: target.chunks)
    for child in psutil.Process().children():
        child.suspend()
    try:
        count = len(target.chunks)
        for _ in range(10):
            loop.notify_tick(time.monotonic_ns())
            time.sleep(0.01)
        assert loop._under_way == 1
    finally:
        for child in psutil.Process().children():
            child.resume()
    wait_until(lambda: len(target.chunks) > count)


def test_losing_one_of_several_processes_is_a_fault(loop_with):
    target = Target()
    loop = loop_with(target, workers=2)
    loop.start()
    loop.begin("dock", target)
    _tick_until(loop, lambda: target.chunks)
    psutil.Process(loop.state.worker_pid).kill()
    _tick_until(loop, lambda: "was killed by SIGKILL" in loop.state.fault)
    count = len(target.chunks)
    loop.notify_tick(time.monotonic_ns())
    time.sleep(0.2)
    assert len(target.chunks) == count, "the other process gives no more chunks, either"
    wait_until(lambda: loop.state.ready)
    loop.begin("dock", target)
    _tick_until(loop, lambda: len(target.chunks) > count)


def test_a_node_docks_with_blended_chunks_of_two_processes(start, robot, client):
    start(execution_mode="real_time_chunking", inference_workers=2)
    client.activate()
    robot.reset(gap_m=0.4)
    status, result = client.dock()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.error_msg
    speeds = [command.v_mps for command in robot.commands]
    assert max(speeds) > 0.2
    steps = np.abs(np.diff(speeds))
    assert steps.max() < 0.1, "twice what the contract's acceleration allows in a period"
