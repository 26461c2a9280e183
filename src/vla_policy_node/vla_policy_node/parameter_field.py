"""How a parameter of the node is declared: default, meaning, unit, range and when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from enum import Enum
from typing import Any


class ReadAt(Enum):
    """When a new value takes effect."""

    CONFIGURE = "read when the node is configured; refused while it is configured"
    GOAL = "read at the start of each goal"


def parameter(
    default: Any,
    description: str,
    *,
    at: ReadAt,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """A dataclass field that says all about one parameter."""
    metadata = {
        "description": f"{description} [{unit}]" if unit else description,
        "at": at,
        "low": low,
        "high": high,
        "choices": tuple(choices),
    }
    return field(default=default, metadata=metadata)
