import dataclasses
import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_policies import random_batch, small_policy
from torch.nn import functional

from vla_core import keys
from vla_core.docking import DOCKED
from vla_core.geometry import Pose2D
from vla_training.dataset.batch import DOCK_POSE_KNOWN
from vla_training.errors import ConfigurationError
from vla_training.losses import (
    REFERENCE,
    TEACHER,
    LossConfig,
    component_balance,
    docked_target,
    masked_mean,
    policy_loss,
    pose_target,
    smoothness,
    step_weights,
)
from vla_training.models import PolicyOutput
from vla_training.models.heads.config import HEADS
from vla_training.training_config import load_training_config

CVAE = ("model.head.kind=cvae", "model.head.cvae.heads=2")
EVERYTHING = LossConfig(
    docked=0.1, chunk_decay=0.1, terminal=3.0, angular=2.0, smoothness=0.5, reference_weight=0.7
)


@functools.cache
def policy_of_kind(kind):
    decode = "model.head.tokens.decode=expectation"
    return small_policy(
        f"model.head.kind={kind}", decode, "model.head.flow.heads=2", "model.head.cvae.heads=2"
    )


def output_for(policy, size=4, seed=3):
    """What a policy might say, with a gradient to all of it."""
    generator = torch.Generator().manual_seed(seed)
    sizes = policy.head.sizes

    def draw(*shape):
        return torch.randn(shape, generator=generator).requires_grad_()

    kl = draw(size).square() if policy.head.extra_tokens else None
    answers = draw(size, sizes.horizon, sizes.width)
    return PolicyOutput(policy.act, answers, draw(size, 4), draw(size), kl)


def other_chunks(policy, size=4):
    shape = (size, policy.head.sizes.chunk, policy.head.sizes.action)
    return {REFERENCE: 0.3 * torch.randn(shape), TEACHER: 0.3 * torch.randn(shape)}


def normalised(policy, actions):
    return (actions - policy.action_center) / policy.action_spread


def test_by_default_every_known_label_counts_alike():
    policy, batch = small_policy(), random_batch()
    output = output_for(policy)
    loss, terms = policy_loss(policy, output, batch, LossConfig())
    error = normalised(policy, output.actions) - normalised(policy, batch[keys.ACTION])
    each = functional.smooth_l1_loss(
        error, torch.zeros_like(error), beta=0.05, reduction="none"
    ).mean(-1)
    action = each[~batch[keys.ACTION_PAD]].mean()
    pose = batch[keys.DOCK_POSE]
    target = torch.stack(
        [pose[:, 0], pose[:, 1], torch.sin(pose[:, 2]), torch.cos(pose[:, 2])], dim=1
    )[::2]
    dock_pose = functional.smooth_l1_loss(output.dock_pose[::2], target, beta=0.05)
    torch.testing.assert_close(loss, action + 0.3 * dock_pose)
    torch.testing.assert_close(terms["action"], action.detach())
    torch.testing.assert_close(terms["dock_pose"], dock_pose.detach())
    assert set(terms) == {"action", "dock_pose", "docked"}
    assert not terms["action"].requires_grad


def test_error_of_the_pose_relative_to_the_distance():
    policy, batch = small_policy(), random_batch()
    output = output_for(policy)
    config = LossConfig(dock_pose_near_m=0.2, beta=0.01)
    term = policy_loss(policy, output, batch, config)[1]["dock_pose"]
    known = batch[DOCK_POSE_KNOWN]
    pose = batch[keys.DOCK_POSE][known]
    scale = 1.0 / (0.2 + torch.hypot(pose[:, 0], pose[:, 1]))
    error = (output.dock_pose[known] - pose_target(pose)) * scale[:, None]
    each = torch.where(error.abs() < 0.01, error.square() / 0.02, error.abs() - 0.005)
    torch.testing.assert_close(term, each.mean().detach())


@pytest.mark.parametrize("kind", HEADS)
@settings(max_examples=15, deadline=None)
@given(garbage=st.sampled_from([0.0, -7.0, 1e9, math.inf, math.nan]), seed=st.integers(0, 99))
def test_unknown_labels_change_no_bit_of_loss_and_gradient(kind, garbage, seed):
    policy = policy_of_kind(kind)
    batch = {**random_batch(seed=seed), **other_chunks(policy)}
    dirty = {**batch, keys.ACTION: batch[keys.ACTION].clone()}
    dirty[keys.ACTION][batch[keys.ACTION_PAD]] = garbage
    dirty[keys.DOCK_POSE] = torch.where(
        batch[DOCK_POSE_KNOWN][:, None], batch[keys.DOCK_POSE], garbage
    )

    def run(batch):
        output = output_for(policy)
        loss, terms = policy_loss(policy, output, batch, EVERYTHING)
        inputs = [output.answers, output.dock_pose, output.docked]
        return terms, torch.autograd.grad(loss, inputs)

    (terms, gradients), (terms2, gradients2) = run(batch), run(dirty)
    assert terms.keys() == terms2.keys()
    for name, value in terms.items():
        assert torch.isfinite(value), name
        assert torch.equal(value, terms2[name]), name
        assert value >= 0.0 or kind == "mixture", name
    for one, two in zip(gradients, gradients2, strict=True):
        assert torch.equal(one, two)
    unknown = ~batch[DOCK_POSE_KNOWN]
    assert (gradients[1][unknown] == 0.0).all()
    assert (gradients[2][unknown] == 0.0).all()
    assert (gradients[1][~unknown] != 0.0).any()


def test_nothing_known_gives_zero_and_no_gradient_but_finite():
    policy = small_policy()
    batch = {**random_batch(), DOCK_POSE_KNOWN: torch.zeros(4, dtype=torch.bool)}
    batch[keys.ACTION_PAD] = torch.ones_like(batch[keys.ACTION_PAD])
    output = output_for(policy)
    loss, terms = policy_loss(policy, output, batch, LossConfig(smoothness=1.0))
    assert loss.item() == 0.0
    assert all(value.item() == 0.0 for value in terms.values())
    loss.backward()
    assert torch.equal(output.answers.grad, torch.zeros_like(output.answers))


def test_the_loss_is_the_weighted_sum_of_its_terms():
    policy = small_policy(*CVAE)
    batch = {**random_batch(), **other_chunks(policy)}
    config = dataclasses.replace(EVERYTHING, kl=4.0, teacher_mix=0.25)
    loss, terms = policy_loss(policy, output_for(policy), batch, config)
    weights = {
        "action": 0.75,
        "teacher": 0.25,
        "reference": 0.7,
        "smoothness": 0.5,
        "dock_pose": 0.3,
        "docked": 0.1,
        "kl": 4.0,
    }
    assert terms.keys() == weights.keys()
    torch.testing.assert_close(
        loss, sum(weight * terms[name] for name, weight in weights.items()), check_dtype=False
    )


def test_later_steps_weigh_less():
    batch = {**random_batch(2), keys.ACTION_PAD: torch.zeros(2, 10, dtype=torch.bool)}
    weights = step_weights(batch, LossConfig(chunk_decay=0.2))
    torch.testing.assert_close(weights[:, 1:] / weights[:, :-1], torch.full((2, 9), math.exp(-0.2)))
    assert torch.equal(step_weights(batch, LossConfig()), torch.ones(2, 10))


def test_the_terminal_phase_weighs_more():
    batch = random_batch(4)
    batch[keys.DOCK_POSE] = torch.tensor([[0.3, 0.2, 0.0], [0.3, 0.3, 0.0]] * 2)
    batch[DOCK_POSE_KNOWN] = torch.tensor([True, True, False, False])
    batch[keys.ACTION_PAD] = torch.zeros(4, 10, dtype=torch.bool)
    batch[keys.ACTION_PAD][[0, 3], 7:] = True
    weights = step_weights(batch, LossConfig(terminal=5.0, terminal_distance_m=0.4))
    assert weights[:, 0].tolist() == [5.0, 1.0, 1.0, 5.0]
    far = dataclasses.replace(LossConfig(terminal=5.0), terminal_distance_m=0.1)
    assert step_weights(batch, far)[:, 0].tolist() == [1.0, 1.0, 1.0, 5.0]


def test_weights_move_the_loss_towards_what_weighs_more():
    policy = small_policy()
    batch = {**random_batch(2), keys.ACTION_PAD: torch.zeros(2, 10, dtype=torch.bool)}
    output = output_for(policy, 2)
    batch[keys.ACTION] = output.actions.detach().clone()
    batch[keys.ACTION][:, -1] += 0.5  # only the last step is wrong
    losses = [
        policy_loss(policy, output, batch, LossConfig(chunk_decay=decay))[1]["action"].item()
        for decay in (-1.0, 0.0, 1.0)
    ]
    assert losses[0] > losses[1] > losses[2] > 0.0
    batch[keys.ACTION] = output.actions.detach() + torch.tensor([0.0, 0.1])  # only the turning
    losses = [
        policy_loss(policy, output, batch, LossConfig(angular=angular))[1]["action"].item()
        for angular in (0.5, 1.0, 3.0)
    ]
    assert losses[0] == pytest.approx(losses[1] * 2.0 / 3.0, rel=1e-4)
    assert losses[2] == pytest.approx(losses[1] * 1.5, rel=1e-4)


@settings(deadline=None)
@given(st.floats(0.001, 1000.0), st.lists(st.sampled_from(["linear.x", "angular.z"]), min_size=1))
def test_the_balance_has_a_mean_of_one(angular, fields):
    weights = component_balance(fields, angular)
    assert weights.mean().item() == pytest.approx(1.0, rel=1e-5)
    for name, weight in zip(fields, weights, strict=True):
        other = component_balance([name, "linear.x"], angular)
        assert other[0] / other[1] == pytest.approx(angular if "angular" in name else 1, rel=1e-5)
        assert weight > 0.0


def test_a_chunk_that_bends_as_the_target_does_is_smooth():
    steps = torch.arange(10.0)[None, :, None]
    target = steps.square().expand(3, -1, 2)
    nothing = torch.zeros(3, 10, dtype=torch.bool)
    drift = target + 3.0 - 0.5 * steps
    assert smoothness(drift, target, nothing, 10).item() == pytest.approx(0.0, abs=1e-6)
    zigzag = target + torch.where(steps % 2 == 0, 0.1, -0.1)
    assert smoothness(zigzag, target, nothing, 10).item() == pytest.approx(0.16, rel=1e-3)
    jump = target.clone()
    jump[:, 8:] += 5.0
    assert smoothness(jump, target, nothing, 10).item() > 1.0
    assert smoothness(jump, target, nothing, 8).item() == 0.0
    assert smoothness(jump, target, nothing | (torch.arange(10) >= 8), 10).item() == 0.0


@settings(deadline=None)
@given(
    x=st.floats(-0.04, 0.04),
    y=st.floats(-0.03, 0.03),
    yaw=st.floats(-0.06, 0.06),
    turns=st.integers(-1, 1),
)
def test_docked_is_what_the_tolerance_says(x, y, yaw, turns):
    dock_from_base = Pose2D(x, y, yaw)
    near = any(
        abs(abs(value) - limit) < 1e-5
        for value, limit in (
            (x, DOCKED.longitudinal_m),
            (y, DOCKED.lateral_m),
            (yaw, DOCKED.yaw_rad),
        )
    )
    pose = dock_from_base.inverse()
    label = docked_target(torch.tensor([[pose.x, pose.y, pose.yaw + 2.0 * math.pi * turns]]))
    assert near or label.item() == DOCKED.contains(dock_from_base)


@pytest.mark.parametrize(
    ("kind", "distance"),
    [("regression", "l2"), ("regression", "head"), ("mixture", "head"), ("tokens", "head")],
)
def test_a_reference_pulls_towards_its_actions(kind, distance):
    policy = small_policy(f"model.head.kind={kind}")
    batch = {**random_batch(), REFERENCE: torch.tensor([0.2, -0.4]).expand(4, 10, 2)}
    batch[keys.ACTION_PAD] = torch.ones(4, 10, dtype=torch.bool)  # nothing but the reference
    config = LossConfig(reference_distance=distance, dock_pose=0.0)
    output = output_for(policy)
    optimizer = torch.optim.Adam(policy.head.parameters(), 0.03)
    before = (output.actions - batch[REFERENCE]).abs().mean().item()
    for _ in range(60):
        loss, _ = policy_loss(policy, output, batch, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (output.actions - batch[REFERENCE]).abs().mean().item() < 0.4 * before


def test_the_distance_to_itself_is_zero_and_goes_on_in_padding():
    policy, batch = small_policy(), random_batch()
    output = output_for(policy)
    batch[REFERENCE] = output.actions.detach().clone()
    _, terms = policy_loss(policy, output, batch, LossConfig())
    assert terms[REFERENCE].item() == pytest.approx(0.0, abs=1e-10)
    batch[REFERENCE][batch[keys.ACTION_PAD]] += 1.0
    assert policy_loss(policy, output, batch, LossConfig())[1][REFERENCE] > 0.01


def test_a_teacher_alone_leaves_nothing_of_the_demonstration():
    policy, batch = small_policy(), {**random_batch()}
    batch[TEACHER] = torch.rand(4, 10, 2)
    config = LossConfig(teacher_mix=1.0, dock_pose=0.0)
    one = policy_loss(policy, output_for(policy), batch, config)[0]
    batch[keys.ACTION] = batch[keys.ACTION] + 1.0
    two = policy_loss(policy, output_for(policy), batch, config)[0]
    assert torch.equal(one, two)
    as_if = {**batch, keys.ACTION: batch[TEACHER]}
    as_if[keys.ACTION_PAD] = torch.zeros_like(batch[keys.ACTION_PAD])
    del as_if[TEACHER]
    taught = policy_loss(policy, output_for(policy), as_if, LossConfig(dock_pose=0.0))[0]
    torch.testing.assert_close(one, taught)


def test_steps_beyond_the_horizon_do_not_count():
    policy, batch = small_policy("model.head.horizon=1"), random_batch()
    output = output_for(policy)
    loss, _ = policy_loss(policy, output, batch, LossConfig())
    batch[keys.ACTION][:, 1:] += 1.0
    assert torch.equal(policy_loss(policy, output, batch, LossConfig())[0], loss)
    error = normalised(policy, output.actions - batch[keys.ACTION] + policy.action_center)[:, 0]
    each = functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.05)
    torch.testing.assert_close(
        policy_loss(policy, output, batch, LossConfig(dock_pose=0.0))[0], each
    )


def test_masked_mean_of_nothing_is_zero():
    values = torch.rand(3, 2, requires_grad=True)
    mean = masked_mean(values, torch.zeros(3, 2, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0.0
    assert torch.isfinite(values.grad).all()


def test_terms_that_a_head_cannot_give_are_refused(tmp_path):
    tokens = ["model.head.kind=tokens"]
    for overrides, reason in (
        ([*tokens, "loss.smoothness=0.1"], "loss.smoothness needs the gradient"),
        ([*tokens, "loss.reference=a.pt"], "loss.reference_distance l2 needs the gradient"),
        (["model.head.horizon=2", "loss.smoothness=1"], "needs three steps, but .* is 2"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            load_training_config("d.h5", tmp_path, overrides=overrides)
    load_training_config("d.h5", tmp_path, overrides=[*tokens, "loss.teacher=a.pt"])
    expectation = [*tokens, "model.head.tokens.decode=expectation", "loss.smoothness=0.1"]
    load_training_config("d.h5", tmp_path, overrides=expectation)
