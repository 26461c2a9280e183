"""Strict reading of YAML: no duplicate keys, no unknown keys, all mistakes at once."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import yaml

_ROS_NAME = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2
_SHORT.maxdict = _SHORT.maxlist = 4


class YamlSyntaxError(Exception):
    """A text is no YAML, or a mapping in it has a key twice."""


class _Loader(yaml.SafeLoader):
    """The safe loader, with duplicate keys refused and dates left as text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise YamlSyntaxError(
                    f"line {key_node.start_mark.line + 1}: key {describe(key)} is there twice"
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# YAML 1.1 takes 1e-3 for a text, because it has no point; here it is a number, as in JSON.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), "-+0123456789"
)


def load_yaml(text: str | bytes) -> Any:
    """Parse one YAML document into plain Python values.

    Raises:
        YamlSyntaxError: if the text is no YAML or a mapping has a key twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except YamlSyntaxError:
        raise
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlSyntaxError(f"{where}{error.problem or error.context}") from error
    # PyYAML lets IndexError, KeyError, AttributeError and more escape for odd tags ("!!int ''").
    except Exception as error:
        raise YamlSyntaxError(f"no YAML: {error}") from error


def describe(value: Any) -> str:
    """A short text for a value of any kind and size."""
    if isinstance(value, Mapping) and not value:
        return "an empty mapping"
    try:
        return _SHORT.repr(value)
    except (ValueError, RecursionError):  # integers of more than 4300 digits have no text
        return f"a huge {type(value).__name__}"


class Section:
    """Reads the keys of one mapping and notes every mistake instead of stopping at the first.

    A reader of a broken value gets a harmless one of the right type (NaN for a number), so that
    reading goes on and later checks do not report the same mistake again.
    """

    def __init__(self, value: Any, where: str, mistakes: list[str]) -> None:
        self.where = where
        self._mistakes = mistakes
        self._seen: set[str] = set()
        self.is_mapping = isinstance(value, Mapping)
        self._values: Mapping[Any, Any] = value if isinstance(value, Mapping) else {}
        if not self.is_mapping:
            self.mistake(None, f"got {describe(value)}, expected a mapping of key to value")

    def mistake(self, key: str | None, text: str) -> None:
        """Note that something is wrong with a key, or with the whole mapping."""
        place = self._place(key)
        self._mistakes.append(f"{place}: {text}" if place else text)

    def _place(self, key: str | None) -> str:
        return ".".join(part for part in (self.where, key) if part)

    def _take(self, key: str, required: bool) -> tuple[bool, Any]:
        self._seen.add(key)
        if key in self._values:
            return True, self._values[key]
        if required and self.is_mapping:
            self.mistake(key, "is missing")
        return False, None

    def has(self, key: str) -> bool:
        """Whether the mapping has this key."""
        return key in self._values

    def text(self, key: str, default: str | None = None) -> str:
        """A text of one to 200 printable characters."""
        there, value = self._take(key, required=default is None)
        if not there:
            return default or ""
        if not (isinstance(value, str) and value.strip() and len(value) <= 200):
            self.mistake(key, f"got {describe(value)}, expected a text of 1 to 200 characters")
            return ""
        if not value.isprintable():
            self.mistake(key, f"got {describe(value)}, expected printable characters on one line")
            return ""
        return value

    def ros_name(self, key: str, optional: bool = False) -> str | None:
        """A topic or frame name; None where it is optional and missing or null."""
        there, value = self._take(key, required=not optional)
        if not there or (optional and value is None):
            return None
        if not (isinstance(value, str) and len(value) <= 200 and _ROS_NAME.fullmatch(value)):
            self.mistake(
                key,
                f"got {describe(value)}, expected a ROS name such as camera/image_raw "
                "(letters, digits and underscores, parts joined by '/')",
            )
            return None
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> Any:
        """One of the allowed texts; an empty one stands in for a broken value."""
        there, value = self._take(key, required=default is None)
        if not there:
            return default or ""
        if not isinstance(value, str) or value not in allowed:
            self.mistake(key, f"got {describe(value)}, expected one of {', '.join(allowed)}")
            return ""
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """An integer between two bounds; the lower one stands in for a broken value."""
        there, value = self._take(key, required=default is None)
        if not there:
            return low if default is None else default
        # bool is a subclass of int, and "depth: yes" is a bool.
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.mistake(
                key, f"got {describe(value)}, expected a whole number from {low} to {high}"
            )
            return low
        return value

    def number(
        self,
        key: str,
        low: float,
        high: float,
        *,
        above_low: bool = False,
        default: float | None = None,
    ) -> float:
        """A finite number between two bounds; NaN stands in for a broken value.

        Args:
            key: its name.
            low: smallest value allowed.
            high: largest value allowed.
            above_low: whether `low` itself is excluded.
            default: value if the key is missing; without one the key is required.
        """
        there, value = self._take(key, required=default is None)
        if not there:
            return math.nan if default is None else default
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not ok or not low <= value <= high or (above_low and value == low):
            bounds = f"above {low:g} and up to {high:g}" if above_low else f"{low:g} to {high:g}"
            self.mistake(key, f"got {describe(value)}, expected a number, {bounds}")
            return math.nan
        return float(value) + 0.0  # -0.0 becomes 0.0: equal contracts have equal hashes

    def items(self, key: str) -> list[Any]:
        """A list with at least one entry; empty for a broken value."""
        there, value = self._take(key, required=True)
        if there and not (isinstance(value, list) and value):
            self.mistake(key, f"got {describe(value)}, expected a list with at least one entry")
            return []
        return value if there else []

    def section(self, key: str, required: bool = True) -> Section | None:
        """A mapping inside this one; None if it is missing or no mapping."""
        there, value = self._take(key, required)
        if not there:
            return None
        section = Section(value, self._place(key), self._mistakes)
        return section if section.is_mapping else None

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._values:
            if key not in self._seen:
                allowed = ", ".join(sorted(self._seen))
                self.mistake(None, f"unknown key {describe(key)}, expected only {allowed}")
