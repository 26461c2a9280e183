"""The approach on sensed poses, with a robot that is nothing but kinematics."""

import math

import numpy as np
import pytest

from vla_core.geometry import Pose2D
from vla_core.keys import ODOMETRY, SCAN
from vla_core.readings import OdometryReading, ScanReading
from vla_simulation.controllers.dead_reckoning import arc
from vla_simulation.controllers.pose_filter import PoseMeasurement
from vla_simulation.controllers.sensed_approach import SensedApproach, SensedApproachParameters
from vla_simulation.sensing.samples import Sample

TICK_NS = 50_000_000
STD = np.array([0.004, 0.004, 0.006])
NOTHING = ScanReading(np.full(3, np.inf, np.float32), -1.0, 1.0, 0.05, 8.0)


class Kinematic:
    """A unicycle whose poses are measured with noise, late, and only where `sees` says so."""

    stream = SCAN

    def __init__(self, pose, sees=lambda pose, now_s: True, delay_ticks=2):
        self.path = [pose]
        self.sees = sees
        self.delay_ticks = delay_ticks
        self.rng = np.random.default_rng(0)
        self.twist = (0.0, 0.0)
        self.measured = []

    @property
    def now_ns(self):
        return (len(self.path) - 1) * TICK_NS

    def measure(self, reading, guess):
        tick = max(0, len(self.path) - 1 - self.delay_ticks)
        pose = self.path[tick]
        if not self.sees(pose, tick * 0.05):
            return None
        self.measured.append(guess)
        error = self.rng.normal(0.0, STD)
        noisy = Pose2D(pose.x + error[0], pose.y + error[1], pose.yaw + error[2])
        return PoseMeasurement(noisy, np.diag(STD**2))

    def samples(self):
        late_ns = max(0, self.now_ns - self.delay_ticks * TICK_NS)
        odometry = OdometryReading(1.005 * self.twist[0], self.twist[1])
        return [Sample(ODOMETRY, self.now_ns, odometry), Sample(SCAN, late_ns, NOTHING)]

    def run(self, approach, seconds):
        for _ in range(round(seconds / 0.05)):
            self.twist = approach.command(self.now_ns, self.samples())
            self.path.append(self.path[-1] @ arc(*self.twist, 0.05))
        return self.path[-1]


def test_it_docks_on_noisy_and_late_poses():
    robot = Kinematic(Pose2D(-1.8, 0.5, -0.1))
    end = robot.run(SensedApproach(robot), 25.0)
    assert abs(end.x) < 0.005
    assert abs(end.y) < 0.006
    assert abs(end.yaw) < math.radians(1.0)


def test_at_rest_it_does_not_follow_its_sensors_noise():
    robot = Kinematic(Pose2D(-0.4, 0.0, 0.0))
    approach = SensedApproach(robot)
    robot.run(approach, 15.0)
    before = robot.path[-1]
    robot.run(approach, 5.0)
    assert robot.twist == (0.0, 0.0)
    assert math.hypot(robot.path[-1].x - before.x, robot.path[-1].y - before.y) < 0.003


def test_it_drives_on_by_odometry_for_a_while_and_no_longer():
    gap = SensedApproachParameters().max_age_s
    robot = Kinematic(Pose2D(-2.0, 0.2, 0.0), sees=lambda pose, now_s: now_s < 2.0)
    approach = SensedApproach(robot)
    robot.run(approach, 2.0 + 0.5 * gap)
    assert robot.twist[0] > 0.1
    robot.run(approach, gap)
    assert robot.twist[0] == 0.0


def test_a_short_blindness_costs_nothing():
    blind = Kinematic(Pose2D(-1.8, 0.5, -0.1), sees=lambda pose, now_s: not 2.0 < now_s < 4.0)
    end = blind.run(SensedApproach(blind), 25.0)
    assert (np.abs([end.x, end.y]) < 0.008).all()


def test_without_a_pose_it_looks_to_either_side_and_gives_up():
    robot = Kinematic(Pose2D(-1.5, 0.0, 0.3), sees=lambda pose, now_s: False)
    approach = SensedApproach(robot)
    p = approach.parameters
    robot.run(approach, p.hold_s - 0.1)
    assert robot.path[-1].yaw == robot.path[0].yaw
    robot.run(approach, 25.0)
    headings = np.array([pose.yaw for pose in robot.path]) - 0.3
    step = p.search_radps * 0.05
    assert headings.max() == pytest.approx(p.search_rad, abs=2 * step)
    assert headings.min() == pytest.approx(-p.search_rad, abs=2 * step)
    assert headings[-1] == pytest.approx(0.0, abs=2 * step)
    assert robot.twist == (0.0, 0.0)
    assert all(pose.x == robot.path[0].x for pose in robot.path)


def test_what_it_finds_while_looking_around_it_drives_to():
    def faces_the_dock(pose, now_s):
        return abs(math.remainder(pose.yaw - math.atan2(-pose.y, 0.3 - pose.x), math.tau)) < 0.8

    robot = Kinematic(Pose2D(-1.6, 0.3, 1.1), sees=faces_the_dock)
    end = robot.run(SensedApproach(robot), 28.0)
    assert (np.abs([end.x, end.y]) < 0.008).all()


def test_a_guess_is_where_it_begins_and_is_handed_to_the_source():
    pose = Pose2D(-1.5, 0.2, 0.1)
    robot = Kinematic(pose, delay_ticks=0)
    approach = SensedApproach(robot)
    spread = np.diag([0.1, 0.1, 0.05]) ** 2
    approach.reset(PoseMeasurement(Pose2D(-1.42, 0.15, 0.12), spread))
    robot.run(approach, 0.1)
    first = robot.measured[0]
    assert (first.dock_from_base.x, first.dock_from_base.y) == pytest.approx((-1.42, 0.15))
    assert np.sqrt(np.diag(first.covariance)) == pytest.approx([0.1, 0.1, 0.05], rel=0.05)
    assert approach.filter.estimate.dock_from_base.x == pytest.approx(-1.5, abs=0.02)
