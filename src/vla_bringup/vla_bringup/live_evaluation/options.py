"""What is evaluated through the live graph, and the nodes that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vla_bringup.graph import POLICY, NodeSpec, dock_graph
from vla_bringup.graph_arguments import GraphOptions
from vla_bringup.preflight import check_policy
from vla_bringup.resources import default_contract
from vla_core.action_chunks import DEFAULT_EXECUTION_MODE
from vla_core.errors import VlaError
from vla_simulation.suites import load_suite


class LiveEvaluationError(VlaError):
    """Episodes cannot be run through the live graph."""


@dataclass(frozen=True)
class LiveOptions:
    """What to evaluate, and how the policy node runs it.

    Attributes:
        policy: bundle.
        suites: names.
        episodes: seeds of each suite.
        seed: first one.
        swap: run every seed with more than one station with another station's sentence, too.
        execution: how overlapping chunks become one action.
        replan_steps: control periods between two inferences.
        in_flight: inference processes that take turns.
        variant: of the bundle's graph; empty for the exact one.
        retries: how often the robot may back off and come in again.
        contract: of the robot.
    """

    policy: Path
    suites: Sequence[str]
    episodes: int
    seed: int
    swap: bool = False
    execution: str = str(DEFAULT_EXECUTION_MODE)
    replan_steps: int = 2
    in_flight: int = 1
    variant: str = ""
    retries: int = 0
    contract: Path = field(default_factory=default_contract)

    def check(self) -> None:
        """See that a graph can be started with this.

        Raises:
            VlaError: names what is wrong.
        """
        if not self.policy.is_dir():
            raise LiveEvaluationError(
                f"--mode ros runs the policy node, which takes a bundle; {self.policy} is none, "
                "make one with `vla export`, or evaluate it with --mode lock_step"
            )
        ranges = (
            ("episodes", self.episodes, 1, 1_000_000),
            ("seed", self.seed, 0, 2**32 - 1),
            ("replan-steps", self.replan_steps, 1, 10),
            ("in-flight", self.in_flight, 1, 8),
            ("retries", self.retries, 0, 100),
        )
        mistakes = [
            f"--{name} is {value}, expected {low} to {high}"
            for name, value, low, high in ranges
            if not low <= value <= high
        ]
        if mistakes:
            raise LiveEvaluationError("; ".join(mistakes))
        for suite in self.suites:
            load_suite(suite)
        check_policy(self.policy, self.contract)

    def node_specs(self) -> tuple[NodeSpec, ...]:
        """Simulator, policy node and lifecycle manager, as `vla up dock` starts them."""
        options = GraphOptions(
            policy=self.policy.absolute(),
            contract=self.contract,
            suite=self.suites[0],
            seed=self.seed,
        )
        parameters = self._policy_parameters(options)
        return tuple(
            replace(spec, parameters={**spec.parameters, **parameters})
            if spec.name == POLICY
            else spec
            for spec in dock_graph(options).nodes
        )

    def _policy_parameters(self, options: GraphOptions) -> dict[str, Any]:
        bundle = check_policy(options.policy, options.contract)
        return {
            "execution_mode": self.execution,
            "inference_rate_hz": bundle.contract.action.rate_hz / self.replan_steps,
            "inference_workers": self.in_flight,
            "variant": self.variant,
            "max_retries": self.retries,
        }
