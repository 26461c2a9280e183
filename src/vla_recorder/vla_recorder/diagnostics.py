"""The recorder's health and that of the streams, for /diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from vla_recorder.bag_inspection import SLOW
from vla_recorder.episode import Episode
from vla_recorder.recording_plan import WatchedStream
from vla_recorder.stream_monitor import StreamMonitor


def diagnostic_array(
    name: str,
    stamp: Time,
    episode: Episode | None,
    streams: Iterable[tuple[WatchedStream, StreamMonitor]],
    now_ns: int,
) -> DiagnosticArray:
    """How the recorder and its streams are.

    Args:
        name: of the node.
        stamp: of the message.
        episode: that is being recorded, if any.
        streams: that are watched.
        now_ns: on the clock of their stamps.
    """
    array = DiagnosticArray()
    array.header.stamp = stamp
    array.status = [_recorder(name, episode)]
    array.status += [_stream(name, stream, monitor, now_ns) for stream, monitor in streams]
    return array


def _recorder(name: str, episode: Episode | None) -> DiagnosticStatus:
    if episode is None:
        return _status(DiagnosticStatus.OK, f"{name}: recording", "waiting for an episode", {})
    writer = episode.writer
    level, text = DiagnosticStatus.OK, f"recording {episode.request.name}"
    if writer.failure is not None:
        level, text = DiagnosticStatus.ERROR, str(writer.failure)
    elif writer.dropped:
        level, text = DiagnosticStatus.ERROR, f"{writer.dropped} messages dropped: slow disk"
    values = {
        "elapsed [s]": f"{episode.elapsed_s:.1f}",
        "messages": str(writer.messages),
        "size [MB]": f"{writer.size_bytes / 1e6:.1f}",
        "dropped": str(writer.dropped),
    }
    return _status(level, f"{name}: recording", text, values)


def _stream(
    name: str, stream: WatchedStream, monitor: StreamMonitor, now_ns: int
) -> DiagnosticStatus:
    report = monitor.report(now_ns)
    level, text = DiagnosticStatus.OK, "as the contract says"
    if report.age_s == float("inf"):
        level, text = DiagnosticStatus.STALE, "nothing received yet"
    elif not report.valid:
        level, text = DiagnosticStatus.ERROR, f"newest message {report.age_s:.2f} s old"
    elif report.unstamped:
        level, text = DiagnosticStatus.ERROR, f"{report.unstamped} messages without a stamp"
    elif report.disordered:
        level, text = DiagnosticStatus.WARN, f"{report.disordered} stamps out of order"
    elif report.rate_hz < SLOW * stream.rate_hz:
        level, text = DiagnosticStatus.WARN, f"{report.rate_hz:.1f} of {stream.rate_hz:g} Hz"
    elif report.largest_gap_s > stream.max_age_s:
        level, text = DiagnosticStatus.WARN, f"had a gap of {report.largest_gap_s:.2f} s"
    values = {
        "topic": stream.topic,
        "rate [Hz]": f"{report.rate_hz:.1f}",
        "nominal rate [Hz]": f"{stream.rate_hz:g}",
        "age [s]": f"{report.age_s:.3f}",
        "largest gap [s]": f"{report.largest_gap_s:.3f}",
        "stamp to reception [s]": f"{report.skew_s:.3f}",
        "messages": str(report.messages),
        "out of order": str(report.disordered),
        "without a stamp": str(report.unstamped),
    }
    return _status(level, f"{name}: {stream.key}", text, values)


def _status(level: bytes, name: str, text: str, values: Mapping[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=text, values=pairs)
