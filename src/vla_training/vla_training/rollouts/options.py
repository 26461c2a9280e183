"""What decides the rows of a rollout."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final

from vla_core.action_chunks import DEFAULT_EXECUTION_MODE
from vla_core.contract import Contract
from vla_simulation.config import CONTROL_PERIOD_NS, CONTROL_PERIOD_S
from vla_simulation.suite_mix import SuiteMix
from vla_training import __version__
from vla_training.dataset.layout import FORMAT_VERSION, contract_text
from vla_training.dataset.statistics import PIXEL_ROW_STEP
from vla_training.errors import RolloutError
from vla_training.evaluation.drivers import ENVIRONMENT_FIELDS

ROLLOUT_DRIVERS: Final = ("expert", "policy")
GOALS: Final = ("one", "every")
STARTS: Final = ("suite", "path", "dock")

_MAX_LOOKS: Final = 1000


@dataclass(frozen=True)
class PolicyChoice:
    """The policy that drives.

    Attributes:
        path: Folder of its bundle, or a training checkpoint.
        digest: Another one for another policy (hex).
        mode: How overlapping chunks become one action.
        latency_ticks: Control periods from a frame to the chunk computed from it.
        replan_steps: Control periods between two inferences.
    """

    path: str
    digest: str
    mode: str = str(DEFAULT_EXECUTION_MODE)
    latency_ticks: int = 1
    replan_steps: int = 2


@dataclass(frozen=True)
class RolloutOptions:
    """What decides which rows a seed becomes.

    Attributes:
        contract: What a row is.
        mix: Suites that the scenes are drawn from.
        goals: "one": each start is driven for the goal that is drawn; "every": once for each of
            the scene's stations.
        starts: "suite": from where the suite begins; "path": from places on the expert's ways;
            "dock": from in front of and in the stations, aside and crooked.
        looks: Starts per scene; with "suite" there is one.
        duration_s: Of an episode; None until it is over.
        settle_s: How long an episode goes on in the dock.
        noise: Scale of the disturbance of what the expert executes (DART); the label stays clean.
        policy: Who drives; None for the expert.
        expert_share: Share of the time in which the expert drives in place of the policy: one draw
            for every `segment_s`.
        segment_s: Time between two such draws.
        max_distance_m: An episode ends where the robot is further from the commanded dock.

    Raises:
        RolloutError: Naming every mistake.
    """

    contract: Contract
    mix: SuiteMix = field(default_factory=lambda: SuiteMix.parse("nominal"))
    goals: str = "one"
    starts: str = "suite"
    looks: int = 1
    duration_s: float | None = None
    settle_s: float = 1.5
    noise: float = 1.0
    policy: PolicyChoice | None = None
    expert_share: float = 0.0
    segment_s: float = 1.0
    max_distance_m: float = 5.0

    def __post_init__(self) -> None:
        mistakes = [
            f"{name} is {value!r}, expected {', '.join(choices)}"
            for name, value, choices in (
                ("goals", self.goals, GOALS),
                ("starts", self.starts, STARTS),
            )
            if value not in choices
        ]
        duration_s = math.inf if self.duration_s is None else self.duration_s
        mistakes += [
            f"{name} is {value}, expected {low:g} to {high:g}"
            for name, value, low, high in (
                ("looks", self.looks, 1, _MAX_LOOKS),
                ("duration", duration_s, CONTROL_PERIOD_S, math.inf),
                ("settle", self.settle_s, 0.0, 60.0),
                ("noise", self.noise, 0.0, 3.0),
                ("expert share", self.expert_share, 0.0, 1.0),
                ("segment", self.segment_s, CONTROL_PERIOD_S, 60.0),
                ("greatest distance", self.max_distance_m, 0.1, 100.0),
            )
            if not low - 1e-9 <= value <= high  # also true for NaN
        ]
        if self.starts == "suite" and self.looks != 1:
            mistakes.append(f"looks is {self.looks} with starts of the suite, of which there is 1")
        action = self.contract.action
        if action.fields != ENVIRONMENT_FIELDS or action.period_ns != CONTROL_PERIOD_NS:
            mistakes.append(
                f"the contract commands {', '.join(action.fields)} at {action.rate_hz} Hz, the "
                f"simulated robot takes {', '.join(ENVIRONMENT_FIELDS)} at "
                f"{1e9 / CONTROL_PERIOD_NS:.0f} Hz"
            )
        if mistakes:
            raise RolloutError(f"rollout: {'; '.join(mistakes)}")

    @property
    def driver(self) -> str:
        """Who drives, one of `ROLLOUT_DRIVERS`."""
        return "expert" if self.policy is None else "policy"

    def described(self) -> dict[str, Any]:
        """As JSON can say it, without the contract."""
        values = {name: getattr(self, name) for name in _DESCRIBED}
        policy = None if self.policy is None else asdict(self.policy)
        return {**values, "suite": str(self.mix), "driver": self.driver, "policy": policy}

    @cached_property
    def key(self) -> str:
        """Another one for other rows (hex)."""
        described = self.described()
        if self.policy is not None:
            described["policy"].pop("path")  # where it is does not matter
        values = {
            "format_version": FORMAT_VERSION,
            "software": __version__,
            "contract": contract_text(self.contract),
            "pixel_row_step": PIXEL_ROW_STEP,
            "rollout": described,
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


_DESCRIBED: Final = (
    "goals",
    "starts",
    "looks",
    "duration_s",
    "settle_s",
    "noise",
    "expert_share",
    "segment_s",
    "max_distance_m",
)
