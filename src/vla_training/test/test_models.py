import dataclasses

import numpy as np
import pytest
import torch

from vla_core import keys
from vla_core.contract import Contract
from vla_core.normalization import FieldStatistics, Statistics
from vla_training.dataset.windows import DockingDataset
from vla_training.losses import LossConfig, policy_loss
from vla_training.models import PolicyConfig, build_model
from vla_training.models.fusion import DecoderFusion, FusionConfig
from vla_training.models.language.words import Words
from vla_training.models.layers import Film, Standardize
from vla_training.models.readers import AskedKeypoints, SpatialSoftmax
from vla_training.models.scan import BeamEncoder, ScanEncoderConfig
from vla_training.models.vision import VisionConfig
from vla_training.models.vision.cnn import CnnConfig

SMALL = PolicyConfig(
    vision=VisionConfig(keypoints=8, learned_tokens=4, cnn=CnnConfig((8, 16, 16, 32))),
    scan=ScanEncoderConfig(sectors=4),
    fusion=FusionConfig(heads=2, layers=1, feedforward=64),
    width=32,
    condition=16,
)


@pytest.fixture(scope="module")
def data(dataset):
    return DockingDataset(dataset)


@pytest.fixture
def model(data):
    torch.manual_seed(0)
    return build_model(SMALL, data.contract, data.statistics, data.vocabulary)


def test_shapes_and_size_of_the_default(data):
    model = build_model(PolicyConfig(), data.contract, data.statistics, data.vocabulary)
    output = model.predict(data.batch(torch.arange(3)))
    assert output.actions.shape == (3, 10, 2)
    assert output.actions.dtype == torch.float32
    assert output.dock_pose.shape == (3, 4)
    assert 0.7e6 < sum(p.numel() for p in model.parameters()) < 1.2e6


def test_every_parameter_gets_a_gradient(model, data):
    # The residual blocks start as the identity: one step first.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = data.batch(torch.arange(16))
    batch[keys.VALID][::2] = 0.0
    for _ in range(3):
        optimizer.zero_grad()
        loss, _ = policy_loss(model, model.predict(batch), batch, LossConfig(docked=0.1))
        loss.backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0.0, name


def test_one_batch_can_be_learned_by_heart(model, data):
    batch = data.batch(torch.arange(0, 64, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(120):
        loss, _ = policy_loss(model, model.predict(batch), batch, LossConfig(docked=0.1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    with torch.no_grad():
        other = {**batch, keys.IMAGE: batch[keys.IMAGE].flip(0)}
        assert (model.predict(other).actions - model.predict(batch).actions).abs().max() > 1e-3


def test_an_invalid_stream_does_not_leak_through(model, data):
    model.eval()
    batch = data.batch(torch.arange(4))
    for index, key in enumerate(data.contract.keys):
        hidden = {**batch, keys.VALID: batch[keys.VALID].clone()}
        hidden[keys.VALID][:, index] = 0.0
        garbage = {**hidden, key: torch.zeros_like(batch[key])}
        if batch[key].is_floating_point():
            garbage[key] = torch.full_like(batch[key], torch.nan)
        with torch.no_grad():
            expected, got = model.predict(hidden).actions, model.predict(garbage).actions
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
        with torch.no_grad():
            assert not torch.equal(model.predict(batch).actions, expected)


def test_samples_of_a_batch_do_not_depend_on_each_other(model, data):
    model.eval()
    batch = data.batch(torch.arange(8))
    with torch.no_grad():
        together = model.predict(batch).actions
        alone = model.predict({key: value[3:4] for key, value in batch.items()}).actions
    torch.testing.assert_close(alone[0], together[3], rtol=1e-4, atol=1e-6)


def test_the_instruction_reaches_the_actions(model, data):
    batch = data.batch(torch.arange(4))
    for film in model.modules():
        if isinstance(film, Film):
            torch.nn.init.normal_(film.projection.weight, std=0.3)
    other = {**batch, keys.INSTRUCTION: batch[keys.INSTRUCTION].flip(1)}
    other[keys.INSTRUCTION][:, 0] = 2
    with torch.no_grad():
        assert not torch.equal(model.predict(batch).actions, model.predict(other).actions)


def test_any_streams_of_the_three_kinds_make_a_policy(data):
    """A second camera and a scanner of another resolution are a contract, and no code."""
    values = data.contract.to_dict()
    camera = {**values["streams"][0], "key": "rear_image", "topic": "rear/image_raw"}
    camera["decoder"] = {**camera["decoder"], "height_px": 33, "width_px": 50}
    values["streams"].insert(0, camera)
    values["streams"][2]["decoder"]["beams"] = 50
    contract = Contract.from_dict(values)
    random = np.random.default_rng(0)
    fields = dict(data.statistics.fields)
    fields["rear_image"] = fields[keys.IMAGE]
    fields[keys.SCAN] = FieldStatistics.from_array(random.uniform(0, 8, (9, 50)))
    model = build_model(SMALL, contract, Statistics(fields), data.vocabulary)
    inputs = [
        torch.zeros(2, *stream.shape, dtype=getattr(torch, stream.dtype))
        for stream in contract.streams
    ]
    actions = model(*inputs, torch.ones(2, 4), torch.zeros(2, 16, dtype=torch.int64))
    assert actions.shape == (2, 10, 2)
    assert torch.isfinite(actions).all()


def test_standardize_follows_the_contract(data):
    field = data.statistics.field(keys.ODOMETRY)
    values = torch.randn(5, 2)
    expected = data.statistics.normalize(keys.ODOMETRY, values.numpy())
    np.testing.assert_allclose(Standardize(field)(values).numpy(), expected, rtol=1e-6, atol=1e-6)
    none = dataclasses.replace(field, normalization="none")
    torch.testing.assert_close(Standardize(none)(values), values)


def test_pooled_statistics_are_those_of_all_beams_together():
    beams = np.random.default_rng(0).uniform(0.1, 8.0, (500, 12)) * np.arange(1, 13)
    pooled = Standardize(FieldStatistics.from_array(beams), pooled=True)
    np.testing.assert_allclose(pooled.center.numpy(), [beams.mean()], rtol=1e-6)
    np.testing.assert_allclose(pooled.spread.numpy(), [beams.std()], rtol=1e-6)


def test_keypoints_are_where_the_features_are():
    softmax = SpatialSoftmax(channels=1, keypoints=1, height=5, width=9)
    torch.nn.init.constant_(softmax.score.weight, 50.0)
    features = torch.zeros(1, 1, 5, 9)
    features[0, 0, 4, 2] = 1.0
    column, row, peak = softmax(features)[0]
    assert column.item() == pytest.approx(-0.5, abs=1e-3)
    assert row.item() == pytest.approx(1.0, abs=1e-3)
    assert peak.item() > 0.99


def test_asked_keypoints_are_where_the_features_answer_the_query():
    asked = AskedKeypoints(condition=2, channels=2, keypoints=1, height=5, width=9)
    torch.nn.init.zeros_(asked.query.bias)
    asked.query.weight.data = 100.0 * torch.eye(2)
    features = torch.zeros(2, 2, 5, 9)
    features[:, 0, 4, 2] = 1.0
    features[:, 1, 0, 6] = 1.0
    condition = torch.eye(2)  # one sample asks for each kind of feature
    found = asked(features, condition)
    torch.testing.assert_close(
        found, torch.tensor([[-0.5, 1.0, 1.0], [0.5, -1.0, 1.0]]), atol=1e-3, rtol=0
    )


def test_a_word_is_heard_undiluted_and_an_unknown_one_not_at_all():
    language = Words(7, 16)
    short, long = torch.tensor([[5, 0, 0, 0]]), torch.tensor([[2, 3, 5, 0]])
    others = language(torch.tensor([[2, 3, 0, 0]]))
    torch.testing.assert_close(language(long) - others, language(short))
    torch.testing.assert_close(language(torch.tensor([[5, 1, 0, 0]])), language(short))


def test_a_token_of_beams_knows_its_beams_and_which_of_them_came_back(data):
    (stream,) = (s for s in data.contract.streams if s.key == keys.SCAN)
    far_m = stream.decoder.range_max_m
    encoder = BeamEncoder(5, stream, data.statistics.field(keys.SCAN), width=8)
    assert encoder.tokens == 8  # of 36 beams, the last token has one
    scan = torch.full((1, 36), 2.0)
    tokens = encoder(scan)
    assert tokens.shape == (1, 8, 8)
    assert (tokens[0, 0] - tokens[0, 1]).abs().max() > 1e-4  # equal ranges, other directions
    changed = scan.clone()
    changed[0, 35] = 1.0
    moved = (encoder(changed) - tokens).abs().amax(dim=2)[0]
    assert moved[7] > 1e-4
    assert (moved[:7] == 0.0).all()
    # A millimetre makes little difference, unless it is that between a wall and nothing.
    lost, wall, nearer = (torch.full((1, 36), far_m - less) for less in (0.0, 1e-3, 2e-3))
    none, some = encoder(lost) - encoder(wall), encoder(wall) - encoder(nearer)
    assert none.abs().max() > 10.0 * some.abs().max()


def test_queries_of_a_decoder_read_tokens_and_tokens_do_not_read_queries():
    torch.manual_seed(0)
    fusion = DecoderFusion(FusionConfig(heads=2, layers=1, feedforward=16), 8, tokens=3, answers=2)
    tokens = torch.randn(2, 3, 8, requires_grad=True)
    answers = fusion(tokens)
    assert answers.shape == (2, 2, 8)
    answers[0, :, 0].sum().backward()
    assert tokens.grad is not None
    assert tokens.grad[0].abs().min(dim=1).values.max() > 0.0
    assert tokens.grad[1].abs().max() == 0.0
    with torch.no_grad():
        contexts = []
        fusion.context_norm.register_forward_hook(lambda _, __, out: contexts.append(out))
        fusion(tokens)
        fusion.queries.neg_()
        other = fusion(tokens)
    assert torch.equal(contexts[0], contexts[1])
    assert (other - answers).abs().max() > 1e-3
