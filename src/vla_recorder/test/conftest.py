"""Fixtures: a DDS domain of our own, a robot in it, and recorders."""

import os

import domain_coordinator
import pytest
from bag_fixtures import CONTRACT_YAML
from recorder_rig import Recorder, Robot


@pytest.fixture(scope="session")
def domain():
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with domain_coordinator.domain_id() as number:
        yield number


@pytest.fixture
def make_robot(domain):
    robots = []

    def make(**options):
        robots.append(Robot(domain, **options))
        return robots[-1]

    yield make
    for robot in robots:
        robot.close()


@pytest.fixture
def robot(make_robot):
    return make_robot()


@pytest.fixture
def make_recorder(domain, tmp_path):
    """Starts a recorder; ends it after the test and shows its log."""
    recorders = []
    contract = tmp_path / "contract.yaml"
    contract.write_text(CONTRACT_YAML)

    def make(robot, **parameters):
        log = tmp_path / f"recorder_{len(recorders)}.log"
        values = {
            "contract": contract,
            "output_directory": tmp_path / "bags",
            "extra_topics": "[ground_truth/state]",
            "disk_reserve_bytes": 0,
            **parameters,
        }
        recorders.append(Recorder(robot, domain, log, **values))
        return recorders[-1]

    yield make
    for recorder in recorders:
        recorder.end()
        print(recorder.text)
