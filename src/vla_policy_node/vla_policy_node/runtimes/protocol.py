"""What the inference process asks of a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Runtime(Protocol):
    """Computes the graph of a policy bundle."""

    @property
    def name(self) -> str:
        """Runtime and version, for logs."""
        ...

    def run(self, feeds: Mapping[str, npt.NDArray[np.generic]]) -> npt.NDArray[np.float32]:
        """Compute one batch.

        Args:
            feeds: model inputs by name, as the bundle documents them.

        Returns:
            actions: (B, H, A) float32, [m/s, rad/s].
        """
        ...

    def close(self) -> None:
        """Give back what the runtime holds."""
        ...
