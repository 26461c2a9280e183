"""One scene, several goals: what changes with the sentence, and what docking elsewhere means."""

import numpy as np
import pytest

from vla_core.geometry import Pose2D
from vla_core.keys import SCAN
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.scenes.options import EpisodeOptions


@pytest.fixture(scope="module")
def seeds(blind_env):
    """The first seed with one, two and three stations."""
    found = {}
    for seed in range(100):
        _, info = blind_env.reset(seed=seed)
        found.setdefault(info["station_count"], seed)
    return found


def drive_to(env, station, limit_s=30.0):
    """Have the expert drive to a station, whichever is commanded."""
    world_from_dock = env.scene.stations[station].world_from_dock
    while True:
        pose = env.robot.world_from_base.relative_to(world_from_dock)
        _, reward, terminated, truncated, info = env.step(np.array(expert_action(pose)))
        if terminated or truncated or info["time_s"] > limit_s:
            return reward, terminated, info


def test_another_goal_changes_nothing_but_goal_and_sentence(rendering_env, seeds):
    env = rendering_env
    first, info = env.reset(seed=seeds[3])
    scene, base = env.scene, env.truth.world_from_base
    for goal in range(3):
        observation, other = env.reset(seed=seeds[3], options={"goal": goal})
        for key in first:
            np.testing.assert_array_equal(first[key], observation[key])
        assert env.truth.world_from_base == base
        assert env.scene == scene.with_goal(goal)
        assert other["goal"] == goal
        assert (other["instruction"] == info["instruction"]) == (goal == info["goal"])
        for _ in range(3):  # and goes on to change nothing
            observation = env.step(np.array([0.2, 0.1]))[0]
        if goal == 0:
            later = observation
        for key in later:
            np.testing.assert_array_equal(later[key], observation[key])


def test_swap_commands_the_next_station(blind_env, seeds):
    for count in (2, 3):
        _, drawn = blind_env.reset(seed=seeds[count])
        _, swapped = blind_env.reset(seed=seeds[count], options={"goal": "swap"})
        assert swapped["goal"] == (drawn["goal"] + 1) % count
        assert swapped["instruction"] != drawn["instruction"]
        _, again = blind_env.reset(seed=seeds[count])  # for one episode only
        assert again["goal"] == drawn["goal"]


def test_a_lone_station_cannot_be_swapped(blind_env, seeds):
    with pytest.raises(SimulationError, match="scene with one station, expected two or more: take"):
        blind_env.reset(seed=seeds[1], options={"goal": "swap"})


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_expert_docks_at_every_station(blind_env, seeds, count):
    for goal in range(count):
        blind_env.reset(seed=seeds[count], options={"goal": goal})
        reward, terminated, info = drive_to(blind_env, goal)
        assert terminated
        assert info["docked"]
        assert info["docked_station"] == goal
        assert info["contact"]
        assert not info["wrong_station"]
        assert not info["collision"]
        assert reward == pytest.approx(1.0, abs=0.1)


def test_docking_at_a_wrong_station_ends_the_episode_without_success(blind_env, seeds):
    blind_env.reset(seed=seeds[2], options={"goal": 0})
    reward, terminated, info = drive_to(blind_env, 1)
    assert terminated
    assert info["wrong_station"]
    assert info["docked_station"] == 1
    assert not info["docked"]
    assert not info["precise"]
    assert not info["collision"]  # its contacts are contacts as good as the others'
    assert info["contact"]
    assert info["charging"]  # a charger does not ask who was sent
    assert reward < 0.5


def test_an_episode_can_begin_in_the_dock(blind_env, seeds):
    for goal in range(2):
        _, info = blind_env.reset(seed=seeds[2], options={"goal": goal, "start": "docked"})
        assert abs(info["dock_from_base"].x) < 0.005
        assert abs(info["dock_from_base"].y) < 0.003
        assert not info["collision"]
        blind_env.step(np.zeros(2))
        assert blind_env.truth.mated
        while blind_env.truth.dock_from_base.x > -0.6:
            info = blind_env.step(np.array([-0.2, 0.0]))[4]
            assert info["time_s"] < 10.0
        assert not info["collision"]
        assert not info["contact"]


def test_an_unused_station_is_out_of_sight_and_reach(blind_env, seeds):
    """A body that is not in the scene gives the scanner nothing to see."""
    blind_env.reset(seed=seeds[1])
    lone = blind_env.scene.goal_station
    blind_env.set_base_pose(lone.world_from_dock @ Pose2D(-1.2, 0.0, 0.0))
    observation = blind_env.step(np.zeros(2))[0]
    assert np.isfinite(observation[SCAN]).sum() > 100
    heights = [blind_env._data.mocap_pos[blind_env._model.body(f"station_{k}").mocapid[0], 2]
               for k in range(3)]  # fmt: skip
    assert heights[0] == 0.0
    assert max(heights[1:]) < -5.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"goals": 1}, "option 'goals' of reset.. is unknown, expected one of: suite, goal,"),
        ({"goal": "left"}, "option 'goal' of reset.. is 'left'"),
        ({"goal": True}, "option 'goal' of reset.. is True"),
        ({"start": "there"}, "option 'start' of reset.. is 'there', expected 'docked'"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(SimulationError, match=said) as error:
        EpisodeOptions.of(options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("goal", [-1, 2, 7])
def test_a_goal_beyond_the_stations_is_refused(blind_env, seeds, goal):
    with pytest.raises(SimulationError, match=f"goal {goal} in a scene with 2 stations"):
        blind_env.reset(seed=seeds[2], options={"goal": goal})


def test_options_of_one_environment_are_none_of_another():
    env = DockingEnv("nominal", render=False)
    try:
        env.reset(seed=1, options={"markers": True})
        assert env.scene.markers
        env.reset(seed=1)
        assert not env.scene.markers
    finally:
        env.close()
