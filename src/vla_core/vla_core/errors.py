"""The exceptions a user of the project may see.

Every message is one line that says what is wrong, where, what was received, what was expected and,
where there is one, the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence


class VlaError(Exception):
    """Root of every error that is shown to a user; the message is always a single line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


class ContractError(VlaError):
    """A contract cannot be read or contradicts itself.

    Attributes:
        mistakes: everything that is wrong, one sentence each, in the order of the file.
    """

    def __init__(self, message: str, mistakes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.mistakes = tuple(mistakes)


class DecodeError(VlaError):
    """A message is malformed or of a kind that the contract does not describe."""


class BundleError(VlaError):
    """A policy bundle is missing, damaged, of another format or made for another contract."""


class PolicyError(VlaError):
    """A policy returned something that is no action chunk."""


class StatisticsError(VlaError):
    """Normalisation statistics are missing, damaged or do not fit the data."""


class VocabularyError(VlaError):
    """A vocabulary file is damaged."""
