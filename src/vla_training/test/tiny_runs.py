"""Training runs of seconds."""

from pathlib import Path

import yaml

from vla_training.configuration import to_dict
from vla_training.training_config import TrainingConfig, load_training_config

TINY = (
    "steps=12",
    "threads=1",
    "batch_size=8",
    "precision=float32",
    "validate_every=5",
    "model.vision.cnn.channels=[8, 8, 8, 16]",
    "model.vision.keypoints=4",
    "model.vision.learned_tokens=2",
    "model.scan.sectors=3",
    "model.width=16",
    "model.fusion.heads=2",
    "model.fusion.layers=1",
    "model.fusion.feedforward=16",
    "model.condition=8",
    "model.fusion.dropout=0.1",
)


def tiny_config(dataset: Path, folder: Path, *overrides: str) -> TrainingConfig:
    """The default preset, shrunk."""
    return load_training_config(dataset, folder, overrides=[*TINY, *overrides])


def write_config(config: TrainingConfig, path: Path) -> Path:
    """A file for `training_process.py`."""
    path.write_text(yaml.safe_dump(to_dict(config)))
    return path


_SMALL_PARTS = (
    "model.width=16",
    "model.condition=8",
    "model.vision.learned_tokens=2",
    "model.fusion.heads=2",
    "model.fusion.layers=1",
    "model.fusion.feedforward=32",
    "model.fusion.dropout=0",
)
_SMALL_CNN = (
    *_SMALL_PARTS,
    "model.vision.cnn.channels=[8, 8, 8, 16]",
    "model.scan.sectors=3",
)
_SMALL_PLACES = ("model.vision.keypoints=4", "model.vision.asked_keypoints=3")

TINY_PRESETS = {
    "act": (
        *_SMALL_PARTS,
        "model.vision.resnet.channels=[8, 8, 8, 16]",
        "model.vision.resnet.blocks=[1, 1, 1, 1]",
        "model.head.cvae.layers=1",
        "model.head.cvae.heads=2",
    ),
    "amr_fusion": _SMALL_CNN,
    "diffusion": (
        *_SMALL_CNN,
        *_SMALL_PLACES,
        "model.head.flow.layers=1",
        "model.head.flow.heads=2",
    ),
    "docking": (*_SMALL_CNN, *_SMALL_PLACES),
    "mdn": (*_SMALL_CNN, *_SMALL_PLACES),
    "mini_vla": (
        *_SMALL_PARTS,
        "model.vision.vit.width=16",
        "model.vision.vit.layers=2",
        "model.vision.vit.heads=2",
        "model.vision.vit.feedforward=32",
    ),
    "rt1_small": (*_SMALL_PARTS, "model.vision.efficientnet.stages=4"),
}
"""Overrides that shrink each preset."""


def tiny_preset(name: str) -> TrainingConfig:
    """A preset, shrunk but of the same parts."""
    return load_training_config("none.h5", "none", preset=name, overrides=TINY_PRESETS[name])
