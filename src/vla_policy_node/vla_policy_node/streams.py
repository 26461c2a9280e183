"""What arrives on the streams of the contract: age, rate and the frames made of it. No ROS."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from vla_core.contract import Contract
from vla_core.decoding import stamp_ns_of
from vla_core.errors import DecodeError
from vla_core.frames import Frame, FrameAssembler

_NS_PER_S = 1_000_000_000
_RATE_WINDOW_NS = 2 * _NS_PER_S


@dataclass(frozen=True)
class StreamState:
    """One stream at one moment.

    Attributes:
        key: its name in the contract.
        topic: where it comes from.
        rate_hz: arrivals per second over the last two seconds.
        age_s: since the newest header stamp, infinite before the first message.
        max_age_s: the contract's limit.
        messages: received since the node was configured.
        problem: why the newest message could not be used; empty if it could.
    """

    key: str
    topic: str
    rate_hz: float
    age_s: float
    max_age_s: float
    messages: int
    problem: str = ""

    @property
    def valid(self) -> bool:
        """Whether the newest message is recent enough to act on, and not from the future."""
        return abs(self.age_s) <= self.max_age_s


def describe_stale(streams: tuple[StreamState, ...]) -> str:
    """Name every stream that is missing or too old, with its age; empty if none is."""
    parts = []
    for stream in streams:
        if stream.valid:
            continue
        if stream.problem:
            parts.append(stream.problem)
        elif math.isinf(stream.age_s):
            parts.append(f"{stream.key} ({stream.topic}) never arrived")
        elif stream.age_s < 0.0:
            parts.append(
                f"{stream.key} ({stream.topic}) is stamped {-stream.age_s:.2f} s in the future; "
                "bring the clocks of robot and policy together"
            )
        else:
            parts.append(
                f"{stream.key} ({stream.topic}) is {stream.age_s:.2f} s old, "
                f"at most {stream.max_age_s:g} s allowed"
            )
    return "; ".join(parts)


class _Arrivals:
    """Counters of one stream."""

    def __init__(self) -> None:
        self.newest_stamp_ns: int | None = None
        self.messages = 0
        self.problem = ""
        self._times_ns: deque[int] = deque(maxlen=512)

    def add(self, stamp_ns: int, received_ns: int) -> None:
        self.problem = ""
        self.newest_stamp_ns = stamp_ns
        self.messages += 1
        self._times_ns.append(received_ns)

    def rate_hz(self, now_ns: int) -> float:
        recent = [time for time in list(self._times_ns) if now_ns - time <= _RATE_WINDOW_NS]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        return (len(recent) - 1) * _NS_PER_S / (recent[-1] - recent[0])


class StreamHub:
    """Collects the messages of all streams and makes frames of them.

    Messages come in from several threads, frames are assembled in another one, and the control
    loop asks for ages in a third: ages never wait for a frame that is being decoded.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._assembler = FrameAssembler(contract)
        self._assembler_lock = threading.Lock()
        self._arrivals = {stream.key: _Arrivals() for stream in contract.streams}

    def push(self, key: str, message: Any, received_ns: int) -> None:
        """Take a message of stream `key` in.

        A message that cannot be used counts as not received, and the stream says why.

        Args:
            key: stream of the contract.
            message: as it was received; it is decoded when a frame needs it.
            received_ns: the node's clock, used where the message has no header stamp.
        """
        stamp_ns = stamp_ns_of(message)
        if stamp_ns is None:
            stamp_ns = received_ns
        try:
            with self._assembler_lock:
                self._assembler.push(key, stamp_ns, message)
        except DecodeError as error:
            self._arrivals[key].problem = str(error)
        else:
            self._arrivals[key].add(stamp_ns, received_ns)

    def assemble(self, tick_ns: int) -> Frame:
        """The frame of a tick, from the newest messages at or before it."""
        with self._assembler_lock:
            return self._assembler.assemble(tick_ns)

    def valid(self, now_ns: int) -> bool:
        """Whether every stream is recent enough to act on."""
        return all(
            abs(self._age_s(stream.key, now_ns)) <= stream.max_age_s
            for stream in self._contract.streams
        )

    def states(self, now_ns: int) -> tuple[StreamState, ...]:
        """Every stream at `now_ns`, in the order of the contract."""
        return tuple(
            StreamState(
                key=stream.key,
                topic=stream.topic,
                rate_hz=self._arrivals[stream.key].rate_hz(now_ns),
                age_s=self._age_s(stream.key, now_ns),
                max_age_s=stream.max_age_s,
                messages=self._arrivals[stream.key].messages,
                problem=self._arrivals[stream.key].problem,
            )
            for stream in self._contract.streams
        )

    def _age_s(self, key: str, now_ns: int) -> float:
        stamp_ns = self._arrivals[key].newest_stamp_ns
        return math.inf if stamp_ns is None else (now_ns - stamp_ns) / _NS_PER_S
