"""Two robots in one simulator: two graphs in one domain that leave each other alone."""

import json

import pytest
import rclpy
from rclpy.node import Node

from vla_bringup.waiting import wait_until_active

# Two stations, a white and a green one.
SEED = "seed:=1000001"
TASKS = {"robot_1": "park on the white charger", "robot_2": "park on the green charger"}


@pytest.fixture
def observer():
    rclpy.init()
    node = Node("observer")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def stack(vla, name):
    return vla("up", "dock", "sim:=none", f"namespace:={name}")


def publishers(node, topic):
    """Namespaces of those who publish on a topic."""
    return {info.node_namespace for info in node.get_publishers_info_by_topic(topic)}


def test_two_robots_dock_in_one_simulator_and_keep_to_their_namespaces(vla, observer):
    simulator = vla("up", "sim", f"robots:={','.join(TASKS)}", SEED)
    simulator.wait_for("all active")
    graphs = [stack(vla, name) for name in TASKS]
    for graph in graphs:
        graph.wait_for("all active")
    wait_until_active(observer, 30.0)
    for name in TASKS:
        assert publishers(observer, f"/{name}/cmd_vel") == {f"/{name}"}
        assert publishers(observer, f"/{name}/diagnostics") == {f"/{name}"}
        assert publishers(observer, f"/{name}/scan") == {"/"}, "the simulator's"
    for topic in ("/diagnostics", "/tf", "/cmd_vel", "/scan", "/clock"):
        assert publishers(observer, topic) == set(), topic

    goals = [vla("dock", sentence, "--namespace", name) for name, sentence in TASKS.items()]
    # Another one of the same name would drive a robot that is driven.
    again = stack(vla, "robot_1")
    for goal in goals:
        assert goal.wait(120) == 0, goal.output + goal.errors
        assert "docked in " in goal.output
    reset = vla("reset", "--seed", "1000004", "--json")
    assert reset.wait() == 0, reset.errors
    episode = json.loads(reset.output)
    assert (episode["seed"], episode["station_count"]) == (1_000_004, 3)
    assert episode["instruction"]
    reset = vla("reset", "--suite", "moon")
    assert reset.wait() == 1
    assert "expected one of: nominal" in reset.errors
    assert again.wait() == 1
    assert "/robot_1/lifecycle_manager already runs there" in again.errors
