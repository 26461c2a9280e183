"""What an episode through the live ROS graph tells beyond one in lock-step.

The graph itself is driven by `vla_bringup`; here is what its results and a report have in common
with those of lock-step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from vla_training.evaluation.rollouts import EpisodeResult

LOCK_STEP: Final = "lock_step"
ROS: Final = "ros"
THROUGH: Final = (LOCK_STEP, ROS)
"""What the episodes of an evaluation run through."""


@dataclass(frozen=True)
class LiveFacts:
    """What the docking action said of an episode; the simulator's truth may differ.

    Attributes:
        reported_success: The action succeeded: the robot verified that it is docked.
        error_code: Of the action's result, 0 for none.
        termination: How the action ended, in one sentence.
        retries: How often the robot backed off and came in again.
        reported_contact_speed_mps: By odometry; None if the contacts never met.
        docking_time_s: From the goal to the result, by the policy node.
        graph_restarts: How often the graph had to be started anew until the episode was complete.
    """

    reported_success: bool
    error_code: int
    termination: str
    retries: int
    reported_contact_speed_mps: float | None
    docking_time_s: float
    graph_restarts: int = 0


def live_figures(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """Figures of the action's results over episodes, for JSON.

    Returns:
        `reported_successes`; `reported_not_docked` and `docked_not_reported`, in which action and
        simulator contradict each other; `error_codes`, episodes by code; `retries`;
        `reported_contact_speed_mps`, median and 95th percentile; `graph_restarts`.
    """
    pairs = [(result, result.live) for result in results if result.live is not None]
    speeds = [
        live.reported_contact_speed_mps
        for result, live in pairs
        if result.success and live.reported_contact_speed_mps is not None
    ]
    codes = Counter(str(live.error_code) for _, live in pairs)
    return {
        "reported_successes": sum(live.reported_success for _, live in pairs),
        "reported_not_docked": sum(
            live.reported_success and not result.success for result, live in pairs
        ),
        "docked_not_reported": sum(
            result.success and not live.reported_success for result, live in pairs
        ),
        "error_codes": {code: codes[code] for code in sorted(codes, key=int)},
        "retries": sum(live.retries for _, live in pairs),
        "reported_contact_speed_mps": spread(speeds),
        "graph_restarts": sum(live.graph_restarts for _, live in pairs),
    }


def spread(values: Sequence[float]) -> Mapping[str, float | None]:
    """Median and 95th percentile; None where there is no value."""
    if not values:
        return {"median": None, "p95": None}
    median, p95 = (float(np.percentile(values, q)) for q in (50, 95))
    return {"median": round(median, 4), "p95": round(p95, 4)}
