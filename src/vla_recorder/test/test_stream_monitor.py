import math

import pytest

from vla_recorder.stream_monitor import StreamMonitor

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
