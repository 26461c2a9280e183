import dataclasses
import math

import numpy as np
import onnxruntime
import pytest
import torch
from head_making import CHUNK, HEADS, LIMITS, SIZE, WIDTH, make_head
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions, nn

from vla_training.errors import ConfigurationError
from vla_training.export import OPSET
from vla_training.models.heads import HeadConfig, HeadSizes, build_head
from vla_training.models.heads.config import CvaeConfig, FlowConfig, MixtureConfig, TokensConfig
from vla_training.models.heads.flow import FlowHead
from vla_training.models.heads.mixture import MixtureHead
from vla_training.models.heads.tokens import TokensHead

KINDS = sorted(HEADS)
every_head = pytest.mark.parametrize("kind", KINDS)


def answers_of(batch: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, CHUNK, WIDTH, generator=torch.Generator().manual_seed(seed))


def chunks(batch: int) -> st.SearchStrategy[torch.Tensor]:
    number = st.floats(-2.0, 2.0, width=32)
    size = batch * CHUNK * SIZE
    return st.lists(number, min_size=size, max_size=size).map(
        lambda values: torch.tensor(values).reshape(batch, CHUNK, SIZE)
    )


def masks(batch: int) -> st.SearchStrategy[torch.Tensor]:
    return st.lists(st.booleans(), min_size=batch * CHUNK, max_size=batch * CHUNK).map(
        lambda values: torch.tensor(values).reshape(batch, CHUNK)
    )


@every_head
def test_actions_are_a_function_of_each_sample_alone(kind):
    head, answers = make_head(HEADS[kind]), answers_of(6)
    actions = head(answers)
    assert actions.shape == (6, CHUNK, SIZE)
    torch.rand(3)
    assert torch.equal(head(answers), actions)
    torch.testing.assert_close(head(answers[4:5]), actions[4:5], rtol=1e-5, atol=1e-6)
    assert (actions[1:] - actions[:-1]).abs().max() > 1e-3


@every_head
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_stands_in_padding_changes_no_bit_of_loss_and_gradient(kind, data):
    head, answers = make_head(HEADS[kind]), answers_of(3).requires_grad_()
    actions, padding = data.draw(chunks(3)), data.draw(masks(3))
    garbage = data.draw(chunks(3)) * data.draw(st.sampled_from([1.0, 1e9, math.inf, math.nan]))
    other = torch.where(padding.unsqueeze(-1), garbage, actions)

    def run(target):
        torch.manual_seed(5)
        losses = head.loss(answers, target, padding)
        _, kl = head.posterior_tokens(target, padding)
        inputs = [answers, *head.parameters()]
        return losses, kl, torch.autograd.grad(losses.sum() + kl.sum(), inputs, allow_unused=True)

    (losses, kl, gradients), (losses2, kl2, gradients2) = run(actions), run(other)
    assert torch.isfinite(losses).all()
    assert torch.equal(losses[padding], torch.zeros_like(losses[padding]))
    assert torch.equal(losses, losses2)
    assert torch.equal(kl, kl2)
    for one, two in zip(gradients, gradients2, strict=True):
        assert (one is None and two is None) or torch.equal(one, two)
    if kind != "mixture":
        assert (losses >= 0.0).all()
    assert (kl >= 0.0).all()


@every_head
def test_the_last_step_of_the_horizon_is_held_and_later_targets_do_not_count(kind):
    head = make_head(dataclasses.replace(HEADS[kind], horizon=2))
    answers, actions = answers_of(3), torch.rand(3, CHUNK, SIZE)
    chunk = head(answers[:, :2])
    assert chunk.shape == (3, CHUNK, SIZE)
    assert torch.equal(chunk[:, 2:], chunk[:, 1:2].expand(-1, CHUNK - 2, -1))
    head.eval()
    losses = head.loss(answers, actions)
    assert losses.shape == (3, CHUNK)
    assert torch.equal(losses[:, 2:], torch.zeros(3, CHUNK - 2))
    assert (losses[:, :2] != 0.0).all()
    changed = torch.cat([actions[:, :2], torch.full((3, CHUNK - 2, SIZE), torch.nan)], dim=1)
    assert torch.equal(head.loss(answers, changed), losses)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mixture"])
def test_the_balance_weighs_components(kind):
    head, answers, actions = make_head(HEADS[kind]).eval(), answers_of(3), torch.rand(3, CHUNK, 2)
    first, second, both = (
        head.loss(answers, actions, None, torch.tensor(balance))
        for balance in ([2.0, 0.0], [0.0, 2.0], [1.0, 1.0])
    )
    torch.testing.assert_close(0.5 * (first + second), both)
    torch.testing.assert_close(head.loss(answers, actions), both)


def test_the_balance_weighs_the_log_densities_of_a_component():
    head, answers, actions = mixture_head(1, SIZE, CHUNK), answers_of(3), torch.rand(3, CHUNK, 2)
    _, mean, deviation = head.mixture(answers)
    logs = distributions.Normal(mean, deviation).log_prob(actions.unsqueeze(2)).squeeze(2)
    balance = torch.tensor([0.5, 1.5])
    got = head.loss(answers, actions, None, balance)
    torch.testing.assert_close(got, -(logs * balance).sum(-1))


class AllHeads(nn.Module):
    """One graph for all, since exporting takes seconds whatever the size."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(make_head(HEADS[kind]) for kind in KINDS)

    def forward(self, answers):
        return torch.stack([head(answers) for head in self.heads])


def test_onnx_runtime_computes_the_same(tmp_path):
    heads, answers, path = AllHeads().eval(), answers_of(7), tmp_path / "heads.onnx"
    torch.onnx.export(
        heads,
        (answers[:2],),
        str(path),
        dynamo=True,
        external_data=False,
        opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path))
    expected = heads(answers).detach().numpy()
    for part in (slice(0, 1), slice(0, 7)):
        (actions,) = session.run(None, {session.get_inputs()[0].name: answers[part].numpy()})
        for kind, got, wanted in zip(KINDS, actions, expected, strict=True):
            np.testing.assert_allclose(got, wanted[part], atol=1e-5, err_msg=kind)


# A robot that may pass an obstacle on the left or on the right: eight of ten demonstrations turn
# left all along the chunk, two turn right, and the observation does not tell them apart.
LEFT, RIGHT = torch.tensor([0.5, 1.0]), torch.tensor([0.5, -1.0])


def two_ways(count: int = 40) -> torch.Tensor:
    left = (torch.arange(count) % 10 < 8)[:, None, None]
    return torch.where(left, LEFT, RIGHT).expand(count, CHUNK, SIZE)


def taught_two_ways(config: HeadConfig, steps: int = 250) -> tuple[torch.Tensor, list[float]]:
    torch.manual_seed(0)
    head = build_head(config, WIDTH, SIZE, CHUNK, LIMITS)
    answers, actions = answers_of(1).expand(40, -1, -1), two_ways()
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    losses = []
    for _ in range(steps):
        loss = head.loss(answers, actions).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return head.eval()(answers[:1])[0].detach(), losses


def test_regression_drives_between_two_ways():
    chunk, _ = taught_two_ways(HeadConfig("regression", distance="l2"))
    torch.testing.assert_close(
        chunk, (0.8 * LEFT + 0.2 * RIGHT).expand(CHUNK, -1), atol=0.05, rtol=0
    )


@pytest.mark.parametrize(
    "config",
    [
        HeadConfig("mixture"),
        HeadConfig("flow", flow=FlowConfig()),
        HeadConfig("flow", flow=FlowConfig(steps=8, solver="heun", start=1.0)),
        HeadConfig("tokens"),
        HeadConfig("tokens", tokens=TokensConfig(bins=32, smoothing=1.0)),
    ],
    ids=["mixture", "flow", "heun", "tokens", "smoothed"],
)
def test_other_heads_choose_one_of_two_ways(config):
    chunk, losses = taught_two_ways(config)
    assert np.mean(losses[-20:]) < 0.7 * np.mean(losses[:5])
    distance = torch.stack([(chunk - way).abs().max() for way in (LEFT, RIGHT)])
    assert distance.min() < 0.3  # they are 2.0 apart
    if config.flow.start == 0.0:
        assert distance.argmin() == 0  # the way that more demonstrations took


def test_the_latent_tells_the_ways_apart_and_is_zero_without_a_demonstration():
    """The token is all that reaches the answers, as if the observation said nothing."""
    config = HeadConfig("cvae", distance="l1", cvae=CvaeConfig(latent=2, layers=1, heads=2))
    torch.manual_seed(0)
    head = build_head(config, WIDTH, SIZE, CHUNK, LIMITS)
    fusion = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
    optimizer = torch.optim.Adam([*head.parameters(), *fusion.parameters()], 0.01)
    actions = two_ways()
    padding = torch.zeros(len(actions), CHUNK, dtype=torch.bool)
    answers = answers_of(1)
    for _ in range(200):
        tokens, kl = head.posterior_tokens(actions, padding)
        loss = head.loss(answers + fusion(tokens), actions).mean() + 0.01 * kl.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    head.eval()
    tokens, kl = head.posterior_tokens(actions, padding)
    assert (head(answers + fusion(tokens)) - actions).abs().max() < 0.2
    assert kl.min() > 0.1
    prior = head.prior_tokens(3, torch.device("cpu"))
    assert prior.shape == (3, head.extra_tokens, WIDTH)
    assert torch.equal(prior[0, 0], head.token.bias)


def test_nothing_told_costs_nothing():
    head = make_head(HEADS["cvae"])
    nn.init.zeros_(head.posterior.weight)
    nn.init.zeros_(head.posterior.bias)
    _, kl = head.posterior_tokens(torch.rand(2, CHUNK, SIZE), torch.zeros(2, CHUNK).bool())
    assert torch.equal(kl, torch.zeros(2))


def mixture_head(components: int, size: int = 1, chunk: int = 1, floor: float = 0.03):
    torch.manual_seed(components)
    head = MixtureHead(MixtureConfig(components, floor), HeadSizes(WIDTH, size, chunk, chunk))
    for layer in (head.weight, head.mean, head.deviation):
        nn.init.normal_(layer.weight, std=0.3)
    return head


@pytest.mark.parametrize("components", [1, 2, 7])
def test_a_mixture_is_a_density(components):
    head = mixture_head(components)
    places = torch.linspace(-30.0, 30.0, 60_001)
    answers = answers_of(1)[:, :1].expand(len(places), -1, -1)
    density = torch.exp(-head.loss(answers, places[:, None, None])).squeeze(1)
    assert torch.trapezoid(density, places).item() == pytest.approx(1.0, abs=1e-3)


def test_the_losses_of_the_steps_add_up_to_the_chunks():
    head, answers = mixture_head(4, SIZE, CHUNK), answers_of(6)
    actions = torch.randn(6, CHUNK, SIZE)
    padding = torch.rand(6, CHUNK) < 0.3
    log_weight, mean, deviation = head.mixture(answers)
    known = (~padding).float()[:, :, None, None]
    logs = distributions.Normal(mean, deviation).log_prob(actions.unsqueeze(2)) * known
    expected = torch.logsumexp(log_weight + logs.sum((1, 3)), dim=1)
    torch.testing.assert_close(-head.loss(answers, actions, padding).sum(1), expected)


def test_a_mixture_is_safe_far_away_and_bounded_near():
    head, answers = mixture_head(3, SIZE, CHUNK), answers_of(2).requires_grad_()
    losses = head.loss(answers, torch.full((2, CHUNK, SIZE), 1e6))
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(answers.grad).all()
    nn.init.constant_(head.deviation.bias, -1e4)
    nn.init.zeros_(head.deviation.weight)
    losses = head.loss(answers, head(answers).detach())
    lowest = SIZE * (math.log(0.03) + 0.5 * math.log(2.0 * math.pi))
    assert (losses >= lowest - 1e-4).all()


def test_a_mixture_answers_with_its_likeliest_component():
    head, answers = mixture_head(4, SIZE, CHUNK), answers_of(8)
    log_weight, mean, _ = head.mixture(answers)
    for sample, component in enumerate(log_weight.argmax(1)):
        assert torch.equal(head(answers)[sample], mean[sample, :, component])
    assert log_weight.argmax(1).unique().numel() > 1


@settings(deadline=None)
@given(
    bins=st.integers(2, 300),
    edges=st.lists(st.floats(-5.0, 5.0, width=32), min_size=2, max_size=2, unique=True),
    share=st.floats(0.0, 1.0),
)
def test_tokens_come_back_within_half_a_bin(bins, edges, share):
    low, high = sorted(edges)
    head = TokensHead(TokensConfig(bins), HeadSizes(4, 1, 1, 1), torch.tensor([[low], [high]]))
    action = torch.tensor([low + share * (high - low)])
    token = head.encode(action)
    assert 0 <= token.item() < bins
    width = max(high - low, 1e-3) / bins
    assert (head.decode(token) - action).abs().item() <= 0.5 * width + 1e-5
    assert torch.equal(head.encode(head.decode(token)), token)


def test_tokens_hold_what_is_beyond_the_limits():
    head = make_head(HEADS["tokens"])
    outside = torch.tensor([[-9.0, -9.0], [9.0, 9.0]])
    assert head.encode(outside).tolist() == [[0, 0], [255, 255]]


def test_a_smoothed_label_is_a_distribution_around_the_right_bin():
    head = make_head(HEADS["expectation"])
    actions = torch.linspace(-2.5, 2.5, 101)[:, None, None].expand(-1, 1, SIZE)
    label = head._smoothed(actions)
    torch.testing.assert_close(label.sum(-1), torch.ones(101, 1, SIZE))
    inside = (actions >= LIMITS[0] + 0.2).all(-1) & (actions <= LIMITS[1] - 0.2).all(-1)
    mean = head.decode((label * torch.arange(256.0)).sum(-1))
    torch.testing.assert_close(mean[inside], actions[inside], atol=1e-3, rtol=0)


def test_a_flow_follows_its_field():
    """A field that decays: Euler's and Heun's steps are known in closed form."""

    class Decay(FlowHead):
        def velocity(self, answers, noisy, time, padding=None):
            assert time.shape == (len(noisy),)
            return -noisy * (1.0 + time[:, None, None])

    start, answers = torch.ones(2, CHUNK, SIZE), answers_of(2)
    ends = {}
    for solver in ("euler", "heun"):
        head = Decay(FlowConfig(steps=50, solver=solver), HeadSizes(WIDTH, SIZE, CHUNK, CHUNK))
        ends[solver] = (head.integrate(answers, start)[0, 0, 0] - math.exp(-1.5)).abs().item()
    assert 1e-4 < ends["euler"] < 1e-2
    assert ends["heun"] < 1e-4


def test_validation_of_a_flow_draws_the_same_noise_and_training_does_not():
    head, answers, actions = make_head(HEADS["flow"]), answers_of(3), torch.rand(3, CHUNK, SIZE)
    assert not torch.equal(head.loss(answers, actions), head.loss(answers, actions))
    head.eval()
    assert torch.equal(head.loss(answers, actions), head.loss(answers, actions))


def test_two_flows_start_from_the_same_noise():
    one, two = make_head(HEADS["flow"], seed=1), make_head(HEADS["flow"], seed=2)
    assert one.start.abs().max() > 0.1
    assert torch.equal(one.start, two.start)


def test_sizes_that_do_not_fit_are_told_together():
    config = HeadConfig("flow", horizon=9, flow=FlowConfig(heads=3))
    with pytest.raises(ConfigurationError) as caught:
        build_head(config, WIDTH, SIZE, CHUNK, LIMITS)
    assert len(caught.value.mistakes) == 2
    assert "model.head.horizon is 9, but a chunk of the contract has 5 steps" in str(caught.value)
    assert "model.head.flow.heads is 3, but has to divide the width 16" in str(caught.value)
