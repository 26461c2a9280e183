"""What a sweep tries: trainings that differ in a few values of their configuration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from vla_core.strict_yaml import describe
from vla_training.configuration import read_mapping
from vla_training.errors import ConfigurationError
from vla_training.training_config import DEFAULT_PRESET, TrainingConfig, load_training_config

SUCCESSES: Final = "successes"
"""The metric of the closed-loop evaluations; all others are of the validation episodes."""

_FARTHEST: Final = 1e15
_KEYS: Final = ("preset", "method", "trials", "seed", "metric", "set", "values")


@dataclass(frozen=True)
class Interval:
    """Numbers to draw from.

    Attributes:
        low: The least.
        high: The largest.
        log: Whether every factor is as likely, rather than every difference.
        whole: Whether only whole numbers are meant.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def draw(self, random: np.random.Generator) -> float | int:
        """One number."""
        if self.whole and not self.log:
            return int(random.integers(int(self.low), int(self.high), endpoint=True))
        share = random.uniform()
        if self.log:
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        else:
            value = self.low + share * (self.high - self.low)
        return round(value) if self.whole else float(f"{value:.4g}")


@dataclass(frozen=True)
class SweepConfig:
    """A sweep.

    Attributes:
        preset: Of the trainings.
        method: "random", or "grid" for every combination.
        trials: Number of trainings; 0 for all of a grid.
        seed: Of the drawing.
        metric: What is compared: `successes` (more is better) or a validation metric (less is).
        set: Overrides that all trainings share.
        values: By key of the training configuration, choices or an interval.
    """

    preset: str
    method: str
    trials: int
    seed: int
    metric: str
    set: tuple[str, ...]
    values: dict[str, tuple[Any, ...] | Interval]

    def overrides(self) -> list[dict[str, Any]]:
        """By trial, the values of the keys; more trials leave the first ones as they are."""
        if self.method == "grid":
            choices = [list(options) for options in self.values.values()]  # type: ignore[arg-type]
            rows = itertools.islice(itertools.product(*choices), self.trials or None)
            return [dict(zip(self.values, row, strict=True)) for row in rows]
        return [self._draw(number) for number in range(self.trials)]

    def _draw(self, number: int) -> dict[str, Any]:
        random = np.random.default_rng([self.seed, number])
        return {
            key: options.draw(random)
            if isinstance(options, Interval)
            else options[int(random.integers(len(options)))]
            for key, options in self.values.items()
        }

    def training(self, number: int, dataset: Path, output: Path) -> TrainingConfig:
        """The configuration of a trial.

        Raises:
            ConfigurationError: Naming every mistake.
        """
        texts = [
            f"{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
            for key, value in self.overrides()[number].items()
        ]
        return load_training_config(
            dataset, output, preset=self.preset, overrides=[*self.set, *texts]
        )


def load_sweep(path: Path) -> SweepConfig:
    """Read a sweep from YAML.

    Raises:
        ConfigurationError: Naming every mistake.
    """
    if not path.is_file():
        raise ConfigurationError(f"sweep {path} does not exist; name a YAML file")
    content = read_mapping(path)
    mistakes: list[str] = []
    sweep = SweepConfig(
        preset=_text(content, "preset", DEFAULT_PRESET, mistakes),
        method=_text(content, "method", "random", mistakes),
        trials=content.get("trials", 0),
        seed=content.get("seed", 0),
        metric=_text(content, "metric", "loss", mistakes),
        set=_texts(content.get("set") or [], mistakes),
        values=_values(content.get("values"), mistakes),
    )
    mistakes += _mistakes(sweep, content)
    if mistakes:
        raise ConfigurationError(f"sweep {path}: {'; '.join(mistakes)}", mistakes)
    return sweep


def _text(content: Mapping[Any, Any], key: str, default: str, mistakes: list[str]) -> str:
    value = content.get(key, default)
    if not isinstance(value, str):
        mistakes.append(f"{key} has to be a text, got {describe(value)}")
        return default
    return value


def _texts(content: Any, mistakes: list[str]) -> tuple[str, ...]:
    if not isinstance(content, list) or not all(isinstance(text, str) for text in content):
        mistakes.append(f"set has to be a list of key=value texts, got {describe(content)}")
        return ()
    return tuple(content)


def _values(content: Any, mistakes: list[str]) -> dict[str, tuple[Any, ...] | Interval]:
    if not isinstance(content, Mapping) or not content:
        mistakes.append("values has to be a mapping of keys to lists or intervals")
        return {}
    found: dict[str, tuple[Any, ...] | Interval] = {}
    for key, options in content.items():
        if not isinstance(key, str):
            mistakes.append(f"values has the key {describe(key)}, expected keys of a training")
        elif isinstance(options, Sequence) and not isinstance(options, str) and options:
            found[key] = tuple(options)
        elif isinstance(options, Mapping):
            try:
                interval = Interval(**{name: _number(value) for name, value in options.items()})
                if not -_FARTHEST <= interval.low < interval.high <= _FARTHEST or (
                    interval.log and interval.low <= 0
                ):
                    raise ValueError
                found[key] = interval
            except (TypeError, ValueError):
                mistakes.append(
                    f"values.{key} is {describe(options)}, expected low < high (above 0 with log), "
                    "and perhaps log and whole"
                )
        else:
            mistakes.append(f"values.{key} is {describe(options)}, expected a list or low and high")
    return found


def _name(key: Any) -> str:
    return key if isinstance(key, str) else describe(key)


def _number(value: Any) -> Any:
    # YAML 1.1 reads 1e-3 as a text.
    return float(value) if isinstance(value, str) else value


def _mistakes(sweep: SweepConfig, content: Mapping[str, Any]) -> Iterator[str]:
    for key in content:
        if key not in _KEYS:
            yield f"{_name(key)} is unknown (known: {', '.join(_KEYS)})"
    if sweep.method not in ("random", "grid"):
        yield f"method has to be one of random, grid, got {describe(sweep.method)}"
    least = 1 if sweep.method == "random" else 0
    if not isinstance(sweep.trials, int) or not least <= sweep.trials <= 100_000:
        yield f"trials has to be a whole number of at least {least}, got {describe(sweep.trials)}"
    if not isinstance(sweep.seed, int) or sweep.seed < 0:
        yield f"seed has to be a whole number of at least 0, got {describe(sweep.seed)}"
    if sweep.method == "grid":
        for key, options in sweep.values.items():
            if isinstance(options, Interval):
                yield f"values.{key} is an interval, and a grid needs lists"
