"""The named suites and the split of the seeds."""

import dataclasses
import functools
import importlib.resources
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from vla_simulation.config import RandomizationConfig, StartConfig, SuiteConfig
from vla_simulation.errors import SuiteError

_FILE = "suites.yaml"


@functools.lru_cache(maxsize=1)
def _description() -> dict[str, Any]:
    text = importlib.resources.files("vla_simulation").joinpath(_FILE).read_text("utf-8")
    return yaml.safe_load(text)


FIRST_HELD_OUT_SEED: int = int(_description()["first_held_out_seed"])
"""Seeds from this one on are for evaluation only."""


def is_held_out(seed: int) -> bool:
    """Whether a seed is reserved for evaluation."""
    return seed >= FIRST_HELD_OUT_SEED


def suite_names() -> list[str]:
    """Names of all suites."""
    return list(_description()["suites"])


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
    start = _fill(StartConfig(), merged.pop("start", {}), "start", mistakes)
    randomization = _fill(
        RandomizationConfig(), merged.pop("randomization", {}), "randomization", mistakes
    )
    limit = merged.pop("time_limit_s", SuiteConfig(name).time_limit_s)
    if not isinstance(limit, int | float) or limit <= 0:
        mistakes.append(f"time_limit_s is {limit!r}, expected a positive number of seconds")
    mistakes += [f"'{key}' is unknown" for key in merged]
    if not mistakes:
        mistakes = _contradictions(start)
    if mistakes:
        raise SuiteError(f"suite '{name}' in {_FILE}: {'; '.join(mistakes)}")
    return SuiteConfig(name, start, randomization, float(limit))


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


_Config = typing.TypeVar("_Config", StartConfig, RandomizationConfig)


def _fill(default: _Config, values: Mapping[str, Any], where: str, mistakes: list[str]) -> _Config:
    """Replace fields of a configuration, collecting mistakes."""
    known = sorted(field.name for field in dataclasses.fields(default))
    accepted: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            mistakes.append(f"{where}.{key} is unknown, expected one of: {', '.join(known)}")
            continue
        current = getattr(default, key)
        if isinstance(current, tuple):
            if not _is_range(value):
                mistakes.append(f"{where}.{key} is {value!r}, expected [low, high], low <= high")
                continue
            value = tuple(type(c)(v) for c, v in zip(current, value, strict=True))
        elif isinstance(value, bool) or not isinstance(value, int | float):
            mistakes.append(f"{where}.{key} is {value!r}, expected a number")
            continue
        accepted[key] = value
    return dataclasses.replace(default, **accepted)


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and value[0] <= value[1]
    )


def _contradictions(start: StartConfig) -> list[str]:
    if 0 < start.min_distance_m <= start.max_distance_m:
        return []
    return [
        f"start distances {start.min_distance_m} to {start.max_distance_m} m, "
        "expected 0 < min_distance_m <= max_distance_m"
    ]
