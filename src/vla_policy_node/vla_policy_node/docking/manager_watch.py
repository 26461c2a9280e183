"""Whether the lifecycle manager that watches over the node is still there. No ROS."""

from __future__ import annotations

import time
from collections.abc import Callable

from vla_policy_node.errors import ManagerLost


class ManagerWatch:
    """Counts the silence of a heartbeat that has been heard once.

    A node that nobody manages hears none, and misses none. What the watch forgets on activation
    is the heartbeat of an earlier manager, which a node activated by hand does not need.

    Args:
        monotonic_s: the present on a clock that nobody sets [s].
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._heard_s: float | None = None

    def hear(self) -> None:
        """Take a heartbeat."""
        self._heard_s = self._monotonic_s()

    def forget(self) -> None:
        """Expect none until the next one is heard."""
        self._heard_s = None

    def fault(self, timeout_s: float) -> ManagerLost | None:
        """Why goals have to end: a silence longer than `timeout_s`."""
        heard_s = self._heard_s
        if heard_s is None:
            return None
        silent_s = self._monotonic_s() - heard_s
        if silent_s <= timeout_s:
            return None
        return ManagerLost(
            f"the lifecycle manager has been silent for {silent_s:.1f} s, at most {timeout_s:g} s "
            "allowed: it hangs or is gone; bring the graph up again, or activate the node by hand"
        )
