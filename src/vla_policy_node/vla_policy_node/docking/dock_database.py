"""Stations by name: the dock database of Nav2's docking server, with an instruction for each.

The file may be the one that Nav2's server reads, which ignores what is added here::

    docks:
      bay_1:
        type: orange
        frame: map
        pose: [10.0, 2.0, 1.57]
        instruction: dock at the orange charger   # else that of its type
    dock_types:
      orange:
        instruction: dock at the orange charger
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_core.errors import VlaError
from vla_core.geometry import Pose2D
from vla_core.strict_yaml import Section, YamlSyntaxError, describe, load_yaml
from vla_policy_node.errors import DockNotInDatabase, DockNotValid


class DatabaseError(VlaError):
    """A dock database cannot be read or contradicts itself."""


@dataclass(frozen=True)
class Dock:
    """One station.

    Attributes:
        type: its kind.
        frame: of the pose.
        pose: of the docked base in that frame, None if the file does not say.
        instruction: what the policy is told; empty: the one of its type.
    """

    type: str = ""
    frame: str = "map"
    pose: Pose2D | None = None
    instruction: str = ""


@dataclass(frozen=True)
class DockDatabase:
    """What the server knows about stations.

    Attributes:
        docks: by name.
        instructions: of each type that has one.
        path: the file, empty without one.
    """

    docks: Mapping[str, Dock] = field(default_factory=dict)
    instructions: Mapping[str, str] = field(default_factory=dict)
    path: str = ""

    @classmethod
    def load(cls, path: str) -> DockDatabase:
        """Read a file; an empty path gives an empty database.

        Raises:
            DatabaseError: with all mistakes of the file.
        """
        if not path:
            return cls()
        try:
            values = load_yaml(Path(path).expanduser().read_bytes())
        except (OSError, YamlSyntaxError) as error:
            raise DatabaseError(f"dock database {path}: {error}") from error
        mistakes: list[str] = []
        docks = {name: _dock(entry) for name, entry in _entries(values, "docks", mistakes)}
        instructions = {
            name: entry.text("instruction")
            for name, entry in _entries(values, "dock_types", mistakes)
        }
        if not docks and not instructions and not mistakes:
            mistakes.append("expected a mapping with docks, dock_types or both")
        if mistakes:
            raise DatabaseError(f"dock database {path}: {'; '.join(mistakes)}")
        return cls(docks, instructions, path)

    def dock(self, dock_id: str) -> Dock:
        """The station of a name.

        Raises:
            DockNotInDatabase: there is none.
        """
        if dock_id in self.docks:
            return self.docks[dock_id]
        known = ", ".join(sorted(self.docks)) or "none"
        raise DockNotInDatabase(
            f"dock_id '{dock_id}' is unknown; stations known by name: {known} (parameter "
            f"dock_database: {self.path or 'empty'}); or name the station in the instruction"
        )

    def instruction_of_type(self, dock_type: str) -> str:
        """What the policy is told for any station of a type.

        Raises:
            DockNotValid: nothing is known about the type.
        """
        if dock_type in self.instructions:
            return self.instructions[dock_type]
        known = ", ".join(sorted(self.instructions)) or "none"
        raise DockNotValid(
            f"dock_type '{dock_type}' has no instruction; types that have one: {known} (parameter "
            f"dock_database: {self.path or 'empty'})"
        )


def _entries(values: Any, key: str, mistakes: list[str]) -> list[tuple[str, Section]]:
    group = values.get(key, {}) if isinstance(values, Mapping) else {}
    if not isinstance(group, Mapping):
        mistakes.append(f"{key}: got {describe(group)}, expected a mapping by name")
        return []
    return [(str(name), Section(entry, f"{key}.{name}", mistakes)) for name, entry in group.items()]


def _dock(section: Section) -> Dock:
    pose = section.items("pose") if section.has("pose") else None
    return Dock(
        type=section.text("type", default=""),
        frame=section.text("frame", default="map"),
        pose=None if pose is None else _pose(section, pose),
        instruction=section.text("instruction", default=""),
    )


def _pose(section: Section, values: list[Any]) -> Pose2D | None:
    numbers = [
        float(value)
        for value in values
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    ]
    if len(values) != 3 or len(numbers) != 3:
        section.mistake("pose", f"got {describe(values)}, expected [x, y, yaw] in m, m and rad")
        return None
    return Pose2D(*numbers)
