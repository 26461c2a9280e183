"""Fixtures: a DDS domain per test, programs that are ended, and a bundle that stands still."""

import os
import signal

import domain_coordinator
import pytest
from bundles import standing_bundle
from processes import VLA, Program

from vla_bringup.resources import default_contract
from vla_core.contract import Contract


@pytest.fixture(autouse=True)
def domain(monkeypatch):
    """A domain that no other test uses meanwhile, for everything that the test starts."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with domain_coordinator.domain_id() as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        yield number


@pytest.fixture
def start(tmp_path):
    """Starts programs; whatever is left of them is ended after the test."""
    programs = []

    def begin(*command, environment=None) -> Program:
        programs.append(Program(command, tmp_path, f"program_{len(programs)}", environment))
        return programs[-1]

    yield begin
    for program in programs:
        program.end()
        print(program.output, program.errors, sep="\n")


@pytest.fixture
def vla(start):
    """Starts `vla` with these arguments."""
    return lambda *arguments, environment=None: start(*VLA, *arguments, environment=environment)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A policy for the shipped contract that never moves."""
    return standing_bundle(tmp_path_factory.mktemp("policy"), Contract.load(default_contract()))


@pytest.fixture
def other_contract(tmp_path):
    """The shipped contract of a robot that is allowed to drive faster."""
    description = Contract.load(default_contract()).to_dict()
    description["action"]["fields"][0]["high"] = 1.5
    path = tmp_path / "faster.yaml"
    path.write_text(Contract.from_dict(description).to_yaml())
    return path


def pytest_configure():
    # The probes and nodes of one test must not find an old daemon's or shell's middleware.
    os.environ.pop("ROS_STATIC_PEERS", None)
    # A test run that a shell put into the background ignores Ctrl-C, and hands that on to every
    # program that it starts: here they are to see it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
