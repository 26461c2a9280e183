"""What the inference process asks of a runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vla_core.bundle import PolicyBundle
    from vla_core.frames import Frame


class Runtime(Protocol):
    """A policy that is loaded, here or somewhere else.

    Attributes:
        bundle: what it was made for, and the words it knows.
    """

    bundle: PolicyBundle

    @property
    def distances(self) -> npt.NDArray[np.float32] | None:
        """How far the last frame is from training, (G,), see `vla_core.confidence`."""
        ...

    @property
    def name(self) -> str:
        """Runtime and version, for logs."""
        ...

    def infer(self, frame: Frame, instruction: str) -> npt.NDArray[np.float32]:
        """Compute one chunk.

        Args:
            frame: what the robot perceives.
            instruction: what it is told.

        Returns:
            actions: (H, A) float32, finite, [m/s, rad/s].

        Raises:
            VlaError: frame or answer do not fit the policy, or the answer did not come.
        """
        ...

    def problem(self) -> str:
        """Why an inference would fail now; empty if nothing is known that speaks against it."""
        ...

    def close(self) -> None:
        """Give back what the runtime holds."""
        ...
