"""How far what a policy would do is from what the robot's driver does. No ROS."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

SHADOW_TOPIC: Final = "~/shadow_command"
"""Where commands go in place of the command topic."""

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Disagreement:
    """Absolute differences of the commands, per component, over all ticks that were compared.

    Attributes:
        count: ticks with a command of both.
        undriven: ticks at which nobody drove.
        mean: (A,) [m/s, rad/s], NaN before the first tick.
        largest: (A,) [m/s, rad/s], NaN before the first tick.
    """

    count: int
    undriven: int
    mean: npt.NDArray[np.float64]
    largest: npt.NDArray[np.float64]


class DisagreementMeter:
    """Compares the policy's command of each tick with the newest command of the driver.

    Commands of the driver come in one thread, ticks in another.

    Args:
        size: number of components of a command.
        max_age_s: an older command of the driver means that nobody drives.
    """

    def __init__(self, size: int, max_age_s: float = 0.25) -> None:
        self._size = size
        self._max_age_ns = round(max_age_s * _NS_PER_S)
        self._driven: tuple[int, npt.NDArray[np.float64]] | None = None
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        with self._lock:
            self._driven = None
            self._count = self._undriven = 0
            self._sum = np.zeros(self._size)
            self._largest = np.zeros(self._size)

    def drive(self, received_ns: int, command: npt.ArrayLike) -> None:
        """Take a command of the driver, (A,) [m/s, rad/s]."""
        self._driven = (received_ns, np.asarray(command, np.float64))

    def compare(self, tick_ns: int, command: npt.ArrayLike) -> None:
        """Compare what the policy would have done at a tick, (A,) [m/s, rad/s]."""
        with self._lock:
            driven = self._driven
            if driven is None or abs(tick_ns - driven[0]) > self._max_age_ns:
                self._undriven += 1
                return
            difference = np.abs(np.asarray(command, np.float64) - driven[1])
            self._count += 1
            self._sum += difference
            self._largest = np.maximum(self._largest, difference)

    def summary(self) -> Disagreement:
        """All that was compared since the last reset."""
        with self._lock:
            if self._count == 0:
                unknown = np.full(self._size, math.nan)
                return Disagreement(0, self._undriven, unknown, unknown)
            mean = self._sum / self._count
            return Disagreement(self._count, self._undriven, mean, self._largest.copy())
