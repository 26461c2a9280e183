import numpy as np
import pytest
import torch

from vla_core import keys
from vla_core.bundle import PolicyBundle
from vla_core.frames import FrameAssembler
from vla_training import export, onnx_graph
from vla_training.checkpoints import load_checkpoint
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import ExportError, TrainingError
from vla_training.onnx_session import load_policy


def test_a_bundle_says_where_it_comes_from(bundle, trained):
    manifest = bundle.manifest
    assert manifest.preset == "docking"
    assert manifest.opset == export.OPSET
    assert 0.0 <= manifest.parity_error < 1e-4
    (data,) = manifest.datasets
    assert sum(data[f"{split}_episodes"] for split in ("training", "validation", "test")) == 6
    assert data["training_frames"] > 0
    assert len(data["episodes_sha256"]) == 64
    assert manifest.extra["training"]["steps"] == trained.steps
    assert manifest.extra["training"]["metrics"]["loss"] > 0.0
    assert manifest.evaluation == {"suite": "nominal", "successes": 1}
    assert PolicyBundle.load(bundle.path).manifest == manifest


def test_the_graph_computes_what_pytorch_computes(bundle, trained, dataset):
    """On every frame, alone and in batches of other sizes than it was traced with."""
    policy = load_checkpoint(trained.checkpoint).policy()
    data = DockingDataset(dataset, vocabulary=bundle.vocabulary)
    batch = data.batch(torch.arange(len(data)))
    assert onnx_graph.parity_error(policy, bundle.model_path, batch).max() < 1e-5
    run = load_policy(bundle)._run
    names = onnx_graph.input_names(policy)
    with torch.no_grad():
        expected = policy(*(batch[name][:33] for name in names)).numpy()
    np.testing.assert_allclose(
        run({name: batch[name][:33].numpy() for name in names}), expected, atol=1e-5
    )


def test_a_bundle_answers_to_frames_and_a_sentence(bundle, recordings):
    policy = load_policy(bundle)
    assembler = FrameAssembler(bundle.contract)
    stamp_ns, readings = recordings[0].readings[0]
    for key, reading in readings.items():
        assembler.push(key, stamp_ns, reading)
    chunk = policy(assembler.assemble(stamp_ns), "dock at the orange charger")
    assert chunk.shape == (10, 2)
    assert chunk.dtype == np.float32
    # A frame without an image is an answer as well, and another one.
    blind = FrameAssembler(bundle.contract)
    for key in (keys.SCAN, keys.ODOMETRY):
        blind.push(key, stamp_ns, readings[key])
    frame = blind.assemble(stamp_ns)
    assert frame.valid.tolist() == [False, True, True]
    assert not np.array_equal(policy(frame, "dock at the orange charger"), chunk)


def test_a_graph_that_computes_something_else_is_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_PARITY_ERROR", 0.0)
    with pytest.raises(ExportError, match="ONNX Runtime differs from PyTorch"):
        export.export_bundle(trained.checkpoint, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_export_needs_a_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match="does not exist"):
        export.export_bundle(tmp_path, tmp_path / "bundle")


def test_git_revision(tmp_path):
    assert export.git_revision(tmp_path) == ""
