"""Equal seeds give equal episodes bit for bit."""

import numpy as np

from vla_simulation.controllers.expert import expert_action
from vla_simulation.controllers.noise import ActionNoise
from vla_simulation.environment import DockingEnv


def episode(env, seed, steps=40):
    observation, _ = env.reset(seed=seed)
    noise = ActionNoise(seed=seed)
    frames = [observation]
    for _ in range(steps):
        action = noise.disturb(*expert_action(env.truth.dock_from_base))
        frames.append(env.step(np.array(action))[0])
    return frames, env.truth, env.instruction


def assert_equal(first, second):
    for a, b in zip(first[0], second[0], strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
    assert repr(first[1]) == repr(second[1])  # repr, because NaN differs from itself
    assert first[2] == second[2]


def test_equal_seeds_are_equal_bit_for_bit_whatever_ran_before(rendering_env):
    first = episode(rendering_env, 7)
    episode(rendering_env, 8)
    assert_equal(first, episode(rendering_env, 7))


def test_equal_seeds_are_equal_in_another_environment(rendering_env):
    other = DockingEnv("nominal", render=True)
    try:
        assert_equal(episode(rendering_env, 9, 15), episode(other, 9, 15))
    finally:
        other.close()


def test_rendering_changes_nothing_but_the_image(rendering_env, blind_env):
    seen, blind = rendering_env.reset(seed=3)[0], blind_env.reset(seed=3)[0]
    np.testing.assert_array_equal(seen["odometry"], blind["odometry"])
    assert rendering_env.truth == blind_env.truth or repr(rendering_env.truth) == repr(
        blind_env.truth
    )


def test_other_seeds_differ(rendering_env):
    first, second = rendering_env.reset(seed=1)[0], rendering_env.reset(seed=2)[0]
    assert not np.array_equal(first["image"], second["image"])
    assert not np.array_equal(first["scan"], second["scan"])


def test_pictures_for_people_do_not_disturb_an_episode(rendering_env):
    first = episode(rendering_env, 11, 10)
    rendering_env.reset(seed=11)
    for view in ("chase", "top"):
        rendering_env.render_view(view, (64, 36))
    assert_equal(first, episode(rendering_env, 11, 10))
