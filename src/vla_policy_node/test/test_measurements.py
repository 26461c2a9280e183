"""Stream ages and rates, docking evidence and period statistics, from plain messages."""

import math
from types import SimpleNamespace

import pytest
from policy_fixtures import contract

from vla_core import keys
from vla_policy_node.control.timing import PeriodMonitor, schedule_errors
from vla_policy_node.docking.verification import DockEvidence, VerificationLimits
from vla_policy_node.sensing.streams import StreamHub, describe_stale

NOW_NS = 1_700_000_000_000_000_000
LIMITS = VerificationLimits(battery_max_age_s=2.5, pose_max_age_s=0.5, charging_current_a=0.1)
UNKNOWN, CHARGING, DISCHARGING = 0, 1, 2


def header(stamp_ns):
    stamp = SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(stamp=stamp)


def odometry(stamp_ns, v_mps):
    twist = SimpleNamespace(linear=SimpleNamespace(x=v_mps), angular=SimpleNamespace(z=0.0))
    position = SimpleNamespace(x=v_mps * 1e-9 * (stamp_ns - NOW_NS), y=0.0)
    pose = SimpleNamespace(position=position, orientation=SimpleNamespace(z=0.0, w=1.0))
    return SimpleNamespace(
        header=header(stamp_ns),
        pose=SimpleNamespace(pose=pose),
        twist=SimpleNamespace(twist=twist),
    )


def battery(stamp_ns, status, current_a=math.nan):
    return SimpleNamespace(header=header(stamp_ns), power_supply_status=status, current=current_a)


def dock_pose(stamp_ns, x, w=1.0):
    position = SimpleNamespace(x=x, y=0.0, z=0.0)
    orientation = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=w)
    pose = SimpleNamespace(position=position, orientation=orientation)
    return SimpleNamespace(header=header(stamp_ns), pose=pose)


@pytest.fixture
def evidence():
    return DockEvidence(contract().stream(keys.ODOMETRY))


def state_of(hub, key, now_ns):
    return {state.key: state for state in hub.states(now_ns)}[key]


def test_age_and_rate_of_a_stream():
    hub = StreamHub(contract())
    for index in range(21):
        stamp_ns = NOW_NS + index * 100_000_000
        hub.push(keys.ODOMETRY, odometry(stamp_ns, 0.1), stamp_ns + 5_000_000)
    state = state_of(hub, keys.ODOMETRY, NOW_NS + 2_100_000_000)
    assert state.rate_hz == pytest.approx(10.0)
    assert state.age_s == pytest.approx(0.1)
    assert state.messages == 21
    assert state.valid
    assert not state_of(hub, keys.ODOMETRY, NOW_NS + 3_100_000_000).valid


def test_missing_streams_are_named():
    hub = StreamHub(contract())
    hub.push(keys.ODOMETRY, odometry(NOW_NS, 0.1), NOW_NS)
    assert not hub.valid(NOW_NS)
    text = describe_stale(hub.states(NOW_NS + 1_250_000_000))
    assert "image (camera/image_raw) never arrived" in text
    assert "odometry (odom) is 1.25 s old, at most 1 s allowed" in text


def test_an_unusable_message_counts_as_not_received_and_says_why():
    hub = StreamHub(contract())
    image = SimpleNamespace(
        header=header(NOW_NS), encoding="rgb16", height=2, width=2, step=12, data=bytes(24)
    )
    hub.push(keys.IMAGE, image, NOW_NS)
    state = state_of(hub, keys.IMAGE, NOW_NS)
    assert state.messages == 0
    assert "rgb16" in describe_stale((state,))


def test_a_message_without_a_header_has_its_time_of_arrival():
    hub = StreamHub(contract())
    message = odometry(0, 0.1)
    del message.header
    hub.push(keys.ODOMETRY, message, NOW_NS)
    assert state_of(hub, keys.ODOMETRY, NOW_NS + 10**8).age_s == pytest.approx(0.1)
    assert hub.assemble(NOW_NS + 10**8).valid.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("status", "current_a", "charging"),
    [
        (CHARGING, math.nan, True),
        (CHARGING, -1.0, True),
        (DISCHARGING, 2.0, False),
        (UNKNOWN, 2.0, True),
        (UNKNOWN, 0.05, False),
        (UNKNOWN, math.nan, False),
    ],
)
def test_charging(evidence, status, current_a, charging):
    assert evidence.charging(NOW_NS, LIMITS) is None
    evidence.add_battery(battery(NOW_NS, status, current_a), NOW_NS)
    assert evidence.charging(NOW_NS + 10**9, LIMITS) is charging
    assert evidence.charging(NOW_NS + 3 * 10**9, LIMITS) is None, "too old"


def test_speed_is_fresh_or_unknown(evidence):
    assert evidence.speed_mps(NOW_NS) is None
    evidence.add_odometry(odometry(NOW_NS, -0.2), NOW_NS)
    assert evidence.speed_mps(NOW_NS + 10**8) == pytest.approx(0.2)
    evidence.add_odometry(odometry(NOW_NS + 10**8, math.nan), NOW_NS)
    assert evidence.speed_mps(NOW_NS + 10**8) == pytest.approx(0.2), "not a speed: ignored"
    assert evidence.speed_mps(NOW_NS + 2 * 10**9) is None


def test_dock_pose_is_seen_from_the_dock(evidence):
    evidence.add_dock_pose(dock_pose(NOW_NS, 0.4), NOW_NS)
    pose = evidence.dock_from_base(NOW_NS + 10**8, LIMITS)
    assert (pose.x, pose.y, pose.yaw) == pytest.approx((-0.4, 0.0, 0.0))
    evidence.add_dock_pose(dock_pose(NOW_NS + 10**8, 0.2, w=0.0), NOW_NS)
    assert evidence.dock_from_base(NOW_NS + 10**8, LIMITS).x == pytest.approx(-0.4)
    assert evidence.dock_from_base(NOW_NS + 10**9, LIMITS) is None


def test_period_errors_leave_out_pauses():
    monitor = PeriodMonitor(50_000_000)
    assert monitor.summary() is None
    for time_ms in (0, 50, 102, 150):
        monitor.add(time_ms * 1_000_000)
    monitor.pause()
    monitor.add(9_000_000_000)
    monitor.add(9_050_000_000)
    errors = monitor.summary()
    assert errors.count == 4
    assert errors.p50_ms == pytest.approx(1.0)
    assert errors.max_ms == pytest.approx(2.0)
    assert "period error of 4 commands: p50 1.00 ms" in str(errors)


def test_schedule_errors_are_those_of_each_command_not_of_the_intervals():
    late_ms = [0.0] * 200
    late_ms[50] = late_ms[90] = 7.0
    late_ms[120] = 42.0
    phase_ns = NOW_NS + 13_370_000
    times_ns = [phase_ns + 50_000_000 * i + round(1e6 * late_ms[i]) for i in range(200) if i != 77]
    errors = schedule_errors(times_ns, 50_000_000)
    assert (errors.count, errors.missed) == (199, 1)
    assert errors.p50_ms == pytest.approx(0.0, abs=1e-6)
    assert errors.max_ms == pytest.approx(42.0)
    assert errors.p99_ms == pytest.approx(7.0, abs=0.2)
    assert errors.p99_ms <= errors.p99_9_ms <= errors.max_ms


def test_schedule_errors_find_the_phase_of_commands_that_are_mostly_late():
    times_ns = [50_000_000 * i + (3_000_000 if i % 5 else 0) for i in range(100)]
    errors = schedule_errors(times_ns, 50_000_000)
    assert errors.missed == 0
    assert errors.p50_ms == pytest.approx(0.0, abs=1e-6), "most commands keep to the schedule"
    assert errors.max_ms == pytest.approx(3.0)


def test_a_command_that_is_late_by_more_than_a_period_is_one_error_not_many():
    times_ns = [50_000_000 * i for i in range(400)]
    times_ns[100] += 49_000_000  # arrives right before the next one
    times_ns[200] += 60_000_000  # together with the next one
    times_ns[201] += 11_000_000
    errors = schedule_errors(times_ns, 50_000_000)
    assert errors.missed == 0
    assert errors.p50_ms == pytest.approx(0.0, abs=1e-6)
    assert errors.p99_ms < 12.0
    assert errors.max_ms == pytest.approx(60.0)
