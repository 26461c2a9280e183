"""What inference and training are timed with is what robots and trainers run."""

import os
from pathlib import Path

import pytest
import torch

from vla_training.benchmarks import infer, train
from vla_training.benchmarks.training_step import WITHOUT, OurStep
from vla_training.benchmarks.untrained import random_batch
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import BenchmarkError
from vla_training.training_config import load_training_config

SMALL = (
    *train.EQUAL_BACKBONE,
    "model.vision.resnet.channels=[8, 8, 16, 16]",
    "model.vision.resnet.blocks=[1, 1, 1, 1]",
    "model.width=16",
    "model.fusion.heads=2",
    "model.fusion.layers=1",
    "model.fusion.feedforward=16",
    "model.fusion.dropout=0.0",
    "model.head.cvae.layers=1",
    "model.head.cvae.heads=2",
    "precision=float32",
    "batch_size=4",
)


def test_made_up_batches_are_like_read_ones(dataset, contract):
    data = DockingDataset(dataset)
    read = data.batch(torch.arange(5))
    made = random_batch(contract, 5)
    assert {name: (v.shape, v.dtype) for name, v in made.items()} == {
        name: (v.shape, v.dtype) for name, v in read.items() if name in made
    }
    assert torch.equal(made["image"], random_batch(contract, 5)["image"])


def test_inference_is_timed_on_graphs_that_agree(trained, tmp_path):
    figures = infer.run(quick=True, out=tmp_path, checkpoints=[trained.checkpoint])
    (found,) = figures.values()
    assert found["parameters"] == trained.parameters
    assert found["parity_error"] < 1e-5
    for runtime in ("onnxruntime", "eager"):
        assert 0.0 < found["ms"][runtime]["lowest_round"] <= found["ms"][runtime]["highest_round"]
    ratio = found["ratio_to_eager"]["onnxruntime"]
    assert ratio["lowest"] <= ratio["median"] <= ratio["highest"]
    assert found["within_limits"]["ratio"] == (ratio["median"] <= infer.MAX_RATIO)
    assert found["not_measured"]["compiled"] == "left out"
    assert list(tmp_path.iterdir()) == []


def test_a_preset_needs_a_robot():
    with pytest.raises(BenchmarkError, match="needs the robot's contract"):
        infer.run(quick=True, presets=["docking"])
    with pytest.raises(BenchmarkError, match="needs the robot's contract"):
        train.run(quick=True)


@pytest.fixture(scope="module")
def config():
    return load_training_config("", "", preset="act", overrides=SMALL)


@pytest.mark.parametrize("part", WITHOUT)
def test_what_is_taken_away_changes_no_result(config, contract, part):
    whole, lacking = OurStep(config, contract), OurStep(config, contract, without=part)
    assert whole.parameters == lacking.parameters
    for _ in range(3):
        losses = []
        for step in (whole, lacking):
            torch.manual_seed(1)
            losses.append(step())
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_step_learns(config, contract):
    step = OurStep(config, contract)
    losses = [step() for _ in range(25)]
    assert min(losses[-5:]) < 0.9 * losses[0]


def test_equal_sizes_are_equal():
    config = load_training_config("", "", preset="act", overrides=train.EQUAL_SIZES)
    model, peer = config.model, train.LEROBOT_SIZES
    assert model.vision.kind == "resnet"
    assert (model.vision.tokens, model.fusion.kind, model.head.kind) == ("all", "decoder", "cvae")
    assert model.width == peer["dim_model"]
    assert model.fusion.heads == peer["n_heads"]
    assert model.fusion.feedforward == peer["dim_feedforward"]
    assert model.fusion.layers == peer["n_encoder_layers"]
    assert model.fusion.decoder_layers == peer["n_decoder_layers"]
    assert model.fusion.dropout == peer["dropout"]
    assert model.head.cvae.latent == peer["latent_dim"]


@pytest.mark.slow
def test_the_peer_takes_steps(contract, tmp_path):
    folder = os.environ.get("VLA_LEROBOT_ENVIRONMENT")
    if not folder:
        pytest.skip("needs VLA_LEROBOT_ENVIRONMENT, a folder with LeRobot installed")
    path = tmp_path / "contract.yaml"
    path.write_text(contract.to_yaml(), "utf-8")
    figures = train.run(quick=True, contract=path, peer=Path(folder), threads=1)
    found = figures["float32"]
    assert found["parameters"]["equal_sizes"] == pytest.approx(
        found["parameters"]["lerobot"], rel=0.01
    )
    assert found["samples_per_s"]["lerobot"]["median"] > 0.0
