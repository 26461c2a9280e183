"""A policy that doubts itself: the real node, and a camera that is covered while it drives."""

import numpy as np
import onnx
import pytest
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from onnx import TensorProto, helper
from policy_fixtures import approach_graph, contract
from policy_rig import NodeProcess, wait_until
from vla_msgs.action import Dock

from vla_core import keys
from vla_core.bundle import PolicyBundle, write_bundle
from vla_core.confidence import NOVELTY_FILE, FeatureGroup, NoveltyModel
from vla_core.language import Vocabulary
from vla_core.normalization import FieldStatistics, Statistics
from vla_policy_node.inference.confidence import ConfidenceJudge, ConfidenceParameters

FASTEST_MPS = 0.3
DARK, COVERED = 3.5, 200  # brightness of the robot's pictures, and of a cloth on its camera


def seeing_graph() -> onnx.ModelProto:
    """The approach, and the mean brightness of each colour as features (B, 3)."""
    model = approach_graph()
    graph = model.graph
    image = next(stream for stream in contract().streams if stream.key == keys.IMAGE)
    graph.input.append(
        helper.make_tensor_value_info(keys.IMAGE, TensorProto.UINT8, ["batch", *image.shape])
    )
    graph.output.append(
        helper.make_tensor_value_info(keys.FEATURES, TensorProto.FLOAT, ["batch", 3])
    )
    graph.node.extend(
        [
            helper.make_node("Cast", [keys.IMAGE], ["brightness"], to=TensorProto.FLOAT),
            helper.make_node(
                "ReduceMean", ["brightness"], [keys.FEATURES], axes=[1, 2], keepdims=0
            ),
        ]
    )
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A bundle whose training frames were dark."""
    folder = tmp_path_factory.mktemp("calibrated")
    onnx.save(seeing_graph(), folder / "graph.onnx")
    colours = FeatureGroup(
        "image",
        np.arange(3),
        np.full(3, DARK, np.float32),
        np.full(3, 3.0, np.float32),
        np.eye(3, dtype=np.float32),
    )
    (folder / "novelty").write_bytes(NoveltyModel((colours,)).to_bytes())
    rows = np.array([[0.0, -1.0], [0.5, 1.0]], np.float32)
    return write_bundle(
        folder / "bundle",
        folder / "graph.onnx",
        contract(),
        Statistics({keys.ACTION: FieldStatistics.from_array(rows)}),
        Vocabulary.from_sentences(["dock at the orange charger"]),
        {
            "confidence": {
                "limits": {"image": 5.0, "chunks": 10.0},
                "window_s": 0.5,
                "release": 0.9,
            }
        },
        {NOVELTY_FILE: folder / "novelty"},
    ).path


@pytest.fixture(scope="module")
def node(domain, files, client, calibrated, tmp_path_factory):
    log = tmp_path_factory.mktemp("confidence") / "node.log"
    node = NodeProcess(log, domain, contract=files["contract"], policy=calibrated)
    try:
        client.activate()
    except BaseException:
        node.end()
        raise
    yield node
    assert node.end() == 0
    assert "Traceback" not in node.log


class Cloth:
    """Covers the robot's camera: its pictures still come, with fresh stamps, all of one grey."""

    def __init__(self, robot, monkeypatch):
        self.on = False
        noise = robot._noise

        def seen():
            # The last bit goes on changing: a camera that hangs is another fault.
            return bytes([COVERED + noise()[0] % 2]) * 3600 if self.on else noise()

        monkeypatch.setattr(robot, "_noise", seen)


@pytest.fixture
def cloth(robot, monkeypatch):
    return Cloth(robot, monkeypatch)


def cover_when_fast(robot, cloth):
    """Throw the cloth as soon as the robot is at speed; returns when it is."""
    wait_until(lambda: any(command.v_mps > 0.9 * FASTEST_MPS for command in robot.commands))
    cloth.on = True


def doubts(node):
    return node.lines("the policy doubts: image is unlike the training")


@pytest.fixture
def choose(client):
    """Sets the action for one test."""

    def begin(action, **others):
        assert client.set(confidence_action=action, **others) == []

    yield begin
    assert client.set(confidence_action="none", max_retries=0) == []


def test_a_covered_camera_ends_the_goal_with_a_code_of_its_own(node, robot, client, cloth, choose):
    choose("stop")
    robot.reset(gap_m=4.0)
    handle = client.send()
    cover_when_fast(robot, cloth)
    status, result = client.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert not result.success
    assert result.error_code == 957
    assert "the policy doubts: image is unlike the training" in result.error_msg
    assert robot.gap_m > 0.5, "it did not drive on to the station"
    wait_until(lambda: robot.commands[-1].v_mps == 0.0)
    assert doubts(node)


def test_a_covered_camera_slows_the_robot(node, robot, client, cloth, choose):
    choose("slow")
    before = len(doubts(node))
    robot.reset(gap_m=4.0)
    handle = client.send()
    cover_when_fast(robot, cloth)
    # Slowed, not stopped: half of what the policy wants.
    half = pytest.approx(0.5 * FASTEST_MPS, abs=0.02)
    wait_until(lambda: len(doubts(node)) > before and robot.commands[-1].v_mps == half)
    cloth.on = False
    wait_until(lambda: robot.commands[-1].v_mps == pytest.approx(FASTEST_MPS, abs=0.02))
    handle.cancel_goal_async()
    assert client.result(handle)[0] == GoalStatus.STATUS_CANCELED


def test_a_camera_that_is_uncovered_is_tried_again(node, robot, client, cloth, choose):
    choose("retry", max_retries=1, retry_backoff_m=0.1)
    robot.reset(gap_m=1.2)
    handle = client.send()
    cover_when_fast(robot, cloth)
    wait_until(lambda: robot.commands[-1].v_mps < 0.0)
    cloth.on = False
    status, result = client.result(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.num_retries == 1


def test_with_no_action_the_score_is_said_and_nothing_else_happens(
    node, robot, client, cloth, choose
):
    choose("none")
    warnings = []

    def keep(array):
        for status in array.status:
            if status.name == "vla_policy: confidence" and status.level == DiagnosticStatus.WARN:
                warnings.append({pair.key: pair.value for pair in status.values})

    subscription = robot.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    try:
        robot.reset(gap_m=1.5)
        handle = client.send()
        wait_until(lambda: any(status.confidence_score < 1.0 for status in robot.statuses))
        assert all(status.doubt == "" for status in robot.statuses)
        cover_when_fast(robot, cloth)
        wait_until(lambda: warnings)
        status, result = client.result(handle)
    finally:
        robot.node.destroy_subscription(subscription)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.error_code == Dock.Result.NONE
    assert float(warnings[-1]["score, 1 at the limit"]) > 1.0
    assert warnings[-1]["measure that gives it"] == "image"
    last = robot.statuses[-1]
    assert last.confidence_score > 1.0
    assert last.doubt.startswith("image is unlike the training")


class Lines(list):
    """A log that keeps what it is told."""

    def info(self, line):
        self.append(line)

    warning = error = info


def test_a_bundle_without_calibration_drives_as_it_is_and_says_so_once(files):
    lines = Lines()
    judge = ConfidenceJudge(lines)
    judge.use(PolicyBundle.load(files["approach"]))
    assert len(lines) == 1
    assert "gives no confidence score" in lines[0]
    judge.begin(ConfidenceParameters(confidence_action="slow"))
    chunk = np.full((10, 2), 0.2, np.float32)
    for tick in range(20):
        out = judge.judge(tick * 100_000_000, chunk, None)
        np.testing.assert_array_equal(out, chunk)
    assert np.isnan(judge.state.score)
    assert len(lines) == 1
