import math

import numpy as np
import pytest

from vla_core.geometry import Pose2D
from vla_simulation.controllers.dead_reckoning import DeadReckoning, arc
from vla_simulation.controllers.pose_filter import DockPoseFilter, PoseMeasurement

TICK_NS = 50_000_000
STD = np.array([0.01, 0.02, 0.02])


def errors(estimate, truth):
    yaw = math.remainder(estimate.yaw - truth.yaw, math.tau)
    return np.array([estimate.x - truth.x, estimate.y - truth.y, yaw])


def measured(truth, rng, std=STD):
    error = rng.normal(0.0, std)
    pose = Pose2D(truth.x + error[0], truth.y + error[1], truth.yaw + error[2])
    return PoseMeasurement(pose, np.diag(std**2))


class Drive:
    """A robot on a curve with wheels 1 % too large and a gyro-less heading."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.truth = Pose2D(-2.0, 0.4, -0.2)
        self.odometry = DeadReckoning()
        self.odometry.add(0, 0.0, 0.0)
        self.filter = DockPoseFilter(self.odometry)
        self.now_ns = 0

    def step(self):
        v, w = 0.3, 0.25 * math.sin(self.now_ns * 1e-9)
        self.truth = self.truth @ arc(v, w, TICK_NS * 1e-9)
        self.now_ns += TICK_NS
        self.odometry.add(self.now_ns, 1.01 * v, w + self.rng.normal(0.0, 0.005))
        self.filter.predict(self.now_ns)


def test_it_is_better_than_its_measurements_and_knows_how_good_it_is():
    squared, surprise = [], []
    for seed in range(60):
        drive = Drive(seed)
        for _ in range(80):
            drive.step()
            drive.filter.correct(measured(drive.truth, drive.rng), drive.now_ns)
        estimate = drive.filter.estimate
        error = errors(estimate.dock_from_base, drive.truth)
        squared.append(error**2)
        surprise.append(error @ np.linalg.solve(estimate.covariance, error))
    assert (np.sqrt(np.mean(squared, axis=0)) < 0.5 * STD).all()
    # Chi-squared of three values has a mean of 3.
    assert 1.0 < np.mean(surprise) < 4.5


def test_a_late_measurement_is_carried_to_the_present():
    """The same pictures, a quarter of a second late, are worth about as much."""
    late, fresh = [], []
    for seed in range(20):
        drive = Drive(seed)
        waiting = []
        for _ in range(80):
            drive.step()
            waiting.append((measured(drive.truth, drive.rng, 0.1 * STD), drive.now_ns))
            if len(waiting) > 5:
                drive.filter.correct(*waiting.pop(0))
        estimate = drive.filter.estimate.dock_from_base
        late.append(np.abs(errors(estimate, drive.truth)))
        fresh.append(abs(waiting[0][0].dock_from_base.x - drive.truth.x))
    assert np.median(fresh) > 0.05  # what ignoring the delay would cost
    assert (np.median(late, axis=0) < [0.006, 0.006, 0.006]).all()


def test_an_outlier_is_left_out_until_it_is_the_estimate_that_is_wrong():
    drive = Drive(1)
    for _ in range(20):
        drive.step()
        drive.filter.correct(measured(drive.truth, drive.rng), drive.now_ns)
    before = drive.filter.estimate.dock_from_base
    elsewhere = PoseMeasurement(Pose2D(before.x + 0.5, before.y, before.yaw), np.diag(STD**2))
    needed = drive.filter.parameters.outliers_to_restart
    for _ in range(needed - 1):
        assert not drive.filter.correct(elsewhere, drive.now_ns)
        assert drive.filter.estimate.dock_from_base == before
    assert drive.filter.correct(elsewhere, drive.now_ns)
    assert drive.filter.estimate.dock_from_base.x == pytest.approx(before.x + 0.5)


def test_without_measurements_it_drives_on_and_becomes_less_sure():
    drive = Drive(2)
    drive.filter.correct(measured(drive.truth, drive.rng, 0.01 * STD), 0)
    spreads = []
    for _ in range(40):
        drive.step()
        spreads.append(np.linalg.det(drive.filter.estimate.covariance))
    assert np.all(np.diff(spreads) > 0.0)
    assert drive.filter.age_ns == 40 * TICK_NS
    error = errors(drive.filter.estimate.dock_from_base, drive.truth)
    spread = np.sqrt(np.diag(drive.filter.estimate.covariance))
    assert (np.abs(error) < 3.0 * spread).all()


def test_it_says_nothing_before_the_first_measurement():
    drive = Drive(3)
    drive.step()
    assert drive.filter.estimate is None
    assert drive.filter.at(0) is None


def test_the_past_is_the_present_without_the_way_since():
    drive = Drive(4)
    drive.filter.correct(measured(drive.truth, drive.rng), 0)
    then = drive.filter.estimate.dock_from_base
    for _ in range(10):
        drive.step()
    back = drive.filter.at(0).dock_from_base
    assert errors(back, then) == pytest.approx(np.zeros(3), abs=1e-9)
