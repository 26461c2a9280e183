"""Errors of conversion, data sets, training, export and evaluation; each message is one line."""

from __future__ import annotations

from collections.abc import Sequence

from vla_core.errors import VlaError


class ConversionError(VlaError):
    """A bag cannot be used, or nothing usable was given."""


class DatasetError(VlaError):
    """A data set file is missing, damaged, foreign or too small for what is asked of it."""


class ConfigurationError(VlaError):
    """A training or evaluation configuration is wrong.

    Attributes:
        mistakes: Everything that is wrong, one sentence each.
    """

    def __init__(self, message: str, mistakes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.mistakes = tuple(mistakes)


class TrainingError(VlaError):
    """Training cannot go on: a checkpoint does not fit or the loss is no longer finite."""


class ExportError(VlaError):
    """A checkpoint cannot become a bundle, or the exported graph computes something else."""


class RolloutError(VlaError):
    """Episodes cannot be driven into a data set."""


class EvaluationError(VlaError):
    """An evaluation cannot run."""


class BenchmarkError(VlaError):
    """A benchmark lacks what it measures or compares with."""
