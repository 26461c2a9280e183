"""What the node knows about the ground behind the robot, and how it backs over it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from vla_core.geometry import Pose2D, arc
from vla_core.readings import ScanReading
from vla_policy_node.docking.goal import Situation
from vla_policy_node.docking.odometry_history import OdometryHistory
from vla_policy_node.docking.rear_view import UNSEEN, RearView, Trail, rear_view
from vla_policy_node.docking.retreat import Retreat, RetreatRules, room_behind

HALF_WIDTH_M, EXTENT_M = 0.25, 0.45
NS = 1_000_000_000
HERE = Situation(
    now_ns=0,
    streams=(),
    chunk_ready=False,
    at_rest=True,
    speed_mps=0.0,
    dock_from_base=None,
    charging=True,
    odometry=Pose2D(),
)


def scan(obstacles=(), fov_deg=360.0, beams=721, ranges=None):
    """A scan that sees points (x, y) of the scanner frame within 0.02 m of a beam."""
    half = math.radians(fov_deg) / 2
    angles = np.linspace(-half, half, beams)
    seen = np.full(beams, np.inf) if ranges is None else ranges
    for x, y in obstacles:
        distance, bearing = math.hypot(x, y), math.atan2(y, x)
        off = np.abs(np.remainder(angles - bearing + math.pi, math.tau) - math.pi)
        seen[off * distance < 0.02] = distance
    return ScanReading(seen.astype(np.float32), -half, 2 * half / (beams - 1), 0.05, 8.0)


def look(reading):
    return rear_view(reading, HALF_WIDTH_M, EXTENT_M)


def test_a_full_circle_sees_the_lane_behind_and_what_stands_in_it():
    assert look(scan()) == RearView(covered=True, free_m=math.inf)
    assert look(scan([(1.0, 0.0)])).free_m == math.inf, "ahead"
    view = look(scan([(-1.0, 0.1)]))
    assert view.covered
    assert view.free_m == pytest.approx(0.55, abs=0.01)
    assert look(scan([(-1.0, 0.4)])).free_m == math.inf, "beside the lane"


@pytest.mark.parametrize(("fov_deg", "covered"), [(360, True), (330, False), (240, False)])
def test_what_no_beam_sees_is_not_covered(fov_deg, covered):
    assert look(scan(fov_deg=fov_deg)).covered is covered


def test_the_robot_itself_hides_what_is_behind():
    view = look(scan([(-0.3, 0.05 * i) for i in range(-3, 4)]))
    assert not view.covered
    assert view.free_m == math.inf, "it is no obstacle, either"


def test_beams_without_a_valid_range_cover_nothing():
    ranges = np.full(721, np.inf)
    ranges[:20] = math.nan
    assert not look(scan(ranges=ranges)).covered


def drive(history, commands, start_ns=0, period_s=0.02):
    stamp_ns = start_ns
    for seconds, v, w in commands:
        for _ in range(round(seconds / period_s)):
            stamp_ns += round(period_s * NS)
            history.add(stamp_ns, v, w)
    return stamp_ns


def test_odometry_is_integrated_and_its_way_remembered():
    history = OdometryHistory(0.25)
    drive(history, [(0.02, 0.0, 0.0), (5.0, 0.2, 0.0)])
    assert history.pose.x == pytest.approx(1.0)
    assert history.trail_m == pytest.approx(1.0, abs=0.03)
    drive(history, [(2.0, 0.0, 0.5)], start_ns=6 * NS)
    assert history.trail_m == pytest.approx(0.0, abs=0.03), "after a gap it is not known any more"


def test_the_way_ends_where_it_bends_off():
    history = OdometryHistory(0.25)
    drive(history, [(5.0, 0.2, 0.0), (2.0, 0.0, math.pi / 4), (2.5, 0.2, 0.0)])
    assert history.trail_m == pytest.approx(0.5, abs=0.15)
    trail = Trail()
    assert trail.behind_m(Pose2D()) == 0.0


def test_standing_is_counted_from_the_last_movement():
    history = OdometryHistory(0.25)
    now_ns = drive(history, [(1.0, 0.2, 0.0), (0.7, 0.001, 0.0)])
    assert history.standing_s(now_ns, 0.01) == pytest.approx(0.68, abs=0.03)
    now_ns = drive(history, [(0.02, 0.05, 0.0)], start_ns=now_ns)
    assert history.standing_s(now_ns, 0.01) == 0.0


class Backing:
    """A robot on a plane, without dynamics, seen by odometry and, if wanted, from the dock."""

    def __init__(self, pose, way_m, measured, rules=None):
        self.pose = pose
        self.measured = measured
        self.situation = self._situation(0)
        self.retreat = Retreat(self.situation, way_m, rules or RetreatRules(speed_mps=0.2))
        self.path = [pose]

    def _situation(self, now_ns, rear=UNSEEN):
        return replace(
            HERE,
            now_ns=now_ns,
            odometry=self.pose,
            dock_from_base=self.pose if self.measured else None,
            rear=rear,
        )

    def run(self, seconds=20.0, rear=lambda _pose: UNSEEN, follows=1.0):
        speeds = []
        for step in range(1, round(seconds / 0.05) + 1):
            situation = self._situation(step * NS // 20, rear(self.pose))
            linear, angular = self.retreat.update(situation)
            if self.retreat.done or self.retreat.problem:
                break
            speeds.append(linear)
            self.pose = self.pose @ arc(follows * linear, follows * angular, 0.05)
            self.path.append(self.pose)
        return speeds


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("pose", [Pose2D(0.0, 0.0, 0.0), Pose2D(-0.3, 0.05, 0.1)])
def test_it_backs_as_far_as_it_is_told(measured, pose):
    backing = Backing(pose, 0.5, measured)
    speeds = backing.run()
    assert backing.retreat.done
    assert backing.retreat.backed_m == pytest.approx(0.5, abs=0.03)
    assert all(-0.2 <= speed < 0.0 for speed in speeds)


def test_a_measured_pose_brings_it_back_onto_the_approach_line():
    backing = Backing(Pose2D(-0.2, 0.06, 0.0), 0.8, measured=True)
    backing.run()
    assert abs(backing.pose.y) < 0.03
    straight = Backing(Pose2D(-0.2, 0.06, 0.0), 0.8, measured=False)
    straight.run()
    assert straight.pose.y == pytest.approx(0.06, abs=1e-6)


def test_it_stops_short_of_what_appears_behind():
    wall_m = -0.4
    backing = Backing(Pose2D(), 0.6, measured=False)
    backing.run(rear=lambda pose: RearView(True, pose.x - wall_m))
    assert backing.retreat.problem == "something is 0.11 m behind, 0.29 m of 0.60 m made"
    assert backing.pose.x - wall_m > 0.1


def test_wheels_that_do_not_turn_are_a_problem():
    backing = Backing(Pose2D(), 0.6, measured=False)
    backing.run(follows=0.0)
    assert "the robot does not move, 0.00 m of 0.60 m made" in backing.retreat.problem


@pytest.mark.parametrize(
    ("rear", "trail_m", "way_m", "note"),
    [
        (RearView(True, 2.0), 0.0, 0.5, ""),
        (RearView(True, 0.4), 9.0, 0.3, "something is 0.40 m behind"),
        (UNSEEN, 0.7, 0.5, "it is the way that the robot came"),
        (UNSEEN, 0.2, 0.2, "the robot has come only 0.20 m of it"),
    ],
)
def test_room_behind(rear, trail_m, way_m, note):
    room = room_behind(replace(HERE, rear=rear, trail_m=trail_m), 0.5, RetreatRules())
    assert room.way_m == pytest.approx(way_m)
    assert note in room.note
    assert bool(note) == bool(room.note)
