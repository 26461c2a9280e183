"""Fixtures: a DDS domain of our own, a robot in it, and policy nodes that serve small policies."""

import os

import domain_coordinator
import pytest
from policy_fixtures import approach_graph, bundle, constant_graph, contract
from policy_rig import Client, NodeProcess, robot_in


@pytest.fixture(scope="session")
def domain():
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with domain_coordinator.domain_id() as number:
        yield number


@pytest.fixture(scope="session")
def robot(domain):
    with robot_in(domain) as robot:
        yield robot


@pytest.fixture(autouse=True)
def _start_again(request):
    if "robot" in request.fixturenames:
        request.getfixturevalue("robot").reset()


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Paths of contracts and bundles by name."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "contract.yaml").write_text(contract().to_yaml())
    return {
        "contract": folder / "contract.yaml",
        "approach": bundle(folder / "approach", approach_graph()),
        "fast": bundle(folder / "fast", constant_graph(2.0, 0.4)),
        "broken": bundle(folder / "broken", constant_graph(float("nan"), 0.0)),
    }


@pytest.fixture(scope="session")
def client(robot):
    return Client(robot)


@pytest.fixture
def start(domain, files, tmp_path):
    """Starts a node with a policy; ends it after the test."""
    nodes = []

    def begin(policy="approach", **parameters):
        parameters = {"contract": files["contract"], "policy": files[policy], **parameters}
        nodes.append(NodeProcess(tmp_path / f"{len(nodes)}.log", domain, **parameters))
        return nodes[-1]

    yield begin
    for node in nodes:
        node.end()
        print(node.log)
