import numpy as np
import pytest

from vla_simulation.controllers.noise import ActionNoise, NoiseParameters

FIXED = NoiseParameters(min_level=1.0, max_level=1.0)


def sequence(noise, steps, command=(0.3, 0.0)):
    return np.array([noise.disturb(*command) for _ in range(steps)])


def test_equal_seeds_give_equal_noise():
    np.testing.assert_array_equal(
        sequence(ActionNoise(seed=3), 50), sequence(ActionNoise(seed=3), 50)
    )
    assert not np.array_equal(sequence(ActionNoise(seed=3), 50), sequence(ActionNoise(seed=4), 50))


def test_reset_begins_the_same_episode_again():
    noise = ActionNoise(seed=3)
    first = sequence(noise, 20)
    noise.reset(3)
    np.testing.assert_array_equal(first, sequence(noise, 20))


def test_spread_and_correlation_are_as_configured():
    samples = sequence(ActionNoise(FIXED, seed=1), 40_000) - (0.3, 0.0)
    assert samples.std(axis=0) == pytest.approx(
        (FIXED.linear_std_mps, FIXED.angular_std_radps), rel=0.1
    )
    lag = round(FIXED.correlation_time_s / 0.05)
    correlation = np.corrcoef(samples[:-lag, 0], samples[lag:, 0])[0, 1]
    assert correlation == pytest.approx(np.exp(-1.0), abs=0.06)


def test_a_resting_robot_is_left_alone():
    assert sequence(ActionNoise(seed=1), 10, (0.0, 0.0)).any() == np.False_


def test_near_the_dock_the_noise_is_small():
    samples = sequence(ActionNoise(FIXED, seed=1), 2000, (0.005, 0.0)) - (0.005, 0.0)
    assert samples[:, 0].std() < 0.006
    assert samples[:, 1].std() < 0.08


def test_scale_multiplies():
    full = sequence(ActionNoise(FIXED, seed=1, scale=1.0), 20) - (0.3, 0.0)
    half = sequence(ActionNoise(FIXED, seed=1, scale=0.5), 20) - (0.3, 0.0)
    np.testing.assert_allclose(half, 0.5 * full, atol=1e-12)
