"""Names of the streams, wherever they are used: contract, frames, HDF5 files and ONNX graphs."""

from __future__ import annotations

from typing import Final

IMAGE: Final = "image"
SCAN: Final = "scan"
ODOMETRY: Final = "odometry"

INSTRUCTION: Final = "instruction"
VALID: Final = "valid"
ACTION: Final = "action"
ACTION_PAD: Final = "action_is_pad"
DOCK_POSE: Final = "dock_pose"

MODEL_OUTPUT: Final = "actions"
"""Name of the output of a policy's ONNX graph that drives: (B, H, A) float32, [m/s, rad/s]."""

FEATURES: Final = "features"
"""Name of its other output, for `vla_core.novelty`: (B, F) float32."""

RESERVED: Final = frozenset(
    {INSTRUCTION, VALID, ACTION, ACTION_PAD, DOCK_POSE, MODEL_OUTPUT, FEATURES}
)
"""Keys with a fixed meaning, which no stream of a contract may take."""
