"""Who may drive, and who watches: turns of goals and the heartbeat of the manager."""

import threading
import time

import pytest

from vla_policy_node.docking.goal_turns import GoalTurns
from vla_policy_node.docking.manager_watch import ManagerWatch
from vla_policy_node.errors import Canceled, ManagerLost, Preempted


def nobody():
    return None


class Goal(threading.Thread):
    """Drives until it is pre-empted, then takes `braking_s` to stand."""

    def __init__(self, turns, name, braking_s=0.0, interruption=nobody):
        super().__init__(name=name, daemon=True)
        self.turns, self.braking_s, self.interruption = turns, braking_s, interruption
        self.driving, self.error = threading.Event(), None
        self.began_s = self.ended_s = None

    def run(self):
        self.turns.open()
        try:
            with self.turns.take(self.name, self.interruption) as turn:
                self.began_s = time.monotonic()
                self.driving.set()
                while turn.interruption() is None:
                    time.sleep(0.005)
                self.error = turn.interruption()
                time.sleep(self.braking_s)
                self.ended_s = time.monotonic()
        except Preempted as error:
            self.error = error
        except Canceled as error:
            self.error = error
        finally:
            self.turns.close()


def begun(goal):
    goal.start()
    assert goal.driving.wait(20.0)
    return goal


def test_the_newest_goal_drives_once_the_one_before_stands():
    turns = GoalTurns()
    first = begun(Goal(turns, "first", braking_s=0.2))
    second = begun(Goal(turns, "second"))
    first.join(20.0)
    assert "pre-empted by a newer goal: second" in str(first.error)
    assert second.began_s >= first.ended_s
    assert turns.busy


def test_of_those_that_wait_only_the_newest_drives():
    turns = GoalTurns()
    first = begun(Goal(turns, "first", braking_s=0.5))
    second = Goal(turns, "second")
    second.start()
    while first.error is None:  # the second has told the first to go, and waits
        time.sleep(0.005)
    third = begun(Goal(turns, "third"))
    second.join(20.0)
    assert not second.driving.is_set()
    assert "third" in str(second.error)
    assert third.driving.is_set()


def test_a_goal_that_waits_can_be_interrupted():
    turns = GoalTurns()
    begun(Goal(turns, "first", braking_s=20.0))
    second = Goal(turns, "second", interruption=lambda: Canceled("canceled by the client"))
    second.start()
    second.join(10.0)
    assert isinstance(second.error, Canceled)
    assert not second.driving.is_set()


def test_idle_is_when_every_goal_has_ended():
    turns = GoalTurns()
    turns.open()
    assert not turns.wait_until_idle(0.05)
    turns.close()
    assert turns.wait_until_idle(0.05)


def test_a_failure_gives_the_turn_back():
    turns = GoalTurns()
    with pytest.raises(ZeroDivisionError), turns.take("first", nobody):
        _ = 1 / 0
    with turns.take("second", nobody) as turn:
        assert turn.interruption() is None


def test_a_heartbeat_is_missed_only_once_it_was_heard():
    now_s = [100.0]
    watch = ManagerWatch(lambda: now_s[0])
    now_s[0] += 60.0
    assert watch.fault(2.0) is None, "nobody manages this node"
    watch.hear()
    now_s[0] += 1.9
    assert watch.fault(2.0) is None
    now_s[0] += 0.2
    fault = watch.fault(2.0)
    assert isinstance(fault, ManagerLost)
    assert fault.code == 954
    assert "silent for 2.1 s, at most 2 s allowed" in str(fault)
    watch.hear()
    assert watch.fault(2.0) is None, "it is back"
    watch.forget()
    now_s[0] += 60.0
    assert watch.fault(2.0) is None, "activated by hand"
