"""What the messages of one stream say about the stream itself: alive, frozen, or out of time."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np

from vla_core.contract import OdometryDecoder, ScanDecoder, StreamSpec

FUTURE_TOLERANCE_S: Final = 0.1
"""Clocks of different machines may be this far apart."""

_NS_PER_S = 1_000_000_000
_RATE_WINDOW_NS = 2 * _NS_PER_S
_SAMPLE_BYTES = 4096
_MIN_REPEATS = 3


class Arrivals:
    """Times and contents of the messages of one stream.

    Messages are added by one thread; others may ask meanwhile, each attribute being replaced as a
    whole.

    Args:
        stream: of the contract.
    """

    def __init__(self, stream: StreamSpec) -> None:
        self._stream = stream
        self._tolerance_ns = round(min(stream.max_age_s, FUTURE_TOLERANCE_S) * _NS_PER_S)
        self._times_ns: deque[int] = deque(maxlen=512)
        self._content: bytes | None = None
        self._repeats = 0
        self._content_since_ns: int | None = None
        self.newest_stamp_ns: int | None = None
        self.messages = 0
        self.problem = ""

    def add(self, stamp_ns: int, received_ns: int, content: bytes) -> None:
        """Take a message in.

        A stamp that is not after the newest one is no news, and neither is one from the future: the
        stream then ages as if nothing had come, and `problem` says why.

        Args:
            stamp_ns: of the header.
            received_ns: the node's clock.
            content: see `fingerprint`.
        """
        self.messages += 1
        if self._times_ns and received_ns < self._times_ns[-1]:
            self._times_ns.clear()  # the clock was set back: they lie in the future
        self._times_ns.append(received_ns)
        self._compare(content, received_ns)
        ahead_ns = stamp_ns - received_ns
        newest_ns = self.newest_stamp_ns
        if newest_ns is not None and newest_ns - received_ns > self._tolerance_ns:
            newest_ns = None  # the clock was set back: earlier stamps say nothing any more
        name = f"{self._stream.key} ({self._stream.topic})"
        if ahead_ns > self._tolerance_ns:
            self.problem = (
                f"{name} is stamped {ahead_ns / _NS_PER_S:.2f} s in the future; "
                "bring the clocks of robot and policy together"
            )
        elif newest_ns is not None and stamp_ns == newest_ns:
            self.problem = f"{name} repeats the stamp of the message before"
        elif newest_ns is not None and stamp_ns < newest_ns:
            back_s = (newest_ns - stamp_ns) / _NS_PER_S
            self.problem = f"{name} is stamped {back_s:.2f} s before an earlier message"
        else:
            self.newest_stamp_ns = stamp_ns
            self.problem = ""

    def refuse(self, problem: str) -> None:
        """Note a message that cannot be used; it counts as not received."""
        self.problem = problem

    def forget(self) -> None:
        """Wait for another message before this stream is valid again."""
        self.newest_stamp_ns = None
        self._content, self._content_since_ns, self._repeats = None, None, 0

    def rate_hz(self, now_ns: int) -> float:
        """Arrivals per second over the last two seconds."""
        recent = [time for time in list(self._times_ns) if now_ns - time <= _RATE_WINDOW_NS]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        return (len(recent) - 1) * _NS_PER_S / (recent[-1] - recent[0])

    @property
    def same_since_ns(self) -> int | None:
        """Since when the content has been the same, bit for bit; None if it changes."""
        return self._content_since_ns if self._repeats >= _MIN_REPEATS else None

    def validity_ns(self) -> tuple[int, int] | None:
        """From when to when the newest message may be acted on; None without one."""
        stamp_ns = self.newest_stamp_ns
        if stamp_ns is None:
            return None
        return stamp_ns - self._tolerance_ns, stamp_ns + self._stream.max_age_ns

    def _compare(self, content: bytes, received_ns: int) -> None:
        since_ns = self._content_since_ns
        if since_ns is None or content != self._content:
            self._repeats = 0  # first, for who asks meanwhile
            self._content, self._content_since_ns, self._repeats = content, received_ns, 1
        else:
            self._repeats += 1
            self._content_since_ns = min(since_ns, received_ns)  # the clock may be set back


def fingerprint(stream: StreamSpec, message: Any) -> bytes:
    """What two messages have to have in common to hold the same measurement.

    A sensor has noise: equal bits twice mean that it was not read again, or that the world stands
    still before a simulated one. Of an image every so many bytes are taken, 4096 at most.
    """
    if isinstance(stream.decoder, OdometryDecoder):
        pose, twist = message.pose.pose, message.twist.twist
        values = [pose.position.x, pose.position.y, pose.orientation.z, pose.orientation.w]
        return np.array([*values, twist.linear.x, twist.angular.z], np.float64).tobytes()
    if isinstance(stream.decoder, ScanDecoder):
        return np.asarray(message.ranges, np.float32).tobytes()
    data = np.asarray(message.data if isinstance(message.data, list) else memoryview(message.data))
    return data[:: max(1, -(-data.size // _SAMPLE_BYTES))].tobytes()
