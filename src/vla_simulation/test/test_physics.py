"""The base drives, stops and drifts as a real one."""

import dataclasses
import math

import numpy as np
import pytest
from simulation_scenes import EXACT, STRAIGHT_START

from vla_core.geometry import Pose2D
from vla_simulation.config import RobotConfig
from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.opengl import mujoco
from vla_simulation.robot.drive import CommandLine, DriveParameters, WheelMotors
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


def test_the_motors_do_the_work_that_the_robot_has_as_motion(exact_env):
    """Energy: what the base carries as kinetic energy was put in by the motors, and more."""
    at_origin(exact_env)
    exact_env.robot.command(0.4, 0.0)
    work_j = 0.0
    for _ in range(200):
        exact_env.robot.step()
        torques, speeds = exact_env._data.ctrl, exact_env.robot.wheel_speeds_radps
        work_j += (torques[0] * speeds[0] + torques[1] * speeds[1]) * 0.005
    mass_kg = exact_env._model.body_subtreemass[1:].max()
    kinetic_j = 0.5 * mass_kg * exact_env.robot.speed_mps**2
    gear_j = 2 * 0.6 * 0.4 * 0.9 / 0.075  # friction of both gears over the way
    assert kinetic_j == pytest.approx(0.5 * 40.5 * 0.16, rel=0.05)
    assert kinetic_j < work_j < kinetic_j + 1.5 * gear_j


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


def with_physics(**changes):
    """An environment without errors but these."""
    physics = dataclasses.replace(EXACT.physics, **changes)
    ranges = dataclasses.replace(EXACT, physics=physics)
    return DockingEnv(SuiteConfig("changed", STRAIGHT_START, ranges), render=False)


def test_odometry_drifts_within_its_model():
    """Straight drives: the errors of wheel radii and nothing else decide length and heading."""
    radius_error, track = 0.005, 0.36
    env = with_physics(wheel_radius_error=radius_error)
    lengths, headings = [], []
    for seed in range(30):
        env.reset(seed=seed)
        start = env.robot.world_from_base
        drive(env, -0.3, 0.0, 4.0)
        drive(env, 0.0, 0.0, 0.5)
        truth = env.robot.world_from_base.relative_to(start)
        estimate = env.robot.odometry.pose
        travelled = abs(truth.x)
        # In units of the largest error that the model allows. Under load the tyres roll on a
        # radius that is 0.15 mm smaller, for odometry as for a real robot a constant.
        lengths.append((abs(estimate.x) / travelled - 1.002) / radius_error)
        headings.append((estimate.yaw - truth.yaw) / (2 * radius_error * travelled / track))
    env.close()
    for errors in (np.array(lengths), np.array(headings)):
        assert np.abs(errors).max() < 1.05
        # Mean of two uniform errors, and half their difference: a triangle, of deviation 0.41.
        assert errors.std() == pytest.approx(1 / math.sqrt(6), rel=0.3)
        assert abs(errors.mean()) < 0.25


def test_odometry_of_turns_drifts_by_the_track_error():
    env = with_physics(track_error=0.02)
    ratios = []
    for seed in range(12):
        env.reset(seed=seed)
        at_origin(env)
        before = env.robot.odometry.pose
        start = env.robot.world_from_base
        drive(env, 0.0, 0.6, 4.0)
        drive(env, 0.0, 0.0, 0.5)
        truth = env.robot.world_from_base.relative_to(start)
        estimate = env.robot.odometry.pose.relative_to(before)
        ratios.append(estimate.yaw / truth.yaw - 1.0)
    env.close()
    assert np.abs(ratios).max() < 0.02 + 0.004  # tyres creep a little as well
    assert np.std(ratios) == pytest.approx(0.02 / math.sqrt(3), rel=0.5)


@pytest.mark.parametrize("latency_s", [0.0, 0.04, 0.2])
def test_a_command_acts_after_its_latency(latency_s):
    env = with_physics(command_latency_s=(latency_s, latency_s))
    env.reset(seed=1)
    env.robot.command(-0.3, 0.0)
    moved = 0
    while abs(env.robot.wheel_speeds_radps[0]) < 1e-3:
        env.robot.step()
        moved += 1
    env.close()
    assert 1 <= moved - round(latency_s * 200) <= 5  # the gear breaks away


def test_commands_queue_up_in_their_order():
    line = CommandLine()
    line.reset(3)
    line.send(0.1, 0.0)
    received = [line.receive()[0] for _ in range(2)]
    line.send(0.2, 0.0)
    received += [line.receive()[0] for _ in range(5)]
    assert received == [0.0, 0.0, 0.0, 0.1, 0.1, 0.2, 0.2]


def test_commands_within_the_deadband_do_nothing():
    env = with_physics(linear_deadband_mps=(0.004, 0.004), angular_deadband_radps=(0.008, 0.008))
    env.reset(seed=1)
    for command, moves in (((0.0039, 0.0079), False), ((0.0041, 0.0), True), ((0.0, 0.0081), True)):
        start = at_origin(env)
        drive(env, *command, 3.0)
        moved = env.robot.world_from_base.relative_to(start)
        assert (moved.distance > 0.005 or abs(moved.yaw) > 0.01) is moves, command
    env.close()


def test_motors_give_no_more_than_their_torque():
    motors = WheelMotors(RobotConfig())
    motors.reset(DriveParameters(torque_limit_nm=2.5))
    for _ in range(400):
        torques = motors.torques(0.5, 0.0, 0.0, 0.0)  # wheels that are held
        assert max(map(abs, torques)) <= 2.5
    assert torques == (2.5, 2.5)


def floor_load_n(env):
    """What the floor carries."""
    model, data = env._model, env._data
    floor, wrench, load = model.geom("floor").id, np.zeros(6), 0.0
    for number, contact in enumerate(data.contact):
        if floor in contact.geom:
            mujoco.mj_contactForce(model, data, number, wrench)
            load += wrench[0]
    return load


@pytest.mark.parametrize("payload_kg", [0.01, 20.0, 80.0])
def test_the_floor_carries_robot_and_payload(payload_kg):
    env = with_physics(payload_kg=(payload_kg, payload_kg), payload_offset_m=0.05)
    env.reset(seed=1)
    drive(env, 0.0, 0.0, 0.5)
    mass_kg = 38.0 + 2 * 1.2 + 2 * 0.05 + payload_kg
    assert env._model.body_subtreemass[env._model.body("base_link").id] == pytest.approx(mass_kg)
    assert floor_load_n(env) == pytest.approx(mass_kg * 9.81, rel=0.01)
    assert env._model.stat.extent == 10.0  # the renderer's clipping planes hang on it
    env.close()


def test_a_payload_is_felt_by_weak_motors():
    travelled = []
    for payload_kg in (0.0, 80.0):
        env = with_physics(payload_kg=(payload_kg, payload_kg), torque_share=(0.3, 0.3))
        env.reset(seed=1)
        start = at_origin(env)
        drive(env, 0.5, 0.0, 0.5)
        travelled.append(env.robot.world_from_base.relative_to(start).x)
        env.close()
    # 2 motors of 1.8 N m less the gear's friction pull 32 N: 0.8 m/s² empty, 0.27 m/s² loaded.
    assert travelled[1] < 0.5 * travelled[0]


def test_the_tyres_pull_no_more_than_friction_allows():
    """Wheels spin on ice: the base accelerates by less than friction times gravity."""
    friction = 0.05
    env = with_physics(friction=(friction, friction))
    env.reset(seed=1)
    start = at_origin(env)
    drive(env, 0.5, 0.0, 0.6)
    moved = env.robot.world_from_base.relative_to(start).x
    assert 0.01 < moved < 0.5 * friction * 9.81 * 0.6**2
    wheels = env.robot.wheel_speeds_radps[0] * 0.075
    assert wheels > env.robot.speed_mps + 0.05
    assert env.robot.odometry.pose.x > moved + 0.02  # the encoders do not know
    env.close()


def test_tyres_that_differ_turn_a_slipping_robot():
    env = with_physics(friction=(0.06, 0.06), friction_difference=0.3)
    turned = []
    for seed in range(6):
        env.reset(seed=seed)
        start = at_origin(env)
        drive(env, 0.5, 0.0, 1.0)
        turned.append(abs(env.robot.world_from_base.relative_to(start).yaw))
    env.close()
    assert max(turned) > 0.01


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
