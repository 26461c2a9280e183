import math

import pytest

from vla_recorder.recording_plan import WatchedStream
from vla_recorder.stream_monitor import StreamMonitor
from vla_recorder.stream_watch import StreamWatch

MS = 1_000_000


def test_before_the_first_message():
    report = StreamMonitor(0.2).report(5_000 * MS)
    assert (report.rate_hz, report.messages, report.valid) == (0.0, 0, False)
    assert math.isinf(report.age_s)


def test_rate_age_and_count():
    monitor = StreamMonitor(0.2)
    for i in range(100):
        monitor.update(i * 50 * MS + 3 * MS, i * 50 * MS)
    report = monitor.report(99 * 50 * MS + 10 * MS)
    assert report.rate_hz == pytest.approx(20.0)
    assert report.age_s == pytest.approx(0.010)
    assert report.messages == 100
    assert report.valid


def test_a_stream_that_stops_gets_old_and_its_rate_falls_to_zero():
    monitor = StreamMonitor(0.2)
    for i in range(100):
        monitor.update(i * 50 * MS, i * 50 * MS)
    report = monitor.report(20_000 * MS)
    assert not report.valid
    assert report.rate_hz == 0.0
    assert report.age_s == pytest.approx(20.0 - 99 * 0.05)


def test_reset_counts_from_zero():
    monitor = StreamMonitor(0.2)
    monitor.update(1, 1)
    monitor.reset()
    assert monitor.report(2).messages == 0
    monitor.update(3, 3)
    assert monitor.messages == 1


def test_a_clock_that_jumps_back_starts_the_rate_anew():
    monitor = StreamMonitor(0.2)
    for i in range(10):
        monitor.update(60_000 * MS + i * 10 * MS, 0)
    for i in range(21):
        monitor.update(i * 50 * MS, i * 50 * MS)
    assert monitor.report(20 * 50 * MS).rate_hz == pytest.approx(20.0)


def test_stamps_from_the_future_are_not_valid():
    monitor = StreamMonitor(0.2)
    monitor.update(0, 1_000 * MS)
    assert not monitor.report(0).valid


def test_gaps_disorder_missing_stamps_and_skew_are_counted():
    monitor = StreamMonitor(0.2)
    for received_ms, stamp_ms in ((100, 90), (150, 140), (450, 440), (500, 440), (550, 0)):
        monitor.update(received_ms * MS, stamp_ms * MS)
    report = monitor.report(560 * MS)
    assert report.largest_gap_s == pytest.approx(0.3)
    assert report.disordered == 1
    assert report.unstamped == 1
    monitor.update(600 * MS, 570 * MS)
    assert monitor.report(600 * MS).skew_s == pytest.approx(0.030)
    monitor.reset()
    report = monitor.report(600 * MS)
    assert (report.largest_gap_s, report.disordered, report.unstamped) == (0.0, 0, 0)


def test_stream_that_stops_is_said_once_and_when_it_is_back():
    stream = WatchedStream("image", "/camera/image_raw", 0.2, 20.0)
    monitor = StreamMonitor(0.2)
    watch = StreamWatch([(stream, monitor)])
    assert watch.look(0) == []  # it has not begun
    for received_ms in range(0, 1000, 50):
        monitor.update(received_ms * MS, received_ms * MS)
        assert watch.look(received_ms * MS) == []
    (said,) = watch.look(1200 * MS)
    assert "image (/camera/image_raw) has stopped" in said
    assert "allows 0.2 s" in said
    assert watch.look(1300 * MS) == []
    assert watch.stopped == ("image",)
    monitor.update(2000 * MS, 2000 * MS)
    assert watch.look(2000 * MS) == ["image (/camera/image_raw) is back after 1.1 s"]
    assert watch.stopped == ()
