"""The state machine of an undocking goal, driven through time without ROS."""

from dataclasses import replace

import pytest

from vla_core.geometry import Pose2D, arc
from vla_policy_node.docking.goal import Motion, Situation
from vla_policy_node.docking.rear_view import UNSEEN, RearView
from vla_policy_node.docking.retreat import RetreatRules
from vla_policy_node.docking.undocking_progress import UndockingProgress, UndockingRules
from vla_policy_node.errors import Canceled, DockTimeout, FailedToControl, NotDocked
from vla_policy_node.sensing.streams import StreamState

TICK_NS = 50_000_000
START_NS = 1_700_000_000_000_000_000
SCAN = StreamState("scan", "scan", 10.0, 0.05, 0.3, 5)
FREE = RearView(covered=True, free_m=3.0)
DOCKED = Situation(
    now_ns=START_NS,
    streams=(SCAN,),
    chunk_ready=False,
    at_rest=True,
    speed_mps=0.0,
    dock_from_base=None,
    charging=True,
    odometry=Pose2D(),
    rear=FREE,
)


class Robot:
    """Does what it is told; the battery lets go after 2 cm."""

    def __init__(self, **rules):
        self.progress = UndockingProgress(UndockingRules(**rules), START_NS)
        self.now_ns = START_NS
        self.pose = Pose2D()
        self.motions = set()

    def step(self, seconds=0.05, **changes):
        for _ in range(round(seconds / 0.05)):
            self.now_ns += TICK_NS
            linear, _ = self.progress.back_off
            situation = replace(
                DOCKED,
                now_ns=self.now_ns,
                odometry=self.pose,
                speed_mps=abs(linear),
                at_rest=linear == 0.0,
                charging=self.pose.x > -0.02,
            )
            self.motions.add(self.progress.update(replace(situation, **changes)))
            if self.progress.outcome is not None:
                break
            self.pose = self.pose @ arc(*self.progress.back_off, 0.05)
        return self.progress.outcome


def test_leaves_the_dock_and_waits_until_it_stands_and_does_not_charge():
    robot = Robot()
    outcome = robot.step(20.0)
    assert outcome.success
    assert outcome.reason == "undocked: 0.59 m out, the battery does not charge"
    assert robot.pose.x == pytest.approx(-0.6, abs=0.02)
    assert robot.motions == {Motion.BACK_OFF, Motion.STOP}


@pytest.mark.parametrize(
    ("charging", "pose", "text"),
    [
        (False, None, "it does not charge, and no pose is measured"),
        (None, None, "no battery state arrives"),
        (False, Pose2D(-0.4, 0.0, 0.0), "-400.0 mm longitudinal"),
    ],
)
def test_there_has_to_be_a_dock_to_leave(charging, pose, text):
    robot = Robot()
    outcome = robot.step(1.0, charging=charging, dock_from_base=pose)
    assert isinstance(outcome.error, NotDocked)
    assert outcome.error.code == 953
    assert text in outcome.reason
    assert Motion.BACK_OFF not in robot.motions


def test_a_dead_charger_is_left_by_the_measured_pose():
    robot = Robot()
    robot.step(0.5, charging=False, dock_from_base=Pose2D(0.0, 0.0, 0.0))
    assert Motion.BACK_OFF in robot.motions


def test_unseen_it_goes_only_as_far_as_it_came_where_that_is_asked_for():
    robot = Robot(unseen=False, distance_m=0.6)
    outcome = robot.step(20.0, rear=UNSEEN, trail_m=0.3)
    assert isinstance(outcome.error, FailedToControl)
    assert "came out by 0.29 m of 0.60 m only" in outcome.reason
    assert "the scan does not cover the way behind" in outcome.reason
    robot = Robot(unseen=False)
    assert "cannot back out" in robot.step(5.0, rear=UNSEEN, trail_m=0.0).reason
    assert robot.pose.x == 0.0


def test_unseen_it_says_so():
    outcome = Robot().step(20.0, rear=UNSEEN)
    assert outcome.success
    assert "the scan does not cover the way behind" in outcome.reason


def test_still_charging_is_not_undocked():
    outcome = Robot(charge_timeout_s=1.0).step(20.0, charging=True)
    assert isinstance(outcome.error, FailedToControl)
    assert "but the battery still charges" in outcome.reason


def test_a_battery_that_falls_silent_proves_nothing():
    robot = Robot(charge_timeout_s=1.0)
    robot.step(1.0)
    assert "no battery state arrives any more" in robot.step(20.0, charging=None).reason


def test_blocked_behind():
    robot = Robot(retreat=RetreatRules(stuck_timeout_s=1.0))
    robot.step(1.0)
    outcome = robot.step(5.0, rear=RearView(covered=True, free_m=0.08))
    assert isinstance(outcome.error, FailedToControl)
    assert "something is 0.08 m behind" in outcome.reason


def test_stale_streams_end_it_by_name():
    robot = Robot(stale_grace_s=0.5)
    robot.step(1.0)
    outcome = robot.step(2.0, streams=(replace(SCAN, age_s=0.9),))
    assert "scan (scan) is 0.90 s old" in outcome.reason
    robot = Robot(perception_timeout_s=1.0)
    outcome = robot.step(2.0, streams=(replace(SCAN, age_s=0.9),))
    assert isinstance(outcome.error, FailedToControl)
    assert Motion.BACK_OFF not in robot.motions


def test_timeout_and_cancel():
    robot = Robot(timeout_s=1.0)
    assert isinstance(robot.step(3.0).error, DockTimeout)
    robot = Robot()
    robot.step(1.0)
    assert robot.step(1.0, interruption=Canceled("canceled by the client")).canceled
