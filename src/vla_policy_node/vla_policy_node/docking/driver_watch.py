"""Whether a person has taken the robot over from the policy. No ROS."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_PERSON: Final = "person"
_SILENCE_S: Final = 3.0
"""The driver is said at every change and once a second: three are not lost in a row."""


class DriverWatch:
    """Follows what is said about who drives; where nothing is said, no person does.

    Args:
        monotonic_s: the present on a clock that nobody sets [s].
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._newest: tuple[str, float] | None = None

    def hear(self, driver: str) -> None:
        """Take the name of who drives, as in `vla_msgs/Driver`."""
        self._newest = driver, self._monotonic_s()

    @property
    def person_drives(self) -> bool:
        """Whether the robot is a person's."""
        newest = self._newest  # set by another thread
        if newest is None:
            return False
        driver, heard_s = newest
        return driver == _PERSON and self._monotonic_s() - heard_s <= _SILENCE_S
