"""What arrives on the streams of the contract: age, rate and the frames made of it. No ROS."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vla_core import keys
from vla_core.clearance import Surroundings, reach_m, scan_points
from vla_core.contract import Contract, OdometryDecoder, ScanDecoder
from vla_core.decoding import reading_from_message, stamp_ns_of
from vla_core.errors import DecodeError
from vla_core.frames import Frame, FrameAssembler
from vla_core.readings import ScanReading
from vla_policy_node.sensing.stream_arrivals import FUTURE_TOLERANCE_S, Arrivals, fingerprint
from vla_policy_node.sensing.stream_motion import MotionWatch

_NS_PER_S = 1_000_000_000
_LONG_AGO_NS, _FAR_AHEAD_NS = -(2**63), 2**63 - 1
_CLOCK_JUMP_NS = 100_000_000


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
        fault: why nothing that it says can be acted on; empty if it can.
    """

    key: str
    topic: str
    rate_hz: float
    age_s: float
    max_age_s: float
    messages: int
    problem: str = ""
    fault: str = ""

    @property
    def valid(self) -> bool:
        """Whether the newest message is recent enough to act on, and not from the future."""
        in_time = -min(self.max_age_s, FUTURE_TOLERANCE_S) <= self.age_s <= self.max_age_s
        return in_time and not self.fault


def describe_stale(streams: tuple[StreamState, ...]) -> str:
    """Name every stream that is missing or too old, with its age; empty if none is."""
    parts = []
    for stream in streams:
        if stream.valid:
            continue
        if stream.fault or stream.problem:
            parts.append(stream.fault or stream.problem)
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


class StreamHub:
    """Collects the messages of all streams and makes frames of them.

    Messages come in from several threads, frames are assembled in another one, and the control
    loop asks for ages in a third: ages never wait for a frame that is being decoded.

    A stream that arrives is not yet one that can be trusted. One that repeats itself bit by bit
    while the robot moves is frozen, and a clock that leaps makes every age a guess.

    Args:
        contract: of the robot.
        on_clock_jump: called with a sentence when the clock has leapt; None with a simulated one,
            which leaps at every reset.
    """

    def __init__(
        self, contract: Contract, on_clock_jump: Callable[[str], object] | None = None
    ) -> None:
        self._contract = contract
        self._on_clock_jump = on_clock_jump
        self._assembler = FrameAssembler(contract)
        self._assembler_lock = threading.Lock()
        self._arrivals = {stream.key: Arrivals(stream) for stream in contract.streams}
        self._motion = MotionWatch()
        self._offset_ns: int | None = None
        self._obstacles = contract.safety.obstacles if contract.safety else None
        self._reach_m = _reach_m(contract)
        self._surroundings: Surroundings | None = None

    def push(self, key: str, message: Any, received_ns: int) -> None:
        """Take a message of stream `key` in.

        A message that cannot be used counts as not received, and the stream says why.

        Args:
            key: stream of the contract.
            message: as it was received; it is decoded when a frame needs it.
            received_ns: the node's clock, used where the message has no header stamp.
        """
        self._check_clock(received_ns)
        stamp_ns = stamp_ns_of(message)
        if stamp_ns is None:
            stamp_ns = received_ns
        try:
            with self._assembler_lock:
                self._assembler.push(key, stamp_ns, message)
        except DecodeError as error:
            self._arrivals[key].refuse(str(error))
            return
        stream = self._contract.stream(key)
        self._arrivals[key].add(stamp_ns, received_ns, fingerprint(stream, message))
        if isinstance(stream.decoder, OdometryDecoder):
            self._motion.add_odometry(message, received_ns)
        elif isinstance(stream.decoder, ScanDecoder) and key == keys.SCAN:
            self._look_around(message, stamp_ns)

    def note_command(self, v_mps: float, w_radps: float, now_ns: int) -> None:
        """Say what the robot was told to do, at each command."""
        self._motion.add_command(v_mps, w_radps, now_ns)

    def give_another_chance(self) -> None:
        """Judge anew, at the start of a goal, what was frozen: blocked wheels look like it."""
        self._motion.forget()

    def assemble(self, tick_ns: int) -> Frame:
        """The frame of a tick, from the newest messages at or before it."""
        with self._assembler_lock:
            return self._assembler.assemble(tick_ns)

    @property
    def surroundings(self) -> Surroundings | None:
        """Points of the newest scan; None before one, or if the robot brakes for no obstacle."""
        return self._surroundings

    def valid(self, now_ns: int) -> bool:
        """Whether every stream is recent enough to act on."""
        first_ns, last_ns = self.validity_ns(now_ns)
        return first_ns <= now_ns <= last_ns

    def validity_ns(self, now_ns: int) -> tuple[int, int]:
        """From when to when every stream is recent enough to act on, if nothing more arrives.

        A stream that repeats itself while the robot moves is as good as silent. The first is above
        the second as long as a stream has not arrived, and from when one counts as frozen.

        Args:
            now_ns: the node's clock.
        """
        first_ns, last_ns = _LONG_AGO_NS, _FAR_AHEAD_NS
        for key, arrivals in self._arrivals.items():
            validity_ns = arrivals.validity_ns()
            frozen_ns = self._frozen_from_ns(key, now_ns)
            if validity_ns is None or (frozen_ns is not None and now_ns > frozen_ns):
                return _FAR_AHEAD_NS, _LONG_AGO_NS
            first_ns = max(first_ns, validity_ns[0])
            last_ns = min(
                last_ns, validity_ns[1], _FAR_AHEAD_NS if frozen_ns is None else frozen_ns
            )
        return first_ns, last_ns

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
                fault=self._fault(stream.key, now_ns),
            )
            for stream in self._contract.streams
        )

    def _age_s(self, key: str, now_ns: int) -> float:
        stamp_ns = self._arrivals[key].newest_stamp_ns
        return math.inf if stamp_ns is None else (now_ns - stamp_ns) / _NS_PER_S

    def _frozen_from_ns(self, key: str, now_ns: int) -> int | None:
        """From when on a stream is frozen if its content stays the same; None if it is not.

        It is if the robot moved for longer than the stream's maximum age meanwhile. That the robot
        has braked for it since, and moves no more, is no sign of life.
        """
        stream, same_since_ns = self._contract.stream(key), self._arrivals[key].same_since_ns
        if same_since_ns is None:
            return None
        odometry, motion = isinstance(stream.decoder, OdometryDecoder), self._motion
        spells = motion.unnoticed(now_ns) if odometry else motion.moved(now_ns)
        frozen_ns = (spell.exceeds_ns(stream.max_age_ns, same_since_ns) for spell in spells)
        return min((from_ns for from_ns in frozen_ns if from_ns is not None), default=None)

    def _fault(self, key: str, now_ns: int) -> str:
        """That a stream is frozen; empty if it is not."""
        stream, same_since_ns = self._contract.stream(key), self._arrivals[key].same_since_ns
        frozen_ns = self._frozen_from_ns(key, now_ns)
        if frozen_ns is None or same_since_ns is None or now_ns <= frozen_ns:
            return ""
        odometry = isinstance(stream.decoder, OdometryDecoder)
        return (
            f"{key} ({stream.topic}) is frozen: the same content for "
            f"{(now_ns - same_since_ns) / _NS_PER_S:.2f} s, "
            f"while the robot {'should be moving' if odometry else 'moves'}"
        )

    def _look_around(self, message: Any, stamp_ns: int) -> None:
        if self._obstacles is None:
            return
        stream = self._contract.stream(keys.SCAN)
        reading = reading_from_message(stream, message)
        if isinstance(reading, ScanReading) and isinstance(stream.decoder, ScanDecoder):
            points = scan_points(
                reading, self._obstacles, stream.decoder.range_min_m, self._reach_m
            )
            self._surroundings = Surroundings(points, stamp_ns)

    def _check_clock(self, now_ns: int) -> None:
        if self._on_clock_jump is None:
            return
        offset_ns = now_ns - time.monotonic_ns()
        previous_ns, self._offset_ns = self._offset_ns, offset_ns
        if previous_ns is None or abs(offset_ns - previous_ns) <= _CLOCK_JUMP_NS:
            return
        for arrivals in self._arrivals.values():
            arrivals.forget()
        jump_s = (offset_ns - previous_ns) / _NS_PER_S
        self._on_clock_jump(
            f"the clock jumped {'forward' if jump_s > 0.0 else 'back'} by {abs(jump_s):.2f} s"
        )


def _reach_m(contract: Contract) -> float:
    action, safety = contract.action, contract.safety
    if safety is None or safety.obstacles is None or "linear.x" not in action.fields:
        return math.inf
    index = action.fields.index("linear.x")
    speed_mps = max(action.high[index], -action.low[index])
    return reach_m(safety.obstacles, speed_mps, action.max_acceleration[index])
