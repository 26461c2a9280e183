"""Policies in PyTorch: the checkpoint of a training, without an export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vla_core.errors import PolicyError
from vla_policy_node.errors import ParameterError

if TYPE_CHECKING:
    from vla_core.chunk_policy import ChunkPolicy
    from vla_core.frames import Frame


class TorchRuntime:
    """A training checkpoint in PyTorch, loaded by `vla_training`.

    Args:
        path: the checkpoint, or the output folder of the training.
        threads: for one inference on the CPU.
        device: where PyTorch computes, such as "cpu" or "cuda:0".

    Raises:
        ParameterError: PyTorch or `vla_training` is not installed, or there is no such device.
        VlaError: the checkpoint cannot be loaded.
    """

    def __init__(self, path: Path, threads: int = 1, device: str = "cpu") -> None:
        try:
            import torch

            from vla_training.evaluation.checkpoint_policy import load_checkpoint_policy
        except ModuleNotFoundError as error:
            raise ParameterError(
                f"runtime 'torch' needs the Python module {error.name}, which is not installed; "
                "install PyTorch and vla_training, or export the policy and use runtime 'onnx'"
            ) from error
        policy, runner = load_checkpoint_policy(path)
        try:
            runner.move_to(torch.device(device))
        except (RuntimeError, AssertionError) as error:  # what torch raises for devices
            raise ParameterError(
                f"device is '{device}', which PyTorch {torch.__version__} cannot use here "
                f"({str(error).splitlines()[0]}); expected cpu, or cuda where there is a GPU"
            ) from error
        runner.threads = threads
        self.bundle = policy.bundle
        self._name = f"PyTorch {torch.__version__} on {device}"
        self._policy: ChunkPolicy | None = policy

    @property
    def distances(self) -> npt.NDArray[np.float32] | None:
        """None: a checkpoint was not calibrated."""
        return None

    @property
    def name(self) -> str:
        """Runtime, version and device, for logs."""
        return self._name

    def infer(self, frame: Frame, instruction: str) -> npt.NDArray[np.float32]:
        """Compute one chunk, (H, A) float32 [m/s, rad/s].

        Raises:
            PolicyError: frame or output do not fit the contract of the checkpoint.
        """
        if self._policy is None:
            raise PolicyError(f"policy {self.bundle.path} was closed, expected no more frames")
        return self._policy(frame, instruction)

    def problem(self) -> str:
        """Empty: what computes here fails when it is asked."""
        return ""

    def close(self) -> None:
        """Give the model back."""
        self._policy = None
