"""What the node makes of the policy's confidence in itself, chunk by chunk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_core.bundle import PolicyBundle
from vla_core.confidence import ConfidenceLimits, ConfidenceMonitor
from vla_policy_node.inference.settings import Logger
from vla_policy_node.parameter_field import ReadAt, parameter

NONE = "none"
SLOW = "slow"
RETRY = "retry"
STOP = "stop"
CONFIDENCE_ACTIONS = (NONE, SLOW, RETRY, STOP)


@dataclass(frozen=True)
class ConfidenceParameters:
    """What a policy that doubts itself leads to."""

    confidence_action: str = parameter(
        NONE,
        "What follows when the policy's score passes 1: none, slow (chunks times "
        "confidence_slow_factor), retry (back off and come in again) or stop (the goal ends with "
        "code 957)",
        at=ReadAt.GOAL,
        choices=CONFIDENCE_ACTIONS,
    )
    confidence_slow_factor: float = parameter(
        0.5,
        "Share of the policy's velocities that confidence_action slow leaves",
        at=ReadAt.GOAL,
        low=0.1,
        high=1.0,
    )


@dataclass(frozen=True)
class ConfidenceState:
    """How sure the policy is.

    Attributes:
        score: 1 at the limit; NaN without calibration or before enough chunks.
        worst: name of the measure that gives it.
        doubt: what is doubted, in words; empty while the policy is sure.
        doubts: how often a doubt began since the node was configured.
    """

    score: float = math.nan
    worst: str = ""
    doubt: str = ""
    doubts: int = 0


CONFIDENT = ConfidenceState()
"""Nothing is known that would speak against the policy."""


class ConfidenceJudge:
    """Judges chunks on their way to the control process.

    Args:
        log: for what a person has to know.

    Attributes:
        state: after the newest chunk.
        calibrated: whether the policy's bundle gives limits.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._monitor: ConfidenceMonitor | None = None
        self._factor = 1.0
        self.calibrated = False
        self.state = ConfidenceState()

    def use(self, bundle: PolicyBundle) -> None:
        """Take the limits of a bundle.

        Raises:
            BundleError: they are damaged.
        """
        limits = ConfidenceLimits.of(bundle)
        self._monitor = ConfidenceMonitor(limits, bundle.contract.action)
        self.calibrated = limits is not None
        if limits is None:
            self._log.info(
                "the policy gives no confidence score: its bundle has none for this graph "
                "(`vla calibrate` adds it to the exact graph)"
            )

    def begin(self, parameters: ConfidenceParameters) -> None:
        """Another goal begins."""
        slows = parameters.confidence_action == SLOW
        self._factor = parameters.confidence_slow_factor if slows else 1.0
        self.state = ConfidenceState(doubts=self.state.doubts)
        if self._monitor is not None:
            self._monitor.forget()

    def judge(
        self,
        stamp_ns: int,
        actions: npt.NDArray[np.float32],
        distances: npt.NDArray[np.float32] | None,
    ) -> npt.NDArray[np.float32]:
        """Take a chunk in and give the one to carry out.

        Args:
            stamp_ns: tick of its frame.
            actions: (H, A) [m/s, rad/s].
            distances: (G,) of its frame from training; None if the runtime gives none.

        Returns:
            The same, or all of its velocities slowed alike, which keeps the path.
        """
        monitor, before = self._monitor, self.state
        if monitor is None:
            return actions
        score = monitor.update(stamp_ns, actions, distances)
        doubt = f"{monitor.worst} is unlike the training ({score:.2f} of the limit)"
        begins = monitor.doubt and not before.doubt
        self.state = ConfidenceState(
            score, monitor.worst, doubt if monitor.doubt else "", before.doubts + begins
        )
        if begins:
            self._log.warning(f"the policy doubts: {doubt}")
        elif before.doubt and not monitor.doubt:
            self._log.info("the policy is sure again")
        return actions * np.float32(self._factor) if monitor.doubt else actions
