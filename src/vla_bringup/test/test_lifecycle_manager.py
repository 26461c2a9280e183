"""The lifecycle manager with real nodes: order, watching, taking down, and how it fails."""

import contextlib
import signal
import time

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from processes import wait_for_nodes
from rclpy.node import Node
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from vla_bringup.graph import NodeSpec
from vla_bringup.node_process import node_command
from vla_bringup.resources import default_contract
from vla_bringup.waiting import WaitTimeout, wait_for_result, wait_for_service
from vla_policy_node.parameters import PolicyParameters

EXPERT = NodeSpec("vla_simulation", "expert_node", "docking_expert")


def recorder(folder, contract=None):
    parameters = {
        "contract": str(contract or default_contract()),
        "output_directory": str(folder / "bags"),
    }
    return NodeSpec("vla_recorder", "recorder_node", "vla_recorder", parameters=parameters)


def manager(names, **parameters):
    values = {"node_names": names, **parameters}
    return NodeSpec("vla_bringup", "lifecycle_manager", "lifecycle_manager", parameters=values)


@pytest.fixture
def run(start):
    return lambda spec: start(*node_command(spec))


@pytest.fixture
def observer(domain):
    rclpy.init()
    node = Node("observer")
    yield Observer(node)
    node.destroy_node()
    rclpy.shutdown()


class Observer:
    def __init__(self, node):
        self.node = node

    def call(self, service_type, name):
        client = self.node.create_client(service_type, name)
        wait_for_service(self.node, client, 30.0)
        for _ in range(5):  # the first reply may come before this client is known over there
            with contextlib.suppress(WaitTimeout):
                return wait_for_result(self.node, client.call_async(service_type.Request()), 2.0)
        raise AssertionError(f"{name} does not answer")

    def state(self, name):
        return self.call(GetState, f"{name}/get_state").current_state.id

    def wait_for_heartbeats(self, count):
        """That others stop without."""
        heard = []
        topic = PolicyParameters().manager_heartbeat_topic
        subscription = self.node.create_subscription(Empty, topic, heard.append, 10)
        end_s = time.monotonic() + 20.0
        while len(heard) < count:
            assert time.monotonic() < end_s, f"{len(heard)} heartbeats"
            rclpy.spin_once(self.node, timeout_sec=0.05)
        self.node.destroy_subscription(subscription)

    def is_active(self):
        return self.call(Trigger, "lifecycle_manager/is_active").success


def test_up_in_order_and_down_in_reverse(run, tmp_path, observer):
    run(recorder(tmp_path))
    run(EXPERT)
    program = run(manager(["vla_recorder", "docking_expert"]))
    program.wait_for("all active: vla_recorder, docking_expert")
    steps = [line.split("]: ")[1] for line in program.errors.splitlines() if "]: " in line]
    assert steps[:4] == [
        "vla_recorder: configured",
        "docking_expert: configured",
        "vla_recorder: activated",
        "docking_expert: activated",
    ]
    assert observer.is_active()
    observer.wait_for_heartbeats(5)
    assert observer.state("vla_recorder") == State.PRIMARY_STATE_ACTIVE
    program.signal(signal.SIGINT)
    assert program.wait(40) == 0
    for name in ("vla_recorder", "docking_expert"):
        assert observer.state(name) == State.PRIMARY_STATE_UNCONFIGURED


def test_refused_configuration_is_quoted(run, tmp_path, observer):
    run(EXPERT)
    run(recorder(tmp_path, contract=tmp_path / "missing.yaml"))
    program = run(manager(["docking_expert", "vla_recorder"]))
    assert program.wait(40) == 1
    last = program.error_lines[-1]
    assert last.startswith("lifecycle_manager: error: node vla_recorder failed to configure: ")
    assert "missing.yaml" in last
    assert observer.state("docking_expert") == State.PRIMARY_STATE_UNCONFIGURED


def test_death_takes_the_others_down(run, tmp_path, observer):
    run(recorder(tmp_path))
    expert = run(EXPERT)
    program = run(manager(["vla_recorder", "docking_expert"], heartbeat_timeout_s=1.5))
    program.wait_for("all active")
    expert.signal(signal.SIGKILL)
    began_s = time.monotonic()
    assert program.wait(40) == 1
    assert time.monotonic() - began_s < 20.0
    assert program.error_lines[-1].startswith(
        "lifecycle_manager: error: node docking_expert stopped answering: "
    )
    assert observer.state("vla_recorder") == State.PRIMARY_STATE_UNCONFIGURED


def test_node_that_leaves_the_active_state(run, tmp_path, observer):
    run(recorder(tmp_path))
    program = run(manager(["vla_recorder"]))
    program.wait_for("all active")
    client = observer.node.create_client(ChangeState, "vla_recorder/change_state")
    assert client.wait_for_service(timeout_sec=30.0)
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_DEACTIVATE
    client.call_async(request)
    assert program.wait(40) == 1
    assert "node vla_recorder left the active state: it is now inactive" in program.error_lines[-1]


def test_node_that_never_appears(run):
    program = run(manager(["nobody"], bringup_timeout_s=1.0))
    assert program.wait(40) == 1
    assert "node nobody did not appear within 1 s" in program.error_lines[-1]


def test_two_nodes_of_one_name(run, domain):
    run(EXPERT)
    run(EXPERT)
    wait_for_nodes(domain, "docking_expert", 2)
    program = run(manager(["docking_expert"]))
    assert program.wait(40) == 1
    assert "2 nodes are called docking_expert" in program.error_lines[-1]


@pytest.mark.parametrize(("names", "says"), [(["a", "a"], "names a node twice")])
def test_wrong_names(run, names, says):
    program = run(manager(names))
    assert program.wait(40) == 1
    assert says in program.error_lines[-1]


def test_no_names(start):
    command = node_command(manager(["x"]))
    del command[command.index("-p") : command.index("-p") + 2]
    program = start(*command)
    assert program.wait(40) == 1
    assert "parameter node_names is empty" in program.error_lines[-1]


def test_stop_while_waiting(run, domain):
    program = run(manager(["nobody"]))
    wait_for_nodes(domain, "lifecycle_manager")
    time.sleep(0.5)  # and on its way
    program.signal(signal.SIGTERM)
    assert program.wait(40) == 0


def test_waiting_helpers_have_deadlines(observer):
    client = observer.node.create_client(Trigger, "nobody/is_active")
    with pytest.raises(WaitTimeout):
        wait_for_service(observer.node, client, 0.2)
    with pytest.raises(WaitTimeout):
        wait_for_result(observer.node, rclpy.task.Future(), 0.2)
