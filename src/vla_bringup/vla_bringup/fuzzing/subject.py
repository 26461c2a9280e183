"""What a target of fuzzing is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from vla_bringup.fuzzing.formats import Bytes, Format


class Subject(ABC):
    """A parser under test, with intact inputs and a way to change them.

    Attributes:
        suffix: of the file that holds an input.
        format: how an input is built, so that changes get past its outer layers.

    Args:
        scratch: folder that it may fill.
    """

    suffix: ClassVar[str] = ".bin"
    format: Format = Bytes()

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch

    @abstractmethod
    def seeds(self) -> list[bytes]:
        """Intact inputs, made by the project's own writers where there are any."""

    @abstractmethod
    def consume(self, data: bytes) -> None:
        """Do with an input what the project does with it.

        Raises:
            VlaError: it is refused, as it should be if it is damaged.
            AcceptedError: it was accepted, and what came out cannot be right.
        """

    def close(self) -> None:  # noqa: B027 (most hold nothing)
        """Give back what is held."""
