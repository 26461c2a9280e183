"""Training runs of seconds."""

from pathlib import Path

from vla_training.training_config import TrainingConfig, load_training_config

TINY = (
    "steps=12",
    "threads=1",
    "batch_size=8",
    "precision=float32",
    "validate_every=5",
    "model.encoders.channels=[8, 8, 8, 16]",
    "model.encoders.keypoints=4",
    "model.encoders.learned_tokens=2",
    "model.encoders.scan_sectors=3",
    "model.width=16",
    "model.heads=2",
    "model.layers=1",
    "model.feedforward=16",
    "model.condition=8",
    "model.dropout=0.1",
)


def tiny_config(dataset: Path, folder: Path, *overrides: str) -> TrainingConfig:
    """The default preset, shrunk."""
    return load_training_config(dataset, folder, overrides=[*TINY, *overrides])
