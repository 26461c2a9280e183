"""What `vla bench loop` measures: commands as they arrive, and what the node says of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from vla_msgs.msg import PolicyStatus

from vla_bringup.benchmarks.loop_nodes import EMPTY_TIMER_TOPIC
from vla_bringup.graph import POLICY
from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_core.safety_envelope import Intervention
from vla_policy_node.control.command_messages import message_class
from vla_policy_node.control.timing import ScheduleErrors, schedule_errors


class LoopError(VlaError):
    """The benchmark could not be carried out."""


@dataclass(frozen=True)
class Tick:
    """What the policy node said of one command.

    Attributes:
        stamp_s: by the node's clock.
        interventions: why the command is not what the policy asked for.
        chunk_age_s: since the observation of the newest chunk; NaN without one.
        latency_s: of that chunk's inference.
        ages_s: by topic, since the newest message of each stream.
        messages: by topic, received since the node was configured.
    """

    stamp_s: float
    interventions: tuple[str, ...]
    chunk_age_s: float
    latency_s: float
    ages_s: dict[str, float]
    messages: dict[str, int]

    @classmethod
    def of(cls, status: PolicyStatus) -> Tick:
        """The tick of a status that has a command."""
        stamp_s = _seconds(status.header.stamp)
        return cls(
            stamp_s=stamp_s,
            interventions=tuple(status.interventions),
            chunk_age_s=stamp_s - _seconds(status.chunk_stamp) if status.horizon else math.nan,
            latency_s=status.inference_latency_s,
            ages_s={stream.topic: stream.age_s for stream in status.streams},
            messages={stream.topic: stream.messages for stream in status.streams},
        )


def spells(ticks: list[Tick], intervention: Intervention) -> list[dict[str, Any]]:
    """The spells of one intervention: when, how long, and what had stopped coming.

    Args:
        ticks: in the order of their times.
        intervention: of the safety envelope.
    """
    groups = groupby(ticks, lambda tick: str(intervention) in tick.interventions)
    return [_spell(list(group), ticks[0].stamp_s) for holds, group in groups if holds]


def _spell(ticks: list[Tick], start_s: float) -> dict[str, Any]:
    worst = max(ticks, key=lambda tick: max(tick.ages_s.values()))
    return {
        "at_s": round(ticks[0].stamp_s - start_s, 2),
        "ticks": len(ticks),
        "chunk_age_ms": _milliseconds(max(tick.chunk_age_s for tick in ticks)),
        "stream_ages_ms": {topic: _milliseconds(age_s) for topic, age_s in worst.ages_s.items()},
    }


class Probe(Node):
    """The independent subscriber."""

    def __init__(self, contract: Contract) -> None:
        super().__init__("bench_probe")
        self._period_ns = contract.action.period_ns
        self.times_ns: dict[str, list[int]] = {"commands": [], "timer": []}
        self._ticks: list[Tick] = []
        kind = message_class(contract.action.type)
        for name, topic in (("commands", contract.action.topic), ("timer", EMPTY_TIMER_TOPIC)):
            self.create_subscription(
                kind if name == "commands" else message_class("geometry_msgs/msg/TwistStamped"),
                topic,
                self._note(self.times_ns[name]),
                100,
            )
        self.create_subscription(PolicyStatus, f"{POLICY}/status", self._on_status, 100)

    @staticmethod
    def _note(times_ns: list[int]) -> Any:
        def note(_message: Any, info: Any) -> None:
            times_ns.append(info["received_timestamp"])

        return note

    def _on_status(self, status: PolicyStatus) -> None:
        if len(status.command):
            self._ticks.append(Tick.of(status))

    def wait_for_timer(self, timeout_s: float) -> None:
        """Spin until the empty timer runs: what it is compared with has to run as long.

        Raises:
            LoopError: it does not in this time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.times_ns["timer"]:
            if time.monotonic() > deadline_s:
                raise LoopError(f"the empty timer did not start within {timeout_s:g} s")
            rclpy.spin_once(self, timeout_sec=0.1)

    def figures(self, warm_up_ns: int) -> dict[str, Any]:
        """Errors of both against their schedules, while both ran."""
        commands, timer = self.times_ns["commands"], self.times_ns["timer"]
        if not commands or not timer or not self._ticks:
            raise LoopError(
                f"received {len(commands)} commands, {len(timer)} messages of the timer and "
                f"{len(self._ticks)} statuses, expected some of each; see the logs of the nodes"
            )
        start_ns = max(commands[0], timer[0]) + warm_up_ns
        end_ns = min(commands[-1], timer[-1])
        errors = {
            name: schedule_errors(
                [time_ns for time_ns in times if start_ns <= time_ns <= end_ns], self._period_ns
            )
            for name, times in self.times_ns.items()
        }
        return {
            "duration_s": round(1e-9 * (end_ns - start_ns), 1),
            "period_ms": 1e-6 * self._period_ns,
            "commands": _figures(errors["commands"]),
            "empty_timer": _figures(errors["timer"]),
            "p99_9_over_timer_ms": round(errors["commands"].p99_9_ms - errors["timer"].p99_9_ms, 3),
            **self._interventions(Intervention.STARVED),
            **self._interventions(Intervention.STALE),
            "inference_latency_ms": _spread(tick.latency_s for tick in self._ticks),
            "chunk_age_ms": _spread(tick.chunk_age_s for tick in self._ticks),
            "streams": self._streams(),
        }

    def _interventions(self, intervention: Intervention) -> dict[str, Any]:
        found = spells(self._ticks, intervention)
        return {
            f"{intervention}_ticks": sum(spell["ticks"] for spell in found),
            f"{intervention}_spells": found,
        }

    def _streams(self) -> dict[str, Any]:
        first, last = self._ticks[0], self._ticks[-1]
        return {
            topic: {
                "received_hz": round(
                    (last.messages[topic] - first.messages[topic])
                    / max(last.stamp_s - first.stamp_s, 1e-9),
                    2,
                ),
                "age_ms": _spread(tick.ages_s[topic] for tick in self._ticks),
            }
            for topic in first.messages
        }


def _spread(values_s: Iterable[float]) -> dict[str, float]:
    p50_s, p99_s, max_s = np.nanpercentile(list(values_s), (50.0, 99.0, 100.0))
    return {name: _milliseconds(s) for name, s in (("p50", p50_s), ("p99", p99_s), ("max", max_s))}


def _milliseconds(seconds: float) -> float:
    return round(1e3 * float(seconds), 1)


def _seconds(stamp: Time) -> float:
    return float(stamp.sec) + 1e-9 * float(stamp.nanosec)


def _figures(errors: ScheduleErrors) -> dict[str, Any]:
    return {
        "count": errors.count,
        "missed": errors.missed,
        "p50_ms": round(errors.p50_ms, 3),
        "p99_ms": round(errors.p99_ms, 3),
        "p99_9_ms": round(errors.p99_9_ms, 3),
        "max_ms": round(errors.max_ms, 3),
    }
