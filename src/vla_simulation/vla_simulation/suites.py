"""The named suites."""

import dataclasses
import functools
import importlib.resources
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from vla_simulation.errors import SuiteError
from vla_simulation.randomization import (
    LanguageConfig,
    PhysicsRandomization,
    Randomization,
    SceneRandomization,
    SensorRandomization,
    StartConfig,
)

_FILE = "suites.yaml"


@dataclass(frozen=True)
class SuiteConfig:
    """A named preset.

    Attributes:
        name: of the suite.
        start: where episodes start.
        randomization: what is drawn besides start and sentence.
        language: which sentences are said.
        time_limit_s: how long an episode may take.
        evaluation_only: nothing may be collected or trained with it.
    """

    name: str
    start: StartConfig = field(default_factory=StartConfig)
    randomization: Randomization = field(default_factory=Randomization)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    time_limit_s: float = 30.0
    evaluation_only: bool = False


@functools.lru_cache(maxsize=1)
def _description() -> dict[str, Any]:
    text = importlib.resources.files("vla_simulation").joinpath(_FILE).read_text("utf-8")
    return yaml.safe_load(text)


def suite_names() -> list[str]:
    """Names of all suites."""
    return list(_description()["suites"])


@functools.lru_cache(maxsize=32)
def load_suite(name: str) -> SuiteConfig:
    """Load a suite by name.

    Raises:
        SuiteError: the name is unknown, or the suite's description has mistakes (all are named).
    """
    return parse_suite(name, _description()["suites"])


def parse_suite(name: str, suites: Mapping[str, Any]) -> SuiteConfig:
    """Build a suite from descriptions by name, following ``base``.

    Raises:
        SuiteError: the name is unknown, or the suite's description has mistakes (all are named).
    """
    if name not in suites:
        raise SuiteError(f"suite '{name}' is unknown, expected one of: {', '.join(suites)}")
    mistakes: list[str] = []
    merged = _merged(name, suites, mistakes, visited=())
    fields = merged.pop
    start = _fill(StartConfig(), fields("start", {}), "start", mistakes)
    language = _fill(LanguageConfig(), fields("language", {}), "language", mistakes)
    randomization = Randomization(
        scene=_fill(SceneRandomization(), fields("scene", {}), "scene", mistakes),
        physics=_fill(PhysicsRandomization(), fields("physics", {}), "physics", mistakes),
        sensors=_fill(SensorRandomization(), fields("sensors", {}), "sensors", mistakes),
    )
    limit = fields("time_limit_s", SuiteConfig(name).time_limit_s)
    if not _is_number(limit) or limit <= 0:
        mistakes.append(f"time_limit_s is {limit!r}, expected a positive number of seconds")
    evaluation_only = fields("evaluation_only", False)
    if not isinstance(evaluation_only, bool):
        mistakes.append(f"evaluation_only is {evaluation_only!r}, expected true or false")
    mistakes += [f"'{key}' is unknown" for key in merged]
    if not mistakes:
        suite = SuiteConfig(
            name, start, randomization, language, float(limit), evaluation_only=evaluation_only
        )
        mistakes = _contradictions(suite)
    if mistakes:
        raise SuiteError(f"suite '{name}' in {_FILE}: {'; '.join(mistakes)}")
    return suite


def _merged(
    name: str, suites: Mapping[str, Any], mistakes: list[str], visited: tuple[str, ...]
) -> dict[str, Any]:
    own = dict(suites[name] or {})
    base = own.pop("base", None)
    if base is None:
        return own
    if base not in suites or base in (*visited, name):
        mistakes.append(f"base '{base}' of '{name}' is unknown or refers back to itself")
        return own
    merged = _merged(base, suites, mistakes, (*visited, name))
    for key, value in own.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = {**merged[key], **value}
        else:
            merged[key] = value
    return merged


_Config = typing.TypeVar(
    "_Config",
    StartConfig,
    LanguageConfig,
    SceneRandomization,
    PhysicsRandomization,
    SensorRandomization,
)


def _fill(default: _Config, values: Any, where: str, mistakes: list[str]) -> _Config:
    """Replace fields of a configuration, collecting mistakes."""
    if not isinstance(values, Mapping):
        mistakes.append(f"{where} is {values!r}, expected a mapping")
        return default
    known = sorted(field.name for field in dataclasses.fields(default))
    accepted: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            mistakes.append(f"{where}.{key} is unknown, expected one of: {', '.join(known)}")
            continue
        current = getattr(default, key)
        expected = _expectation(current, value)
        if expected:
            mistakes.append(f"{where}.{key} is {value!r}, expected {expected}")
        elif isinstance(current, tuple):
            accepted[key] = tuple(type(c)(v) for c, v in zip(current, value, strict=True))
        else:
            accepted[key] = value
    return dataclasses.replace(default, **accepted)


def _expectation(current: Any, value: Any) -> str:
    """What a value of the same kind as the default would look like; empty if it is one."""
    if isinstance(current, bool):
        return "" if isinstance(value, bool) else "true or false"
    if not isinstance(current, tuple):
        return "" if _is_number(value) else "a number"
    numbers = isinstance(value, list | tuple) and all(_is_number(v) for v in value)
    if len(current) == 2:
        fits = numbers and len(value) == 2 and value[0] <= value[1]
        return "" if fits else "[low, high], low <= high"
    fits = numbers and len(value) == len(current) and min(value) >= 0 and sum(value) > 0
    return "" if fits else f"{len(current)} shares, none negative, not all zero"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _contradictions(suite: SuiteConfig) -> list[str]:
    start, mistakes = suite.start, []
    if not 0 < start.min_distance_m <= start.max_distance_m:
        mistakes.append(
            f"start distances {start.min_distance_m} to {start.max_distance_m} m, "
            "expected 0 < min_distance_m <= max_distance_m"
        )
    held_out = suite.randomization.scene.held_out_looks or suite.language.held_out_phrasings
    if held_out and not suite.evaluation_only:
        mistakes.append("held-out looks or phrasings, expected evaluation_only: true with them")
    return mistakes
