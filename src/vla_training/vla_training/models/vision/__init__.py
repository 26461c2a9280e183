"""Image encoders: a backbone, and readers that make tokens of its feature maps."""

from __future__ import annotations

from vla_training.models.vision.encoder import ImageEncoder, VisionConfig

__all__ = ["ImageEncoder", "VisionConfig"]
