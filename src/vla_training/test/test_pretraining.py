"""Vision that has learned from frames without labels."""

import json

import pytest
import torch
from dataset_making import episode_rows, write_dataset
from tiny_runs import TINY, tiny_config

from vla_training.checkpoints import load_checkpoint
from vla_training.dataset.layout import ACTION_VALID, VALID
from vla_training.errors import ConfigurationError, TrainingError
from vla_training.frames import Frames
from vla_training.models import build_model
from vla_training.pretraining import hidden_patches, pretrain
from vla_training.pretraining_config import load_pretraining_config
from vla_training.trainer import Trainer, train

CPU = torch.device("cpu")
MODEL = tuple(text for text in TINY if text.startswith("model."))
VIT = (
    "model.vision.kind=vit",
    "model.vision.pointer=0",
    "model.vision.vit.width=32",
    "model.vision.vit.layers=2",
    "model.vision.vit.heads=2",
    "model.vision.vit.feedforward=32",
    "model.vision.vit.patch=8",
)
SHORT = ("steps=60", "batch_size=16", "patch=8", "threads=1", "precision=float32")
SHORT += ("validate_every=60", "optimizer.learning_rate=5e-3")


def test_an_equal_number_of_patches_is_hidden_in_every_image():
    generator = torch.Generator().manual_seed(0)
    hidden = hidden_patches(50, 40, 64, 16, 0.5, generator)
    assert hidden.shape == (50, 1, 40, 64)
    # 3 x 4 patches, those of the last row half as high.
    patches = hidden[:, 0, ::16, ::16].flatten(1)
    assert (patches.sum(1) == 6).all()
    assert torch.equal(hidden[:, 0, 40 - 8 :, :], hidden[:, 0, 32:33, :].expand(-1, 8, -1))
    assert not torch.equal(patches[0], patches[1])
    assert 0.3 < patches.float().mean(0).min() < patches.float().mean(0).max() < 0.7
    for share in (0.0, 1.0):  # something to guess, and something to guess it from
        number = hidden_patches(2, 40, 64, 16, share, generator)[:, 0, ::16, ::16].flatten(1).sum(1)
        assert number.tolist() == ([1, 1] if share == 0.0 else [11, 11])


@pytest.mark.parametrize("vision", [(), VIT], ids=["cnn", "vit"])
def test_hidden_patches_are_guessed_and_the_weights_begin_a_training(dataset, tmp_path, vision):
    config = load_pretraining_config(
        dataset, tmp_path / "pretraining", overrides=[*MODEL, *vision, *SHORT], seed=3
    )
    result = pretrain(config, progress=False)
    metrics = result.metrics
    assert metrics["masked_error"] < 0.92 * metrics["masked_error_of_mean"]
    lines = (tmp_path / "pretraining" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["validation"] == metrics
    weights = load_checkpoint(result.checkpoint).weights
    assert weights
    assert all(name.startswith("encoders.image.backbone.") for name in weights)

    fresh = Trainer(tiny_config(dataset, tmp_path / "fresh", *vision))
    begun = Trainer(
        tiny_config(dataset, tmp_path / "begun", *vision, f"initial={result.checkpoint}")
    )
    before, after = fresh._state.weights(), begun._state.weights()
    for name, value in after.items():
        assert torch.equal(value, weights.get(name, before[name])), name
    # FiLM is none of it: it has heard no sentence.
    assert not any("film" in name for name in weights)
    moved = [name for name in weights if not torch.equal(before[name], after[name])]
    assert len(moved) > 0.5 * len(weights)
    assert train(tiny_config(dataset, tmp_path / "begun"), progress=False).steps == 12
    with pytest.raises(TrainingError, match="does not fit its own model"):
        load_checkpoint(result.checkpoint).policy()


def test_a_policy_that_reads_one_token_has_a_map_to_guess_from(dataset, tmp_path):
    # The class token alone: its patches are asked all the same.
    options = ["model.vision.vit.width=24", "model.vision.vit.layers=1", "patch=8", "steps=1"]
    options += ["batch_size=4", "validate_every=1", "model.width=32"]
    config = load_pretraining_config(dataset, tmp_path, preset="mini_vla", overrides=options)
    result = pretrain(config, progress=False)
    data = Frames(str(dataset), "training", CPU)
    policy = build_model(config.model, data.contract, data.statistics, data.vocabulary)
    weights = load_checkpoint(result.checkpoint).weights
    assert set(weights) == {
        name
        for name in policy.state_dict()
        if name.startswith("encoders.image.backbone.") and "film" not in name
    }


def test_frames_need_no_action_but_an_image(contract, tmp_path):
    rows = [episode_rows(contract, 30, seed) for seed in range(2)]
    for episode in rows:
        episode[ACTION_VALID][:] = False
    image = contract.keys.index("image")
    rows[0][VALID][:20, image] = False
    path = write_dataset(tmp_path / "data.h5", contract, rows)
    frames = Frames(str(path), "training", CPU)
    assert frames.count == 40
    batch = frames.batch(500, torch.Generator().manual_seed(0))["image"]
    assert batch.shape == (500, *contract.streams[image].shape)
    stored = torch.cat([torch.from_numpy(e["observations/image"]) for e in rows])[20:]
    known = {value.numpy().tobytes() for value in torch.cat([stored, stored.flip(2)])}
    drawn = {value.contiguous().numpy().tobytes() for value in batch}
    assert drawn <= known
    assert len(drawn) > 70  # of the 40 frames and their mirror images


def test_mistakes_are_told_together(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        load_pretraining_config(
            "d.h5", tmp_path, overrides=["mask=1.0", "loss.beta=1", "optimizer.learning_rate=fast"]
        )
    assert len(caught.value.mistakes) == 3
