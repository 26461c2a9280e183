"""Contact speed, standstill and the way behind, from plain messages."""

from types import SimpleNamespace

import pytest
from policy_fixtures import contract

from vla_core import keys
from vla_policy_node.docking.rear_view import UNSEEN
from vla_policy_node.docking.verification import DockEvidence, VerificationLimits

NOW_NS = 1_700_000_000_000_000_000
MS = 1_000_000
LIMITS = VerificationLimits(contact_lookback_s=0.1)
CHARGING, DISCHARGING = 1, 2


def header(stamp_ns):
    stamp = SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(stamp=stamp)


def odometry(stamp_ns, v_mps):
    twist = SimpleNamespace(linear=SimpleNamespace(x=v_mps), angular=SimpleNamespace(z=0.0))
    return SimpleNamespace(header=header(stamp_ns), twist=SimpleNamespace(twist=twist))


def battery(stamp_ns, status):
    return SimpleNamespace(header=header(stamp_ns), power_supply_status=status, current=0.0)


@pytest.fixture
def evidence():
    specs = contract()
    return DockEvidence(specs.stream(keys.ODOMETRY), specs.stream(keys.SCAN))


def approach(evidence, battery_times_ms, contact_ms=1000):
    """Slows down by 0.1 m/s per second, stops dead at the contact; charges from then on."""
    for ms in range(0, 1500, 20):
        speed = 0.2 - 0.1e-3 * ms if ms < contact_ms else 0.0
        evidence.add_odometry(odometry(NOW_NS + ms * MS, speed), NOW_NS)
        if ms in battery_times_ms:
            status = CHARGING if ms >= contact_ms else DISCHARGING
            evidence.add_battery(battery(NOW_NS + ms * MS, status), NOW_NS)


def test_contact_speed_is_that_of_the_moment_before_not_of_the_robot_at_rest(evidence):
    approach(evidence, range(0, 1500, 100))
    assert evidence.speed_mps(NOW_NS + 1500 * MS) == 0.0
    assert evidence.contact_speed_mps(LIMITS) == pytest.approx(0.11, abs=0.003)


def test_a_slow_battery_makes_it_an_upper_bound(evidence):
    approach(evidence, [0, 400, 1400])
    assert evidence.contact_speed_mps(LIMITS) == pytest.approx(0.16, abs=0.003)


def test_a_charger_that_switches_on_late_is_looked_back_from(evidence):
    approach(evidence, range(0, 1500, 20), contact_ms=1000)
    slow = DockEvidence(contract().stream(keys.ODOMETRY))
    for ms in range(0, 1500, 20):
        slow.add_odometry(odometry(NOW_NS + ms * MS, 0.1 if ms < 1000 else 0.0), NOW_NS)
        status = CHARGING if ms >= 1200 else DISCHARGING
        slow.add_battery(battery(NOW_NS + ms * MS, status), NOW_NS)
    assert slow.contact_speed_mps(LIMITS) == 0.0
    assert slow.contact_speed_mps(VerificationLimits(contact_lookback_s=0.3)) == pytest.approx(0.1)


def test_there_is_no_contact_before_charging_nor_when_its_begin_was_not_seen(evidence):
    assert evidence.contact_speed_mps(LIMITS) is None
    evidence.add_battery(battery(NOW_NS, DISCHARGING), NOW_NS)
    assert evidence.contact_speed_mps(LIMITS) is None
    late = DockEvidence(contract().stream(keys.ODOMETRY))
    late.add_battery(battery(NOW_NS, CHARGING), NOW_NS)
    assert late.contact_speed_mps(LIMITS) is None


def test_standing_and_the_way_end_with_fresh_odometry(evidence):
    approach(evidence, [])
    end_ns = NOW_NS + 1480 * MS
    assert evidence.standing_s(end_ns, LIMITS) == pytest.approx(0.48, abs=0.03)
    assert evidence.odometry_pose(end_ns).x == pytest.approx(0.15, abs=0.01)
    assert evidence.trail_m == pytest.approx(0.15, abs=0.03)
    later_ns = end_ns + 2000 * MS
    assert evidence.standing_s(later_ns, LIMITS) == 0.0
    assert evidence.odometry_pose(later_ns) is None


def test_only_a_fresh_scan_that_can_be_read_is_looked_at(evidence):
    assert evidence.rear(NOW_NS, LIMITS) is UNSEEN
    scan = SimpleNamespace(
        header=header(NOW_NS),
        ranges=[3.0] * 361,
        angle_min=-3.1416,
        angle_increment=3.1416 / 180,
        range_min=0.05,
        range_max=8.0,
    )
    evidence.add_scan(scan, NOW_NS)
    view = evidence.rear(NOW_NS + 100 * MS, LIMITS)
    assert view.covered
    assert view.free_m == pytest.approx(3.0 - LIMITS.rear_extent_m, abs=0.02)
    assert evidence.rear(NOW_NS + 5000 * MS, LIMITS) is UNSEEN
    evidence.add_scan(SimpleNamespace(header=header(NOW_NS)), NOW_NS)
    assert evidence.rear(NOW_NS, LIMITS) is UNSEEN
