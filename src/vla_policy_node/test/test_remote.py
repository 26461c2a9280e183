"""The remote runtime against real sockets: policy servers that serve, lie, lag and vanish."""

import signal
import time

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from policy_fixtures import HORIZON, bundle, constant_graph, contract
from policy_rig import wait_until
from policy_servers import ServerProcess, answer_of, in_thread, lying
from vla_msgs.action import Dock

from vla_core import keys
from vla_core.errors import PolicyError
from vla_policy_node.errors import ParameterError
from vla_policy_node.inference.remote_protocol import (
    CONTRACT_HASH,
    PROMPT,
    describe_policy,
    frame_of,
    pack,
    question_of,
    unpack,
)
from vla_policy_node.inference.runtimes import load_runtime
from vla_policy_node.inference.runtimes.remote import LinkLostError, RemoteRuntime
from vla_policy_node.inference.worker import WorkerSpec, blank_frame

CONTRACT = contract()
OTHER = contract(streams=contract().to_dict()["streams"][:2])
FRAME = blank_frame(CONTRACT)
GOOD = np.tile(np.float32([0.2, 0.1]), (HORIZON, 1))


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return bundle(tmp_path_factory.mktemp("constant"), constant_graph(0.2, 0.1))


@pytest.fixture
def remote(policy):
    """Makes remote runtimes and closes them."""
    runtimes = []

    def make(uri, timeout_s=2.0):
        runtimes.append(RemoteRuntime(policy, uri, timeout_s))
        return runtimes[-1]

    yield make
    for runtime in runtimes:
        runtime.close()


def test_questions_survive_the_wire():
    frame = blank_frame(CONTRACT)
    frame.arrays[keys.SCAN][:] = np.linspace(0.1, 3.0, len(frame.arrays[keys.SCAN]))
    frame.valid[1] = False
    data = unpack(pack(question_of(frame, "dock at the orange charger")), "robot")
    back, sentence = frame_of(data, CONTRACT, "robot")
    assert sentence == "dock at the orange charger"
    assert back.valid.tolist() == frame.valid.tolist()
    for key, array in frame.arrays.items():
        assert back.arrays[key].dtype == array.dtype
        np.testing.assert_array_equal(back.arrays[key], array)


def test_what_comes_back_is_what_the_bundle_says(policy, remote):
    with in_thread(policy) as server:
        runtime = remote(server.uri)
        assert "ONNX Runtime" in runtime.name
        local = load_runtime(WorkerSpec(policy, "onnx", 1))
        for _ in range(2):
            chunk = runtime.infer(FRAME, "dock")
            assert chunk.dtype == np.float32
            np.testing.assert_array_equal(chunk, local.infer(FRAME, "dock"))


@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")
def test_the_client_of_openpi_is_served(policy):
    with in_thread(policy) as server:
        host, _, port = server.uri.removeprefix("ws://").rpartition(":")
        client = WebsocketClientPolicy(host, int(port))
        assert client.get_server_metadata()[CONTRACT_HASH] == CONTRACT.hash
        answer = client.infer({**FRAME.arrays, PROMPT: "dock"})
        np.testing.assert_array_equal(answer["actions"], GOOD)
        assert answer["server_timing"]["infer_ms"] > 0.0
        with pytest.raises(RuntimeError, match="question: no array"):
            client.infer({PROMPT: "dock"})


def described(**changes):
    """An array as the protocol packs it, with something else about it."""
    values = {"__ndarray__": True, "data": bytes(16), "dtype": "<f4", "shape": [4], **changes}
    return {name.encode(): value for name, value in values.items()}


@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({PROMPT: 3}, "prompt is int, expected a sentence"),
        ({keys.VALID: np.ones(7, bool)}, "has no value for each of image, scan, odometry"),
        ({keys.SCAN: np.zeros(3, np.float32)}, r"policy input 'scan': got \(3,\) float32"),
        ({keys.SCAN: "far"}, "no array scan"),
        ({keys.VALID: np.array(["a", "b", "c"])}, "is no array of truth values"),
        ({keys.SCAN: described(data=None)}, "an array without its bytes"),
        ({keys.SCAN: described(dtype=[])}, r"an array of dtype \[\]"),
        ({keys.SCAN: described(dtype="V8")}, "an array of dtype 'V8'"),
        ({keys.SCAN: described(shape=[1 << 40])}, "that are no message"),
    ],
)
def test_the_server_refuses_by_name_and_serves_the_next(policy, remote, change, complaint):
    with in_thread(policy) as server:
        client = WebsocketClientPolicy(server.uri)
        with pytest.raises(RuntimeError, match=complaint):
            client.infer({**question_of(FRAME, "dock"), **change})
        np.testing.assert_array_equal(remote(server.uri).infer(FRAME, "dock"), GOOD)


def with_nan():
    chunk = GOOD.copy()
    chunk[3, 1] = np.nan
    return chunk


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (answer_of(with_nan()), "holds NaN or infinity"),
        (answer_of(GOOD[:4]), r"got shape \(1, 4, 2\), expected \(1, 10, 2\)"),
        (answer_of(GOOD[None]), r"got shape \(1, 1, 10, 2\)"),
        (answer_of(GOOD.astype(str)), "actions is <U32, expected an array of numbers"),
        (pack({"actions": [1.0, 2.0]}), "actions is list"),
        (pack({"action": GOOD}), "actions is NoneType"),
        (b"\xc1 no message", "bytes that are no message"),
        (b"\x03", "a message of type int"),
        (
            "Traceback:\n  x\nValueError: out of memory",
            "policy server .*: ValueError: out of memory",
        ),
    ],
    ids=["nan", "short", "deep", "text", "list", "other_name", "garbage", "number", "error"],
)
def test_a_server_that_lies_is_a_fault_by_name(remote, answer, complaint):
    with lying(CONTRACT, answer=answer) as uri:
        runtime = remote(uri)
        for _ in range(2):
            with pytest.raises(PolicyError, match=complaint):
                runtime.infer(FRAME, "dock")


@pytest.mark.parametrize(
    ("greeting", "complaint"),
    [
        (pack(describe_policy(OTHER, "liar")), "contract 'test_robot'"),
        (pack({}), "no contract that it names"),
        (pack({CONTRACT_HASH: 7}), "no contract that it names"),
        (pack({CONTRACT_HASH: np.arange(3)}), "no contract that it names"),
        (b"\xc1", "no message"),
    ],
    ids=["other_contract", "silent", "number", "array", "garbage"],
)
def test_a_server_of_another_policy_is_refused(remote, greeting, complaint):
    with lying(CONTRACT, greeting=greeting) as uri, pytest.raises(PolicyError, match=complaint):
        remote(uri)


def test_a_late_answer_is_never_taken_for_the_next_one(remote):
    with lying(CONTRACT, answer=answer_of(GOOD), delay_s=1.8) as uri:
        runtime = remote(uri, timeout_s=1.2)
        started_s = time.monotonic()
        with pytest.raises(PolicyError, match=r"no answer within 0\.90 s"):
            runtime.infer(FRAME, "dock")
        assert time.monotonic() - started_s < 10.0
        time.sleep(1.2)
        with pytest.raises(PolicyError, match="no answer"):
            runtime.infer(FRAME, "dock")


def test_a_link_that_breaks_in_use_is_a_fault_and_one_that_broke_before_is_opened_again(
    policy, remote
):
    server = ServerProcess(policy)
    runtime = remote(server.uri)
    runtime.infer(FRAME, "dock")
    server.kill()
    with pytest.raises(LinkLostError, match="the link was lost"):
        runtime.infer(FRAME, "dock")
    with pytest.raises(PolicyError, match=r"cannot be reached .* start it with `vla serve`"):
        runtime.infer(FRAME, "dock")
    again = ServerProcess(policy, server.port)
    try:
        runtime.infer(FRAME, "dock")
    finally:
        again.kill()
    runtime._used_s -= 10.0  # as if nobody had asked for a while
    third = ServerProcess(policy, server.port)
    try:
        np.testing.assert_array_equal(runtime.infer(FRAME, "dock"), GOOD)
    finally:
        third.kill()


def test_a_link_that_breaks_between_two_questions_is_noticed_unasked(policy, remote):
    server = ServerProcess(policy)
    runtime = remote(server.uri)
    assert runtime.problem() == ""
    runtime.infer(FRAME, "dock")
    assert runtime.problem() == ""
    server.kill()
    wait_until(lambda: "the link was lost" in runtime.problem())
    assert runtime.problem() == "", "said once: the next question opens it again"
    again = ServerProcess(policy, server.port)
    try:
        np.testing.assert_array_equal(runtime.infer(FRAME, "dock"), GOOD)
    finally:
        again.kill()


def test_hanging_up_is_a_fault(remote):
    with lying(CONTRACT, hang_up=True) as uri:
        runtime = remote(uri)
        runtime._used_s = time.monotonic()
        with pytest.raises(LinkLostError):
            runtime.infer(FRAME, "dock")


@pytest.mark.parametrize("uri", ["", "http://host:1", "ws://", "robot:8000", "ws://host:99999"])
def test_addresses_that_are_none_are_refused(policy, uri):
    with pytest.raises(ParameterError, match="expected the address of a policy server"):
        RemoteRuntime(policy, uri, 1.0)


def test_a_port_that_is_taken(policy):
    from vla_policy_node.errors import ServerError
    from vla_policy_node.inference.policy_server import PolicyServer

    with in_thread(policy) as server:
        port = int(server.uri.rpartition(":")[2])
        runtime = load_runtime(WorkerSpec(policy, "onnx", 1))
        with pytest.raises(ServerError, match=f"cannot listen on 127.0.0.1:{port}"):
            PolicyServer(runtime, "127.0.0.1", port, print)


def test_a_node_whose_server_vanishes_or_hangs_stops_and_docks_when_it_is_back(
    start, robot, client, files
):
    server = ServerProcess(files["approach"])
    try:
        start(runtime="remote", remote_uri=server.uri, inference_timeout_s=0.8)
        client.activate()
        for fault, complaint in ((signal.SIGKILL, "policy server"), (signal.SIGSTOP, "no answer")):
            robot.reset(gap_m=3.0)
            handle = client.send()
            wait_until(lambda: any(command.v_mps > 0.1 for command in robot.commands))
            server.signal(fault)
            status, result = client.result(handle)
            assert status == GoalStatus.STATUS_ABORTED
            assert result.error_code == Dock.Result.FAILED_TO_CONTROL
            assert complaint in result.error_msg
            wait_until(lambda: robot.commands[-1].v_mps == 0.0)
            server.kill()
            server = ServerProcess(files["approach"], server.port)
        robot.reset(gap_m=0.1)
        assert client.dock()[0] == GoalStatus.STATUS_SUCCEEDED
    finally:
        server.kill()
    assert client.transition(Transition.TRANSITION_DEACTIVATE)


def test_a_node_without_its_server_is_not_configured(start, client):
    node = start(runtime="remote", remote_uri="ws://127.0.0.1:1")
    assert not client.transition(Transition.TRANSITION_CONFIGURE)
    assert node.lines("cannot configure: policy server ws://127.0.0.1:1: cannot be reached")
