"""What goes wrong costs one clear line and a non-zero exit code, and leaves nothing running."""

import contextlib
import os
import queue
import signal
import socket
import time

import pytest
from processes import wait_for_nodes

from vla_bringup.graph import NodeSpec
from vla_bringup.graph_exit import describe_exit
from vla_bringup.node_process import GuardedProcess, node_command

IDLE = ["up", "record", "sim:=none", "driver:=none"]  # the smallest graph: one node, its manager
SIMULATED = ["up", "record"]
ALL_ACTIVE = "all active"


@pytest.fixture
def record_to(tmp_path):
    return f"record_directory:={tmp_path / 'bags'}"


def assert_refused(program, *parts):
    assert program.wait() == 1
    assert len(program.error_lines) == 1, program.errors
    assert program.errors.startswith("vla up: error: ")
    for part in parts:
        assert part in program.errors
    assert program.orphans() == []


def test_missing_bundle(vla, tmp_path):
    assert_refused(
        vla("up", "dock", f"policy:={tmp_path / 'nothing'}"), "nothing", "does not exist"
    )


def test_damaged_bundle(vla, bundle, tmp_path):
    copy = tmp_path / "damaged"
    copy.mkdir()
    for file in bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with (copy / "policy.onnx").open("ab") as file:
        file.write(b"x")
    assert_refused(vla("up", "dock", f"policy:={copy}"), "policy.onnx")


def test_wrong_contract_names_both_sides(vla, bundle, other_contract):
    program = vla("up", "dock", f"policy:={bundle}", f"contract:={other_contract}")
    assert_refused(program, "0.5", "1.5", "live")


def test_missing_contract(vla, tmp_path):
    assert_refused(vla("up", "sim", f"contract:={tmp_path / 'none.yaml'}"), "none.yaml")


def test_broken_gl_library(vla, tmp_path):
    """A library that cannot be loaded stands before the real one in the search path."""
    for name in ("libEGL.so.1", "libEGL.so", "libGL.so.1"):
        (tmp_path / name).write_text("not a library")
    environment = {
        "MUJOCO_GL": "egl",
        "LD_LIBRARY_PATH": f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}",
    }
    program = vla("up", "sim", environment=environment)
    assert_refused(program, "cannot be rendered", "apt-get install")


@pytest.mark.parametrize("number", ["233", "-1", "first"])
def test_domain_that_does_not_exist(vla, number):
    program = vla("up", "sim", environment={"ROS_DOMAIN_ID": number})
    assert_refused(program, f"ROS_DOMAIN_ID={number} is not a DDS domain", "0 to 232")


def test_domain_in_use(vla, domain, record_to):
    first = vla(*IDLE, record_to)
    first.wait_for(ALL_ACTIVE)
    second = vla(*IDLE, record_to)
    assert_refused(
        second,
        f"ROS_DOMAIN_ID={domain} is in use: /lifecycle_manager already runs there",
        f"process {first.process.pid}",
        "export ROS_DOMAIN_ID=",
    )
    assert first.process.poll() is None


def test_domain_in_use_by_nodes_that_others_started(vla, start, domain, record_to):
    expert = NodeSpec("vla_simulation", "expert_node", "vla_recorder")  # of the same name
    start(*node_command(expert))
    wait_for_nodes(domain, "vla_recorder")
    assert_refused(vla(*IDLE, record_to), f"ROS_DOMAIN_ID={domain} is in use: /vla_recorder")


def test_namespaces_share_a_domain(vla, record_to):
    first = vla(*IDLE, record_to, "namespace:=one")
    first.wait_for(ALL_ACTIVE)
    second = vla(*IDLE, record_to, "namespace:=two")
    second.wait_for(ALL_ACTIVE)
    assert first.process.poll() is None


def test_ports_taken(vla, domain, record_to):
    sockets = []
    try:
        for port in range(7400 + 250 * domain, 7400 + 250 * domain + 250):
            sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):  # somebody else has it: taken as well
                sockets[-1].bind(("0.0.0.0", port))
        assert_refused(vla(*IDLE, record_to), "DDS discovery does not work", "UDP ports")
    finally:
        for taken in sockets:
            taken.close()


def test_killed_simulator(vla, record_to):
    program = vla(*SIMULATED, record_to)
    program.wait_for(ALL_ACTIVE)
    program.node("simulator").kill()
    assert_refused(program, "simulator was killed by SIGKILL")


def test_node_that_refuses_to_be_configured(vla, tmp_path):
    """Found only by the node itself; the line still names it and says why."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    program = vla(*IDLE, f"record_directory:={blocked}")
    assert_refused(program, "node vla_recorder failed to configure", str(blocked))


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped(vla, record_to, signum, code):
    program = vla(*SIMULATED, record_to)
    program.wait_for(ALL_ACTIVE)
    program.signal(signum)
    assert program.wait(60) == code
    assert program.errors == ""
    assert program.orphans() == []


def test_stopped_while_starting(vla, record_to):
    program = vla(*SIMULATED, record_to)
    program.wait_for("simulator started")
    program.signal(signal.SIGINT)
    assert program.wait(60) == 130
    assert program.orphans() == []


def test_killed(vla, record_to):
    program = vla(*SIMULATED, record_to)
    program.wait_for(ALL_ACTIVE)
    assert len(program.descendants()) >= 4
    program.process.kill()
    assert program.wait() == -signal.SIGKILL
    assert program.orphans(timeout_s=40.0) == []


def test_policy_and_its_helpers_end_with_a_killed_policy_node(vla, bundle):
    program = vla("up", "dock", f"policy:={bundle}")
    program.wait_for(ALL_ACTIVE)
    node = program.node("vla_policy")
    assert node.children(), "the inference process"
    node.kill()
    assert_refused(program, "vla_policy was killed by SIGKILL")


def test_executable_that_cannot_be_started():
    events = queue.SimpleQueue()
    GuardedProcess(["/no/such/executable"], name="robot").run(events)
    messages = [events.get() for _ in range(events.qsize())]
    assert [message.type for message in messages] == ["start", "line", "stop"]
    assert "robot: error: cannot be started" in messages[1].data
    assert messages[2].data["returncode"] == 127


def test_dock_verb_in_a_domain_that_does_not_exist(vla):
    program = vla("dock", "dock at the orange charger", environment={"ROS_DOMAIN_ID": "500"})
    assert program.wait() == 1
    assert program.error_lines == [program.errors.strip()]
    assert "ROS_DOMAIN_ID=500 is not a DDS domain" in program.errors


@pytest.mark.parametrize(
    ("returncode", "says"),
    [
        (-9, "robot was killed by SIGKILL"),
        (-11, "robot was killed by SIGSEGV"),
        (3, "robot failed with exit code 3: no wheels"),
        (0, "robot ended although nothing asked it to"),
    ],
)
def test_ends_are_explained(returncode, says):
    assert describe_exit("robot", returncode, "no wheels").startswith(says)


def test_a_graph_may_begin_anew(vla, record_to):
    program = vla(*IDLE, record_to, "on_failure:=restart")
    program.wait_for(ALL_ACTIVE)
    first = program.node("vla_recorder")
    first.kill()
    program.wait_for("starting the graph anew (1 of 3)")
    deadline_s = time.monotonic() + 60.0
    while program.output.count(ALL_ACTIVE) < 2:
        assert time.monotonic() < deadline_s, program.output + program.errors
        time.sleep(0.1)
    assert program.node("vla_recorder").pid != first.pid
    program.signal(signal.SIGINT)
    assert program.wait() == 130
    assert program.orphans() == []
