"""Fixtures: a DDS domain of our own, a robot in it, and recorders."""

import os

import domain_coordinator
import pytest
from bag_fixtures import CONTRACT_YAML
from operator_rig import Operator
from recorder_rig import Recorder, Robot


@pytest.fixture(scope="session")
def domain():
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with domain_coordinator.domain_id() as number:
        yield number


@pytest.fixture(scope="session")
def contract_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("contract") / "contract.yaml"
    path.write_text(CONTRACT_YAML)
    return path


def parameters(contract, bags):
    return {
        "contract": contract,
        "output_directory": bags,
        "extra_topics": "[ground_truth/state]",
        "disk_reserve_bytes": 0,
    }


@pytest.fixture(scope="module")
def pair(domain, contract_path, tmp_path_factory):
    """A robot and an active recorder for the tests that leave both as they were."""
    folder = tmp_path_factory.mktemp("recorder")
    robot = Robot(domain)
    log = folder / "recorder.log"
    recorder = Recorder(robot, domain, log, **parameters(contract_path, folder / "bags"))
    yield robot, recorder.bring_up()
    recorder.end()
    robot.close()
    print(recorder.text)


@pytest.fixture
def shared(pair, tmp_path):
    """The robot and the recorder, which now writes to tmp_path/bags."""
    robot, recorder = pair
    robot.forget()
    changed = {"output_directory": str(tmp_path / "bags")}

    def configure(**values):
        changed.update(values)
        recorder.set(**values)

    recorder.set(**changed)
    yield robot, recorder, configure
    defaults = {
        "storage": "mcap",
        "compression": "none",
        "post_roll_s": 0.0,
        "pre_roll_s": 0.0,
        "disk_reserve_bytes": 0,
    }
    recorder.set(**{name: value for name, value in defaults.items() if name in changed})


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
def make_recorder(domain, contract_path, tmp_path):
    """Starts a recorder; ends it after the test and shows its log."""
    recorders = []

    def make(robot, **changes):
        log = tmp_path / f"recorder_{len(recorders)}.log"
        values = {**parameters(contract_path, tmp_path / "bags"), **changes}
        recorders.append(Recorder(robot, domain, log, **values))
        return recorders[-1]

    yield make
    for recorder in recorders:
        recorder.end()
        print(recorder.text)


@pytest.fixture
def make_operator(domain, contract_path):
    """Starts `vla teleop` on a terminal of its own."""
    operators = []

    def make(*arguments):
        operators.append(Operator(contract_path, domain, *arguments))
        return operators[-1]

    yield make
    for operator in operators:
        operator.end()
        print(operator.text)
