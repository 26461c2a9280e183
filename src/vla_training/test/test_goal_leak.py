"""The probe that looks for leaks of the goal finds planted ones and no others."""

import dataclasses

import numpy as np
import pytest

from vla_training.benchmarks.goal_leak import (
    PROBES,
    StartViews,
    compare_with_chance,
    probe_accuracy,
)


@pytest.fixture
def noise():
    """Views that show nothing, with goals by a fair coin."""
    rng = np.random.default_rng(3)
    counts = rng.integers(2, 4, 400)
    goals = np.floor(rng.random(400) * counts).astype(np.int64)
    return StartViews(
        images=rng.random((400, 3, 8, 16), np.float32),
        scans=rng.random((400, 12), np.float32),
        states=rng.standard_normal((400, 8)).astype(np.float32),
        counts=counts,
        goals=goals,
        faced=goals,
    )


def test_what_the_probes_see():
    views = StartViews.draw(10)
    assert views.images.shape == (10, 3, 60, 80)
    assert 0.2 < views.images.max() <= 1.0
    assert 0.0 < views.scans.max() <= 1.0
    assert set(views.counts) <= {2, 3}
    assert np.all((views.goals < views.counts) & (views.faced < views.counts))


@pytest.mark.parametrize("probe", PROBES)
def test_a_planted_leak_is_found(noise, probe):
    states, images = np.array(noise.states), np.array(noise.images)
    states[:, 5] += 2.0 * (noise.goals - 1)
    for index, goal in enumerate(noise.goals):
        images[index, 0, :, 5 * goal : 5 * goal + 3] += 0.5
    leaking = dataclasses.replace(noise, states=states, images=images)
    right = probe_accuracy(leaking, leaking.goals, probe)
    assert compare_with_chance(right, leaking.counts)["p_value"] < 1e-3


@pytest.mark.parametrize("probe", PROBES)
def test_without_a_leak_they_guess(noise, probe):
    right = probe_accuracy(noise, noise.goals, probe)
    assert compare_with_chance(right, noise.counts)["p_value"] > 1e-3


def test_against_chance():
    counts = np.array([2] * 50 + [3] * 50)
    chance = 50 / 2 + 50 / 3
    guessed = compare_with_chance(round(chance), counts)
    assert guessed["chance"] == pytest.approx(chance / 100, abs=1e-4)
    assert 0.4 < guessed["p_value"] < 0.6
    assert guessed["wilson_low"] < guessed["accuracy"] < guessed["wilson_high"]
    assert compare_with_chance(70, counts)["p_value"] < 1e-4
    assert compare_with_chance(25, counts)["p_value"] > 0.99
