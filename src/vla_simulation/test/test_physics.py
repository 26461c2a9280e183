"""The base drives, stops and drifts as a real one."""

import dataclasses
import math

import numpy as np
import pytest
from simulation_scenes import EXACT, STRAIGHT_START

from vla_core.geometry import Pose2D
from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.suites import SuiteConfig


def drive(env, linear, angular, seconds):
    for _ in range(round(seconds * 20)):
        env.advance(np.array([linear, angular]))


def at_origin(env):
    """Put the robot into the middle of the empty room."""
    env.robot.place(Pose2D(0.0, 0.0, 0.0))
    drive(env, 0.0, 0.0, 0.5)
    return env.robot.world_from_base


def test_drives_straight_at_the_commanded_speed(exact_env):
    start = at_origin(exact_env)
    drive(exact_env, 0.3, 0.0, 1.0)
    assert exact_env.robot.speed_mps == pytest.approx(0.3, rel=0.02)
    drive(exact_env, 0.3, 0.0, 2.0)
    moved = exact_env.robot.world_from_base.relative_to(start)
    # The ramp and the lag cost a little more than 0.3 m/s * (0.15 s + 0.06 s).
    assert moved.x == pytest.approx(0.9 - 0.063, abs=0.02)
    assert abs(moved.y) < 0.002
    assert abs(moved.yaw) < 0.002


def test_turns_at_the_commanded_rate(exact_env):
    start = at_origin(exact_env)
    drive(exact_env, 0.0, 0.5, 3.0)
    moved = exact_env.robot.world_from_base.relative_to(start)
    assert moved.yaw == pytest.approx(1.5 - 0.5 * (0.0625 + 0.06), abs=0.06)
    assert moved.distance < 0.01


def test_stops_within_the_acceleration_limit_and_stays(exact_env):
    at_origin(exact_env)
    drive(exact_env, 0.4, 0.0, 2.0)
    before = exact_env.robot.world_from_base
    drive(exact_env, 0.0, 0.0, 1.0)
    stopped = exact_env.robot.world_from_base
    # v^2 / 2a and the way during the lag.
    assert stopped.relative_to(before).x == pytest.approx(0.08 + 0.024, abs=0.02)
    drive(exact_env, 0.0, 0.0, 2.0)
    assert exact_env.robot.world_from_base.relative_to(stopped).distance < 1e-4
    assert exact_env.robot.speed_mps < 1e-4


def test_commands_are_clipped_to_the_limits(exact_env):
    at_origin(exact_env)
    drive(exact_env, 5.0, 0.0, 1.5)
    assert exact_env.robot.speed_mps == pytest.approx(0.5, rel=0.02)


def test_energy_is_not_made_from_nothing(exact_env):
    at_origin(exact_env)
    drive(exact_env, 0.4, 0.8, 1.0)
    speeds = []
    for _ in range(30):
        drive(exact_env, 0.0, 0.0, 0.05)
        speeds.append(exact_env.robot.speed_mps)
    assert max(speeds[8:]) < 0.05
    assert speeds[-1] < 1e-3


def test_odometry_without_errors_follows_the_truth(exact_env):
    start = exact_env.robot.world_from_base
    drive(exact_env, 0.3, 0.0, 1.0)
    drive(exact_env, -0.2, 0.3, 2.0)
    truth = exact_env.robot.world_from_base.relative_to(start)
    estimate = exact_env.robot.odometry.pose
    assert math.hypot(estimate.x - truth.x, estimate.y - truth.y) < 0.01
    assert abs(estimate.yaw - truth.yaw) < 0.02


def test_odometry_drifts_by_the_wheel_errors():
    drifts = []
    physics = dataclasses.replace(EXACT.physics, wheel_radius_error=0.005, track_error=0.01)
    ranges = dataclasses.replace(EXACT, physics=physics)
    env = DockingEnv(SuiteConfig("drifting", STRAIGHT_START, ranges), render=False)
    for seed in range(6):
        env.reset(seed=seed)
        start = env.robot.world_from_base
        drive(env, -0.3, 0.0, 4.0)
        truth = env.robot.world_from_base.relative_to(start)
        estimate = env.robot.odometry.pose
        drifts.append(math.hypot(estimate.x - truth.x, estimate.y - truth.y))
    env.close()
    # 1.2 m with 0.5 % in length, and (0.01 * 1.2 m / 0.36 m) rad in heading at most.
    assert max(drifts) < 1.2 * 0.005 + 0.5 * 1.2 * 0.034 + 0.005
    assert np.median(drifts) > 0.001


def test_wheel_speed_is_what_the_encoders_say(exact_env):
    at_origin(exact_env)
    drive(exact_env, 0.3, 0.0, 1.5)
    left, right = exact_env.robot.wheel_speeds_radps
    assert left == pytest.approx(0.3 / 0.075, rel=0.02)
    assert right == pytest.approx(left, rel=0.01)
    assert exact_env.robot.odometry.linear_mps == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize("action", [[0.1], [0.1, np.nan], [np.inf, 0.0], [[0.1, 0.0, 0.0]]])
def test_an_action_that_is_no_command_is_refused(exact_env, action):
    with pytest.raises(SimulationError, match="expected two finite numbers"):
        exact_env.step(np.array(action))


def test_use_before_reset_is_refused():
    env = DockingEnv(render=False)
    with pytest.raises(SimulationError, match="reset"):
        env.step(np.zeros(2))
    env.close()
