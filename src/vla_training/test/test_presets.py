"""Every preset, shrunk: it learns, treats samples apart, and means the same in ONNX Runtime."""

import pytest
import torch
from tiny_runs import TINY_PRESETS, tiny_preset

from vla_core import keys
from vla_training.configuration import preset_names
from vla_training.dataset.windows import DockingDataset
from vla_training.export import MAX_PARITY_ERROR
from vla_training.losses import policy_loss
from vla_training.models import build_model
from vla_training.onnx_graph import export_onnx, parity_error
from vla_training.optimization import make_optimizer

every_preset = pytest.mark.parametrize("name", sorted(TINY_PRESETS))


@pytest.fixture(scope="module")
def data(dataset):
    return DockingDataset(dataset)


@pytest.fixture(scope="module")
def learned(data):
    """By preset: the policy after some steps on one batch, and its losses."""
    made = {}

    def learn(name):
        if name not in made:
            config = tiny_preset(name)
            torch.manual_seed(0)
            policy = build_model(config.model, data.contract, data.statistics, data.vocabulary)
            policy.train()
            optimizer = make_optimizer(policy, config.optimizer)
            batch, losses = data.batch(torch.arange(0, 64, 4)), []
            for group in optimizer.param_groups:
                group["lr"] = 3e-3
            for step in range(_STEPS):
                torch.manual_seed(step)
                loss, _ = policy_loss(policy, policy.predict(batch), batch, config.loss)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                optimizer.step()
                losses.append(loss.item())
            made[name] = policy.eval(), losses
        return made[name]

    return learn


_STEPS = 25


def test_every_preset_is_tried():
    assert tuple(sorted(TINY_PRESETS)) == preset_names()


@every_preset
def test_the_loss_of_a_batch_falls(learned, name):
    _, losses = learned(name)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@every_preset
def test_samples_do_not_depend_on_each_other(learned, data, name):
    policy, _ = learned(name)
    batch = data.batch(torch.arange(0, 180, 30))
    with torch.no_grad():
        together = policy.predict(batch)
        alone = policy.predict({key: value[4:5] for key, value in batch.items()})
    assert together.actions.shape == (6, 10, 2)
    torch.testing.assert_close(alone.actions[0], together.actions[4], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(alone.answers[0], together.answers[4], rtol=1e-4, atol=1e-5)
    assert (together.answers[1:] - together.answers[:-1]).abs().max() > 1e-3


# An export takes seconds. The parts of the others are exported in test_export.py (`docking`),
# test_language.py (`rt1_small`) and test_heads.py.
@pytest.mark.parametrize("name", ["mini_vla"])
def test_onnx_runtime_computes_what_pytorch_computes(learned, data, name, tmp_path):
    policy, _ = learned(name)
    frames = data.batch(torch.arange(0, len(data), 9))
    frames[keys.VALID][::5, 0] = 0.0
    frames[keys.INSTRUCTION] = policy.language.deployed(frames[keys.INSTRUCTION])
    export_onnx(policy, frames, tmp_path / "policy.onnx")
    error = parity_error(policy, tmp_path / "policy.onnx", frames)
    action = data.contract.action
    span = [high - low for low, high in zip(action.low, action.high, strict=True)]
    assert (error / span < MAX_PARITY_ERROR).all()


def test_a_single_action_stands_for_the_chunk(learned, data):
    policy, _ = learned("mini_vla")
    with torch.no_grad():
        output = policy.predict(data.batch(torch.arange(3)))
    assert output.answers.shape[1] == 1
    assert torch.equal(output.actions, output.actions[:, :1].expand(-1, 10, -1))


@every_preset
def test_what_a_policy_looks_at_are_shares_of_the_image(learned, data, name):
    policy, _ = learned(name)
    batch = data.batch(torch.arange(3))
    maps = policy.attention_maps(batch)
    assert set(maps) == set(_MAPS[name])
    for key, values in maps.items():
        assert values.shape[:2] == (3, _MAPS[name][key])
        assert values.min() >= 0.0
        torch.testing.assert_close(values.sum((2, 3)), torch.ones(values.shape[:2]))


_PLACES = {"image/keypoints_4": 4, "image/keypoints_8": 4, "image/asked_4": 3, "image/asked_8": 3}
_OURS = {"image/pointed_8": 1, **_PLACES, "image/learned_16": 2}
_MAPS = {
    "act": {},
    "amr_fusion": {"image/learned_16": 2},
    "diffusion": _OURS,
    "docking": _OURS,
    "mdn": _OURS,
    "mini_vla": {"image/rollout": 1},
    "rt1_small": {"image/learned_16": 2},
}
