"""The faults by name: what is done, what the robot may take to notice it, how often it is drawn."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from vla_bringup.faults import injections as do
from vla_bringup.faults.errors import CampaignError
from vla_core import keys
from vla_core.contract import Contract


class Stack(str, Enum):
    """How the policy node runs in a trial."""

    LOCAL = "local"  # ONNX Runtime, the system's clock
    REMOTE = "remote"  # a policy server behind a link that can be cut
    SIMULATED = "simulated"  # ONNX Runtime, time from /clock


class Allowance(str, Enum):
    """What a kind of fault may take until it can be noticed."""

    NONE = "none"
    MAX_AGE = "maximum age"  # of the stream, by the contract
    NEXT_CHUNK = "next chunk"  # the policy is asked again within this time
    NEXT_CHUNK_TIMEOUT = "next chunk, time-out"  # an inference that is slow is no fault yet
    ANSWER = "answer"  # until a policy server that does not answer counts as lost
    QUESTION_AND_ANSWER = "next chunk, answer"  # the same, of a question that is still to be asked


@dataclass(frozen=True)
class Delays:
    """What the policy node waits for, unless it is told otherwise.

    Attributes:
        replan_s: from one inference to the next, see parameter inference_rate_hz.
        timeout_s: parameter inference_timeout_s.
        answer_s: until a policy server that is silent counts as lost, a share of the same.
    """

    replan_s: float = 0.1
    timeout_s: float = 1.0
    answer_s: float = 0.75


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        name: by which it is asked for.
        text: what happens, for people.
        injection: what brings it about.
        stack: what it needs.
        allowance: until it can be noticed.
        weight: how often it is drawn; cheaper ones more often.
        stream: whose contract the allowance comes from.
    """

    name: str
    text: str
    injection: do.Injection
    stack: Stack = Stack.LOCAL
    allowance: Allowance = Allowance.NONE
    weight: int = 2
    stream: str = ""

    def allowance_s(self, contract: Contract, delays: Delays) -> float:
        """What the kind may take until it can be noticed.

        Args:
            contract: of the robot.
            delays: of the policy node.
        """
        next_s = delays.replan_s
        return {
            Allowance.NONE: 0.0,
            Allowance.MAX_AGE: contract.stream(self.stream).max_age_s if self.stream else 0.0,
            Allowance.NEXT_CHUNK: next_s,
            Allowance.NEXT_CHUNK_TIMEOUT: next_s + delays.timeout_s,
            Allowance.ANSWER: delays.answer_s,
            Allowance.QUESTION_AND_ANSWER: next_s + delays.answer_s,
        }[self.allowance]


def _streams() -> Iterable[FaultKind]:
    names = {keys.IMAGE: "camera", keys.SCAN: "scan", keys.ODOMETRY: "odometry"}
    broken = {
        keys.IMAGE: ("truncated", "pictures with half of their bytes"),
        keys.SCAN: ("empty", "scans without a beam"),
        keys.ODOMETRY: ("not_finite", "velocities that are NaN"),
    }
    for key, name in names.items():
        form, form_text = broken[key]
        for mode, text in (
            ("silent", "no more messages"),
            ("frozen", "the same content again and again, with fresh stamps"),
            ("backward", "stamps 0.3 to 100 s in the past"),
            ("future", "stamps 0.15 to 100 s in the future"),
            (form, form_text),
        ):
            injection = do.StreamFault(key, mode)
            allowance = Allowance.MAX_AGE
            yield FaultKind(f"{name}_{mode}", text, injection, Stack.LOCAL, allowance, 4, key)


def _signals() -> Iterable[FaultKind]:
    for target, text in (
        ("inference", "the inference process"),
        ("node", "the policy node's process"),
        ("control", "the control process"),
        ("watchdog", "the watchdog process"),
    ):
        weight = 1 if target == "node" else 2
        for name, number, verb in (
            ("killed", signal.SIGKILL, "is killed"),
            ("stopped", signal.SIGSTOP, "is stopped (SIGSTOP)"),
        ):
            injection = do.ProcessSignal(target, number)
            yield FaultKind(f"{target}_{name}", f"{text} {verb}", injection, weight=weight)


def _server(
    name: str, text: str, injection: do.Injection, allowance: Allowance = Allowance.NONE
) -> FaultKind:
    return FaultKind(name, text, injection, Stack.REMOTE, allowance, 3)


_KINDS: Final = (
    *_signals(),
    FaultKind("node_deactivated", "the node is deactivated", do.Deactivation(), weight=3),
    FaultKind(
        "policy_nan",
        "the graph gives NaN",
        do.PolicyMarker("nan"),
        allowance=Allowance.NEXT_CHUNK,
        weight=4,
    ),
    FaultKind(
        "policy_shape",
        "the graph gives a chunk of another length",
        do.PolicyMarker("shape"),
        allowance=Allowance.NEXT_CHUNK,
        weight=4,
    ),
    FaultKind(
        "policy_hang",
        "the graph turns in circles",
        do.PolicyMarker("hang"),
        allowance=Allowance.NEXT_CHUNK_TIMEOUT,
        weight=2,
    ),
    *_streams(),
    FaultKind("second_publisher", "somebody else drives", do.Intruder(), weight=4),
    FaultKind("emergency_stop", "the emergency stop is pressed", do.EmergencyStop(), weight=4),
    _server(
        "server_killed", "the policy server is killed", do.ProcessSignal("server", signal.SIGKILL)
    ),
    _server("server_nan", "the policy server answers NaN", do.ServerFault("nan")),
    _server("server_shape", "the policy server answers another shape", do.ServerFault("shape")),
    _server("server_error", "the policy server answers an error", do.ServerFault("error")),
    _server(
        "server_silent",
        "the policy server does not answer",
        do.ServerFault("silent"),
        Allowance.ANSWER,
    ),
    _server("link_cut", "the connection to the policy server breaks", do.LinkFault("cut")),
    _server(
        "link_stalled",
        "nothing passes the link any more",
        do.LinkFault("stall"),
        Allowance.QUESTION_AND_ANSWER,
    ),
    FaultKind(
        "clock_forward",
        "/clock leaps by 0.6 to 100 s",
        do.ClockJump(1.0),
        Stack.SIMULATED,
        weight=4,
    ),
    FaultKind(
        "clock_backward",
        "/clock is set back by 0.1 to 100 s",
        do.ClockJump(-1.0),
        Stack.SIMULATED,
        weight=4,
    ),
)

KINDS: Final = {kind.name: kind for kind in _KINDS}
"""Every kind of fault by its name."""


def chosen(names: Iterable[str] | None) -> tuple[FaultKind, ...]:
    """The kinds of these names; all of them for None.

    Raises:
        CampaignError: there is no such kind.
    """
    names = list(KINDS if names is None else names)
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise CampaignError(
            f"no fault is called {', '.join(unknown)}; expected some of {', '.join(KINDS)}"
        )
    return tuple(KINDS[name] for name in dict.fromkeys(names))
