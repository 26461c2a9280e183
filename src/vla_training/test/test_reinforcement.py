"""The parts of fine-tuning, each against its definition."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from small_policies import random_batch, small_checkpoint

from vla_core import keys
from vla_core.geometry import Pose2D
from vla_training.evaluation.compare import SuccessComparison, SuiteComparison
from vla_training.models import Policy
from vla_training.reinforcement.advantages import generalized_advantages
from vla_training.reinforcement.config import VerdictConfig, load_finetune_config
from vla_training.reinforcement.driving import Trajectory
from vla_training.reinforcement.experience import Experience
from vla_training.reinforcement.exploration import NoiseConfig, SmoothNoise, steps_used
from vla_training.reinforcement.fused_policy import FEATURES, FusedPolicy, train_only
from vla_training.reinforcement.objective import clipped_share, sampled_divergence, surrogate
from vla_training.reinforcement.plan import plan_iteration, remember_failures
from vla_training.reinforcement.reward import (
    RewardConfig,
    discounts_of,
    dock_error_m,
    potential,
    shaping,
)
from vla_training.reinforcement.verdict import decide

FIELDS = ("linear.x", "angular.z")
STEPS, PERIOD_S = 10, 0.05


# --- advantages


def test_advantages_are_the_weighted_sum_of_the_errors_ahead():
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=7), rng.normal(size=8)
    discounts, decay = rng.uniform(0.8, 1.0, 7), 0.9
    errors = rewards + discounts * values[1:] - values[:-1]
    expected = [
        sum(errors[m] * math.prod(discounts[k:m].tolist()) * decay ** (m - k) for m in range(k, 7))
        for k in range(7)
    ]
    np.testing.assert_allclose(
        generalized_advantages(rewards, values, discounts, decay), expected, atol=1e-12
    )


def test_without_decay_advantages_are_the_return_minus_the_value():
    rewards, values = np.array([1.0, 2.0, 4.0]), np.array([5.0, 6.0, 7.0, 10.0])
    discounts = np.array([0.5, 0.5, 0.5])
    returns = np.array([1 + 0.5 * (2 + 0.5 * (4 + 5)), 2 + 0.5 * (4 + 5), 4 + 5])
    advantages = generalized_advantages(rewards, values, discounts, 1.0)
    np.testing.assert_allclose(advantages, returns - values[:3])
    one_step = generalized_advantages(rewards, values, discounts, 0.0)
    np.testing.assert_allclose(one_step, rewards + 0.5 * values[1:] - values[:3])


# --- shaping


@pytest.mark.parametrize("terminal", [True, False])
def test_shaping_sums_to_the_difference_of_the_ends_whatever_is_between(terminal):
    rng = np.random.default_rng(1)
    potentials = rng.normal(size=12)
    ticks = rng.integers(1, 9, 11)
    discounts = discounts_of(ticks, PERIOD_S, 3.0)
    before = np.concatenate([[1.0], np.cumprod(discounts)[:-1]])
    total = (before * shaping(potentials, discounts, terminal=terminal)).sum()
    last = 0.0 if terminal else math.exp(-ticks.sum() * PERIOD_S / 3.0) * potentials[-1]
    assert total == pytest.approx(last - potentials[0], abs=1e-12)


def test_the_potential_rises_to_the_dock_and_weighs_what_docking_asks_for():
    config = RewardConfig()
    distances = [2.0, 1.0, 0.5, 0.1, 0.01, 0.0]
    values = [potential(Pose2D(-x, 0.0, 0.0), config) for x in distances]
    assert values == sorted(values)
    assert values[-1] == 0.0
    ahead, aside = Pose2D(-0.01, 0.0, 0.0), Pose2D(0.0, 0.01, 0.0)
    assert dock_error_m(aside, config) == pytest.approx(2.0 * dock_error_m(ahead, config))
    mirrored = Pose2D(-0.3, -0.1, 0.2), Pose2D(-0.3, 0.1, -0.2)
    assert potential(mirrored[0], config) == potential(mirrored[1], config)


# --- exploration


def make_noise(used: slice = slice(1, 10), **overrides: object) -> SmoothNoise:
    config = dataclasses.replace(NoiseConfig(), **overrides)
    spread = torch.tensor([0.2, 0.5])
    return SmoothNoise(config, FIELDS, spread, STEPS, used, PERIOD_S)


@pytest.mark.parametrize("used", [slice(0, 10), slice(1, 10), slice(2, 5)])
def test_the_likelihood_is_that_of_a_gaussian_over_the_steps_that_are_executed(used):
    noise = make_noise(used)
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(3, STEPS, 2, generator=generator)
    scale = torch.rand(3, STEPS, 2, generator=generator) + 0.1
    chunk = noise.draw(mean, scale, generator)
    apart = np.abs(np.subtract.outer(np.arange(STEPS), np.arange(STEPS)))
    kernel = torch.from_numpy(np.exp(-apart * PERIOD_S / 0.3))
    expected = torch.zeros(3, dtype=torch.float64)
    for component in range(2):
        deviations = scale[:, :, component].double()
        covariance = deviations[:, :, None] * kernel * deviations[:, None, :]
        gaussian = torch.distributions.MultivariateNormal(
            mean[:, used, component].double(), covariance[:, used, used]
        )
        expected += gaussian.log_prob(chunk[:, used, component].double())
    found = noise.log_likelihood(chunk, mean, scale)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


def test_what_is_not_executed_changes_no_likelihood():
    noise = make_noise(slice(2, 6))
    mean, scale = torch.zeros(1, STEPS, 2), torch.ones(1, STEPS, 2)
    chunk = torch.randn(1, STEPS, 2, generator=torch.Generator().manual_seed(0))
    other = chunk.clone()
    other[:, :2], other[:, 6:] = 9.0, -9.0
    assert torch.equal(
        noise.log_likelihood(chunk, mean, scale), noise.log_likelihood(other, mean, scale)
    )
    other[:, 3] += 1.0
    assert noise.log_likelihood(chunk, mean, scale) != noise.log_likelihood(other, mean, scale)


def test_drawn_chunks_are_smooth_and_as_far_as_was_said():
    noise = make_noise(smooth_s=0.3)
    mean = torch.full((20_000, STEPS, 2), 0.5)
    scale = torch.full_like(mean, 0.4)
    drawn = noise.draw(mean, scale, torch.Generator().manual_seed(0))
    white = (drawn - mean) / scale
    assert white.std((0, 2)).tolist() == pytest.approx([1.0] * STEPS, abs=0.02)
    neighbours = (white[:, 1:] * white[:, :-1]).mean().item()
    far = (white[:, 9] * white[:, 0]).mean().item()
    assert neighbours == pytest.approx(math.exp(-0.05 / 0.3), abs=0.02)
    assert far == pytest.approx(math.exp(-0.45 / 0.3), abs=0.03)


def test_noise_grows_with_the_command_and_has_a_floor_in_si_units():
    noise = make_noise(linear_mps=0.01, angular_radps=0.03, relative=0.1)
    center = torch.tensor([0.1, 0.0])
    at_rest = torch.tensor([[[-0.5, 0.0]]]).expand(1, STEPS, 2)  # 0 m/s, 0 rad/s
    driving = torch.tensor([[[1.5, -1.0]]]).expand(1, STEPS, 2)  # 0.4 m/s, -0.5 rad/s
    spread = torch.tensor([0.2, 0.5])
    assert (noise.scale(at_rest, center) * spread)[0, 0].tolist() == pytest.approx([0.01, 0.03])
    assert (noise.scale(driving, center) * spread)[0, 0].tolist() == pytest.approx([0.05, 0.08])


def test_the_divergence_is_that_of_gaussians_of_equal_covariance():
    noise = make_noise()
    generator = torch.Generator().manual_seed(0)
    mean, other = torch.randn(2, 1, STEPS, 2, generator=generator)
    scale = torch.full_like(mean, 0.7)
    drawn = noise.draw(mean.expand(40_000, -1, -1), scale.expand(40_000, -1, -1), generator)
    wide = scale.expand_as(drawn)
    sampled = noise.log_likelihood(drawn, mean, wide) - noise.log_likelihood(drawn, other, wide)
    exact = noise.divergence(mean, other, scale).item()
    assert sampled.mean().item() == pytest.approx(exact, rel=0.03)
    assert noise.divergence(mean, mean, scale).item() == 0.0


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("receding_horizon", slice(1, 5)), ("real_time_chunking", slice(1, 10))],
)
def test_steps_count_that_may_be_executed(mode, expected):
    assert steps_used(mode, 1, 4, 10) == expected


# --- objective


def test_the_gradient_ends_where_the_ratio_is_clipped_and_only_on_that_side():
    log_ratio = torch.tensor([0.5, 0.5, -0.5, -0.5, 0.1]).requires_grad_(True)
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])
    gain = surrogate(log_ratio, advantages, 0.2)
    gain.sum().backward()
    e = math.exp
    assert gain.tolist() == pytest.approx([1.2, -e(0.5), e(-0.5), -0.8, e(0.1)])
    assert log_ratio.grad.tolist() == pytest.approx([0.0, -e(0.5), e(-0.5), 0.0, e(0.1)])
    assert clipped_share(log_ratio.detach(), 0.2).item() == pytest.approx(0.8)


def test_the_sampled_divergence_is_zero_for_equal_policies_and_else_positive():
    assert sampled_divergence(torch.zeros(5)).item() == 0.0
    assert sampled_divergence(torch.tensor([0.1, -0.3])).item() > 0.0


# --- the policy, entered at its fusion


def test_features_answer_as_the_observation_that_they_are_of():
    policy: Policy = small_checkpoint().policy()
    batch = random_batch(4)
    names = (*policy.stream_keys, keys.VALID, keys.INSTRUCTION)
    fused = FusedPolicy(policy)
    with torch.no_grad():
        whole = fused({name: batch[name] for name in names})
        again = fused({FEATURES: whole.features})
        actions = policy(*(batch[name] for name in names))
    assert torch.equal(whole.chunk, again.chunk)
    assert torch.equal(whole.fused, again.fused)
    assert whole.fused.shape == (4, fused.fused_size)
    assert torch.equal(policy.denormalize(whole.chunk), actions)


@pytest.mark.parametrize(
    ("groups", "moving"),
    [
        (("head",), {"head"}),
        (("head", "fusion"), {"head", "fusion"}),
        (("vision",), {"encoders"}),
        (("language",), {"language", "instruction_token"}),
    ],
)
def test_only_the_chosen_groups_train(groups, moving):
    policy = small_checkpoint().policy()
    chosen = train_only(policy, groups)
    names = {name.split(".")[0] for name, p in policy.named_parameters() if p.requires_grad}
    assert names == moving
    assert len(chosen) == sum(p.requires_grad for p in policy.parameters())
    if groups == ("vision",):
        assert not any(p.requires_grad for p in policy.encoders[keys.SCAN].parameters())


# --- episodes


def trajectory(number: int, states: int, outcome: str, seed: int = 0) -> Trajectory:
    rng = np.random.default_rng(number)
    shape = (states, STEPS, 2)
    return Trajectory(
        number=number,
        seed=seed,
        inputs={FEATURES: rng.normal(size=(states, 3, 4)).astype(np.float32)},
        chunks=rng.normal(size=shape).astype(np.float32),
        scales=np.ones(shape, np.float32),
        privileged=np.zeros((states, 7), np.float32),
        rewards=rng.normal(size=states),
        ticks=rng.integers(1, 5, states),
        potentials=rng.normal(size=states),
        outcome=outcome,
        precise=False,
        duration_s=1.0,
    )


def test_an_episode_that_was_left_is_judged_by_the_value_of_its_last_state():
    left, ended = trajectory(0, 3, "left"), trajectory(1, 2, "docked")
    both = Experience.of([left, ended])
    assert both.acted.tolist() == [True, True, False, True, True]
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    found = both.advantages(values, 10.0, 0.0).tolist()
    discounts = [discounts_of(each.ticks, PERIOD_S, 10.0) for each in (left, ended)]

    def error(episode: Trajectory, k: int, value: float, after: float, raised: float) -> float:
        discount = discounts[episode.number][k]
        shaped = episode.rewards[k] + discount * raised - episode.potentials[k]
        return shaped + discount * after - value

    assert found == pytest.approx(
        [
            error(left, 0, 1.0, 2.0, left.potentials[1]),
            error(left, 1, 2.0, 3.0, left.potentials[2]),
            0.0,
            error(ended, 0, 4.0, 5.0, ended.potentials[1]),
            error(ended, 1, 5.0, 0.0, 0.0),
        ],
        abs=1e-5,
    )


def test_an_iteration_takes_new_scenes_and_repeats_failed_ones(tmp_path):
    config = load_finetune_config(
        "a.pt", tmp_path, overrides=["drive.episodes=8", "drive.first_seed=100"]
    )
    first = plan_iteration(config, tmp_path, 0, [])
    assert [job.seed for job in first] == list(range(100, 108))
    assert sum(job.at_dock for job in first) == 4
    second = plan_iteration(config, tmp_path, 1, [3, 4, 5])
    assert {job.seed for job in second[:2]} < {3, 4, 5}
    assert [job.seed for job in second[2:]] == list(range(110, 116))
    assert second == plan_iteration(config, tmp_path, 1, [3, 4, 5])


def test_failures_are_remembered_until_they_are_passed():
    driven = [
        trajectory(0, 2, "timeout", seed=7),
        trajectory(1, 2, "docked", seed=5),
        trajectory(2, 2, "left", seed=9),
    ]
    assert remember_failures([4, 5], driven, 10) == [4, 7]
    assert remember_failures([4, 5], driven, 1) == [7]
    assert remember_failures([4, 5], driven, 0) == []


# --- verdict


def outcome_of(only_before: int, only_after: int, both: int = 90) -> SuccessComparison:
    pairs = [(True, True)] * both + [(True, False)] * only_before + [(False, True)] * only_after
    return SuccessComparison.of(pairs)


@pytest.mark.parametrize(
    ("own", "other", "kept", "word"),
    [
        ((0, 8), (1, 1), True, "kept: success"),
        ((2, 4), (1, 1), False, "no improvement is shown"),
        ((8, 0), (1, 1), False, "success became worse"),
        ((0, 8), (9, 0), False, "obedience became worse"),
    ],
)
def test_a_policy_is_kept_if_the_paired_test_says_so(own, other, kept, word):
    comparison = SuiteComparison(
        "nominal", ("a", "b"), outcome_of(*own), 1.0, outcome_of(*other), (), ()
    )
    verdict = decide(comparison.own, comparison, VerdictConfig())
    assert verdict.kept is kept
    assert word in verdict.reason
    assert verdict.to_dict()["success"]["only_b"] == own[1]
