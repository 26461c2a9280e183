"""Notices, while an episode is recorded, that a stream has stopped, and when it is back."""

from __future__ import annotations

from collections.abc import Iterable

from vla_recorder.recording_plan import WatchedStream
from vla_recorder.stream_monitor import StreamMonitor


class StreamWatch:
    """Follows the streams of one episode; one that has not begun yet is not said to have stopped.

    Args:
        streams: of the episode.
    """

    def __init__(self, streams: Iterable[tuple[WatchedStream, StreamMonitor]]) -> None:
        self._streams = tuple(streams)
        self._well: set[str] = set()
        self._stopped: dict[str, int] = {}

    @property
    def stopped(self) -> tuple[str, ...]:
        """Keys of the streams that are not there now, though they were."""
        return tuple(self._stopped)

    def look(self, now_ns: int) -> list[str]:
        """What has changed since the last look, one sentence for each stream.

        Args:
            now_ns: on the clock of the streams' stamps.
        """
        changes = []
        for stream, monitor in self._streams:
            report = monitor.report(now_ns)
            if report.valid and report.messages:
                if stream.key in self._stopped:
                    away_s = (now_ns - self._stopped.pop(stream.key)) / 1e9
                    changes.append(f"{stream.key} ({stream.topic}) is back after {away_s:.1f} s")
                self._well.add(stream.key)
            elif stream.key in self._well and stream.key not in self._stopped:
                self._stopped[stream.key] = now_ns - round(report.age_s * 1e9)
                changes.append(
                    f"{stream.key} ({stream.topic}) has stopped: its newest message is "
                    f"{report.age_s:.2f} s old, the contract allows {stream.max_age_s:g} s"
                )
        return changes
