"""The emergency stop, and goals on a graph that is not the policy's."""

from types import SimpleNamespace

import pytest
from policy_fixtures import contract

from vla_core import keys
from vla_policy_node.control.guard import Guard
from vla_policy_node.errors import EmergencyStopped, GraphMismatch
from vla_policy_node.parameters import PolicyParameters


class Bench:
    """A guard, its clock, and all that it does."""

    def __init__(self, **parameters):
        self.now_s = 100.0
        self.trips: list[str] = []
        self.lines: list[str] = []
        log = SimpleNamespace(
            info=self.lines.append, warning=self.lines.append, error=self.lines.append
        )
        self.guard = Guard(
            contract(),
            PolicyParameters(**parameters),
            trip=self.trips.append,
            log=log,
            monotonic_s=lambda: self.now_s,
        )


def test_pressed_the_robot_stops_at_once_and_released_it_needs_a_new_goal():
    bench = Bench()
    assert bench.guard.fault() is None
    bench.guard.on_emergency_stop(True)
    assert bench.trips == [
        "the emergency stop (emergency_stop) is pressed; release it and send a new goal"
    ]
    bench.now_s += 20.0
    fault = bench.guard.fault()
    assert isinstance(fault, EmergencyStopped)
    assert fault.code == 955
    bench.guard.on_emergency_stop(False)
    bench.now_s += 0.6
    assert bench.guard.fault() is None


def test_a_stop_that_is_released_at_once_is_not_missed():
    bench = Bench()
    bench.guard.on_emergency_stop(True)
    bench.guard.on_emergency_stop(False)
    assert isinstance(bench.guard.fault(), EmergencyStopped)
    bench.now_s += 0.6
    assert bench.guard.fault() is None


def test_a_stop_that_goes_on_is_said_once():
    bench = Bench()
    for _ in range(10):
        bench.guard.on_emergency_stop(True)
    assert len(bench.trips) == 1
    assert len(bench.lines) == 1


def test_a_silent_emergency_stop_counts_as_pressed_where_that_is_asked_for():
    bench = Bench(emergency_stop_timeout_s=0.5)
    bench.now_s += 0.4
    assert bench.guard.fault() is None
    bench.now_s += 0.2
    fault = bench.guard.fault()
    assert isinstance(fault, EmergencyStopped)
    assert "has been silent for 0.60 s, at most 0.5 s allowed" in str(fault)
    assert bench.trips == [str(fault)]
    bench.guard.on_emergency_stop(False)
    assert bench.guard.fault() is None
    patient = Bench()
    patient.now_s += 1e6
    assert patient.guard.fault() is None


@pytest.mark.parametrize("refuse", [True, False])
def test_a_graph_that_differs_ends_goals_or_is_only_told(refuse):
    bench = Bench(graph_check="refuse" if refuse else "warn")
    bench.guard.on_message(keys.ODOMETRY, SimpleNamespace(child_frame_id="imu_link"))
    sentence = "odometry (odom): measured in frame 'imu_link', 'base_link' expected"
    assert bench.lines == [f"not what the policy was made for: {sentence}"]
    assert bench.guard.differences == (sentence,)
    fault = bench.guard.fault()
    if refuse:
        assert isinstance(fault, GraphMismatch)
        assert (fault.code, str(fault)) == (956, sentence)
        assert bench.trips == [sentence], "the running goal stops at once"
    else:
        assert fault is None
