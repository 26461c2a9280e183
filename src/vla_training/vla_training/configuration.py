"""Typed configuration: nested dataclasses from a YAML preset and `key=value` overrides.

Every mistake is collected, so that one run tells all of them before anything is computed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vla_core.strict_yaml import YamlSyntaxError, describe, load_yaml
from vla_training.errors import ConfigurationError

T = TypeVar("T")

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def bounded(
    default: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    choices: Sequence[str] = (),
) -> Any:
    """A dataclass field with an inclusive range or a set of allowed values."""
    return dataclasses.field(
        default=default, metadata={"low": low, "high": high, "choices": tuple(choices)}
    )


def load(
    cls: type[T],
    preset: str | Path | None,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    sections: Sequence[str] = (),
) -> T:
    """Build a configuration.

    Args:
        cls: Dataclass to build.
        preset: Name of a preset that comes with the package, or the path of a YAML file; None for
            the defaults of `cls`.
        overrides: `section.key=value` texts; the value is YAML. Later ones win.
        values: Further values by dotted key, which win over everything else; None is skipped.
        sections: Keys of the preset to read; empty for all.

    Returns:
        A validated instance of `cls`.

    Raises:
        ConfigurationError: Naming every mistake of preset, overrides and values.
    """
    mapping, source = ({}, "of the command line") if preset is None else _read_preset(preset)
    if sections:
        mapping = {key: mapping[key] for key in sections if key in mapping}
    mistakes: list[str] = []
    for text in overrides:
        key, separator, raw = text.partition("=")
        if not separator or not key:
            mistakes.append(f"override {describe(text)} is not of the form key=value")
            continue
        try:
            value = load_yaml(raw)
        except YamlSyntaxError:
            mistakes.append(f"override {describe(text)} has a value that is not YAML")
            continue
        _assign(mapping, key.strip(), value, mistakes)
    for key, value in (values or {}).items():
        if value is not None:
            _assign(mapping, key, value, mistakes)
    instance = _build(cls, mapping, "", mistakes)
    if mistakes or instance is None:
        raise ConfigurationError(
            f"configuration {source}: {'; '.join(mistakes)} "
            f"({len(mistakes)} {'mistake' if len(mistakes) == 1 else 'mistakes'})",
            mistakes,
        )
    return instance


def to_dict(instance: Any) -> dict[str, Any]:
    """The inverse of `from_dict`: plain mappings, lists and scalars."""
    return yaml.safe_load(yaml.safe_dump(_plain(dataclasses.asdict(instance))))


def from_dict(cls: type[T], mapping: Mapping[str, Any], source: str) -> T:
    """Build `cls` from a plain mapping; `source` names it in errors.

    Raises:
        ConfigurationError: Naming every mistake.
    """
    mistakes: list[str] = []
    instance = _build(cls, mapping, "", mistakes)
    if mistakes or instance is None:
        raise ConfigurationError(f"configuration {source}: {'; '.join(mistakes)}", mistakes)
    return instance


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def preset_names() -> tuple[str, ...]:
    """Presets that come with the package, sorted."""
    folder = resources.files("vla_training") / "presets"
    return tuple(sorted(Path(e.name).stem for e in folder.iterdir() if e.name.endswith(".yaml")))


def read_mapping(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds; empty for an empty file.

    Raises:
        ConfigurationError: If the file cannot be read or holds something else.
    """
    try:
        return _mapping(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _mapping(text: str | bytes, source: str) -> dict[Any, Any]:
    try:
        mapping = load_yaml(text)
    except YamlSyntaxError as error:
        raise ConfigurationError(f"{source} is not YAML: {error}") from error
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise ConfigurationError(
            f"{source} is not a mapping of keys to values, it holds {describe(mapping)}"
        )
    return mapping


def _read_preset(preset: str | Path) -> tuple[dict[str, Any], str]:
    path = Path(preset)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigurationError(f"configuration file {path} does not exist; name another one")
        return read_mapping(path), str(path)
    if str(preset) in preset_names():
        folder = resources.files("vla_training") / "presets"
        source = f"preset {preset}"
        return _mapping((folder / f"{preset}.yaml").read_bytes(), source), source
    raise ConfigurationError(
        f"preset {str(preset)!r} is unknown; choose one of {', '.join(preset_names())} "
        "or the path of a .yaml file"
    )


def _assign(mapping: dict[str, Any], dotted: str, value: Any, mistakes: list[str]) -> None:
    *sections, key = dotted.split(".")
    for section in sections:
        mapping = mapping.setdefault(section, {})
        if not isinstance(mapping, dict):
            mistakes.append(f"{dotted}: {section} is a value, not a section")
            return
    mapping[key] = value


def _build(cls: type[T], mapping: Any, location: str, mistakes: list[str]) -> T | None:
    if not isinstance(mapping, Mapping):
        mistakes.append(f"{location or 'the file'} has to be a mapping, got {describe(mapping)}")
        return None
    before = len(mistakes)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in mapping:
        if name not in fields:
            name = name if isinstance(name, str) else describe(name)
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(fields)}"
            mistakes.append(f"{_join(location, name)} is unknown ({hint})")
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, field in fields.items():
        where = _join(location, name)
        if name in mapping:
            arguments[name] = _convert(hints[name], mapping[name], where, field, mistakes)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            mistakes.append(f"{where} is missing")
    if len(mistakes) > before:
        return None
    try:
        return cls(**arguments)
    except ValueError as error:
        mistakes.append(f"{location + ': ' if location else ''}{error}")
        return None


def _convert(
    hint: Any, value: Any, where: str, field: dataclasses.Field[Any], mistakes: list[str]
) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, where, mistakes)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (hint,) = (a for a in typing.get_args(hint) if a is not type(None))
        origin = typing.get_origin(hint)
    if origin is tuple:
        inner = typing.get_args(hint)
        if not isinstance(value, list | tuple) or (
            inner[-1] is not Ellipsis and len(value) != len(inner)
        ):
            size = "" if inner[-1] is Ellipsis else f" of {len(inner)} values"
            mistakes.append(f"{where} has to be a list{size}, got {describe(value)}")
            return None
        return tuple(
            _convert(inner[0], item, f"{where}[{index}]", field, mistakes)
            for index, item in enumerate(value)
        )
    return _scalar(hint, value, where, field, mistakes)


def _scalar(
    hint: Any, value: Any, where: str, field: dataclasses.Field[Any], mistakes: list[str]
) -> Any:
    if hint is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as a text.
        with contextlib.suppress(ValueError):
            value = float(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        # Beyond the range of floats it is left as it is, which is no number then.
        with contextlib.suppress(OverflowError):
            value = float(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        mistakes.append(f"{where} has to be {_NAMES.get(hint, hint)}, got {describe(value)}")
        return None
    if isinstance(value, float) and not math.isfinite(value):
        mistakes.append(f"{where} has to be finite, got {value}")
        return None
    choices = field.metadata.get("choices", ())
    if choices and value not in choices:
        mistakes.append(f"{where} has to be one of {', '.join(choices)}, got {describe(value)}")
    low, high = field.metadata.get("low", -math.inf), field.metadata.get("high", math.inf)
    if isinstance(value, int | float) and not low <= value <= high:
        limits = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        mistakes.append(f"{where} has to be {limits}, got {describe(value)}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _join(location: str, name: object) -> str:
    return f"{location}.{name}" if location else str(name)
