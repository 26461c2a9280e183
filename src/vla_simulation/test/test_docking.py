"""Contacts, charging and what counts as docked."""

import numpy as np
import pytest

from vla_core.geometry import Pose2D
from vla_simulation.controllers.expert import expert_action
from vla_simulation.controllers.noise import ActionNoise
from vla_simulation.opengl import mujoco


def run(env, seed, noise=None):
    env.reset(seed=seed)
    while True:
        action = expert_action(env.truth.dock_from_base)
        if noise is not None:
            action = noise.disturb(*action)
        _, _, terminated, truncated, info = env.step(np.array(action))
        assert not info["charging"] or info["contact"]
        if terminated or truncated:
            return info


def place(env, x, y, yaw):
    env.robot.place(env.scene.world_from_dock @ Pose2D(x, y, yaw))
    for _ in range(10):
        env.advance(np.zeros(2))


def plate_forces(env):
    """Normal force on the left and on the right charging plate [N]."""
    model, data = env._model, env._data
    forces = {"left": 0.0, "right": 0.0}
    for number, contact in enumerate(data.contact):
        names = {model.geom(geom).name for geom in contact.geom}
        for side in forces:
            if f"{side}_pin" in names and f"station_0_{side}_plate" in names:
                wrench = np.zeros(6)
                mujoco.mj_contactForce(model, data, number, wrench)
                forces[side] += wrench[0]
    return list(forces.values())


@pytest.mark.parametrize("seed", range(5))
def test_the_expert_docks_precisely_and_gently(blind_env, seed):
    info = run(blind_env, seed)
    assert info["docked"]
    assert info["precise"]
    assert info["contact"]
    assert not info["collision"]
    assert 4.0 < info["time_s"] < 15.0
    assert abs(info["dock_from_base"].y) < 0.003
    assert info["contact_speed_mps"] < 0.05


def test_the_expert_recovers_from_disturbances(blind_env):
    docked = [run(blind_env, seed, ActionNoise(seed=seed))["docked"] for seed in range(8)]
    assert sum(docked) >= 7


def test_a_docked_robot_stays_docked_and_is_charged(blind_env):
    run(blind_env, 0)
    before = blind_env.robot.battery_percentage
    for _ in range(60):
        action = np.array(expert_action(blind_env.truth.dock_from_base))
        assert (action == 0.0).all()
        blind_env.advance(action)
    assert blind_env.truth.docked
    assert blind_env.truth.charging
    assert blind_env.robot.battery_percentage > before


def test_mating_needs_both_pins_on_their_plates(exact_env):
    for y, mated in ((0.0, True), (0.010, True), (-0.010, True), (0.040, False)):
        exact_env.reset(seed=1)
        place(exact_env, -0.02, y, 0.0)
        assert not exact_env.truth.mated
        for _ in range(30):
            exact_env.advance(np.array([0.03, 0.0]))
        assert exact_env.truth.mated is mated, f"lateral {y}"
        assert exact_env.truth.charging is mated


def test_a_robot_in_front_of_the_plates_is_not_charged(exact_env):
    place(exact_env, -0.015, 0.0, 0.0)
    assert not exact_env.truth.mated
    assert not exact_env.truth.charging
    assert not exact_env.truth.collision


def test_the_buffers_stop_a_robot_that_pushes_on_without_a_collision(exact_env):
    place(exact_env, -0.05, 0.0, 0.0)
    for _ in range(60):
        exact_env.advance(np.array([0.05, 0.0]))
    truth = exact_env.truth
    assert truth.mated
    assert not truth.collision
    assert 0.005 < truth.dock_from_base.x < 0.015


def test_the_pins_push_back_by_their_springs_but_do_not_push_the_robot_out(exact_env):
    place(exact_env, -0.05, 0.0, 0.0)
    while exact_env.truth.dock_from_base.x < -0.001:
        exact_env.advance(np.array([0.02, 0.0]))
    for _ in range(20):
        exact_env.advance(np.zeros(2))
    rest = exact_env.truth.dock_from_base.x
    for _ in range(60):
        exact_env.advance(np.zeros(2))
    assert abs(exact_env.truth.dock_from_base.x - rest) < 2e-4
    # Preload and 400 N/m over the compression of 5 mm plus what the robot went on.
    expected = 1.5 + 400 * (0.005 + rest)
    assert plate_forces(exact_env) == pytest.approx([expected, expected], rel=0.1)


def test_driving_into_the_station_askew_is_a_collision(exact_env):
    place(exact_env, -0.25, 0.20, 0.0)
    for _ in range(60):
        exact_env.advance(np.array([0.2, 0.0]))
    assert exact_env.truth.collision
    assert "station_0" in exact_env.truth.collision_with
    assert not exact_env.truth.docked


def test_driving_into_a_wall_is_a_collision(exact_env):
    exact_env.robot.place(Pose2D(0.0, 3.2, 1.5708))
    for _ in range(60):
        exact_env.advance(np.array([0.3, 0.0]))
    assert exact_env.truth.collision
    assert "wall" in exact_env.truth.collision_with


def test_standing_beside_the_dock_is_not_docked(exact_env):
    place(exact_env, -0.05, 0.0, 0.0)
    for _ in range(30):
        exact_env.advance(np.zeros(2))
    assert not exact_env.truth.docked


@pytest.mark.parametrize("seed", range(3))
def test_an_episode_that_begins_docked_can_be_left_and_docked_again(blind_env, seed):
    env = blind_env
    _, info = env.reset(seed=seed, options={"start": "docked"})
    assert info["contact"]
    assert info["charging"]
    assert info["dock_from_base"].distance < 1e-3
    for _ in range(20):  # docked, but the episode goes on
        _, _, terminated, _, info = env.step(np.zeros(2))
        assert not terminated
    assert info["docked"]
    for _ in range(90):
        _, _, terminated, _, info = env.step(np.array([-0.15, 0.0]))
        assert not terminated, info["collision_with"]
    assert not info["contact"]
    assert not info["charging"]
    assert info["dock_from_base"].x < -0.5
    while not terminated:
        action = np.array(expert_action(env.truth.dock_from_base))
        _, _, terminated, _, info = env.step(action)
        assert info["time_s"] < 25.0
    assert info["docked"]


def test_a_mated_pin_presses_by_its_spring_at_every_depth(exact_env):
    """Contact force against compression: preload and stiffness of the spring, nothing else."""
    robot = exact_env.config.robot
    pins = [exact_env._model.joint(f"{side}_pin").qposadr[0] for side in ("left", "right")]
    place(exact_env, -0.02, 0.0, 0.0)
    points = []
    while exact_env.truth.dock_from_base.x < 0.003:
        for _ in range(6):
            exact_env.advance(np.array([0.01, 0.0]))
        for _ in range(12):
            exact_env.advance(np.zeros(2))
        if exact_env.truth.mated:
            depth = -exact_env._data.qpos[pins]
            points += list(zip(depth, plate_forces(exact_env), strict=True))
    depths, forces = np.array(points).T
    assert depths.max() - depths.min() > 0.004
    expected = robot.pin_preload_n + robot.pin_stiffness_npm * depths
    np.testing.assert_allclose(forces, expected, rtol=0.05)
    assert forces.max() < robot.pin_preload_n + robot.pin_stiffness_npm * robot.pin_travel_m
