"""The last seconds of everything that was received, for what turns out later to have mattered."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from vla_recorder.message_definitions import RecordedTopic

_JUMP_BACK_NS: Final = 1_000_000_000


class Received(NamedTuple):
    """A message.

    Attributes:
        received_s: by a clock that never stands still.
        topic: it came on.
        stamp_ns: for the bag.
        data: in CDR.
    """

    received_s: float
    topic: RecordedTopic
    stamp_ns: int
    data: bytes


class RingBuffer:
    """Keeps messages for some time, or the newest of them where they would take too much memory."""

    def __init__(self, duration_s: float, limit_bytes: int) -> None:
        """Begin empty.

        Args:
            duration_s: how long a message is kept; 0 to keep none.
            limit_bytes: the oldest go when all together are larger.
        """
        self._duration_s = duration_s
        self._limit_bytes = limit_bytes
        self._messages: deque[Received] = deque()
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Serialised size of what is kept [B]."""
        return self._size_bytes

    def add(self, message: Received) -> None:
        """Keep a message, and let go of those that are too old."""
        if self._duration_s <= 0.0:
            return
        messages = self._messages
        if messages and message.stamp_ns < messages[-1].stamp_ns - _JUMP_BACK_NS:
            self.clear()  # a simulation began anew; what was before does not belong together
        messages.append(message)
        self._size_bytes += len(message.data)
        oldest_s = message.received_s - self._duration_s
        while messages[0].received_s < oldest_s or self._size_bytes > self._limit_bytes:
            self._size_bytes -= len(messages.popleft().data)
            if not messages:
                break

    def recent(self, duration_s: float, now_s: float) -> list[Received]:
        """What was received in the last seconds, oldest first.

        Args:
            duration_s: how many; 0 for all that is kept.
            now_s: by the clock of `received_s`.
        """
        since_s = now_s - (duration_s if duration_s > 0.0 else self._duration_s)
        return [message for message in self._messages if message.received_s >= since_s]

    def clear(self) -> None:
        """Forget everything."""
        self._messages.clear()
        self._size_bytes = 0
