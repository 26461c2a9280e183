import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_core.clearance import (
    Surroundings,
    scan_points,
    speed_factor,
    station_points,
    time_to_contact,
)
from vla_core.contract_safety import DockCorridor, Footprint, ObstacleSpec
from vla_core.geometry import Pose2D, arc
from vla_core.readings import ScanReading

SPEC = ObstacleSpec(
    Footprint(front_m=0.3, rear_m=0.28, half_width_m=0.2),
    Pose2D(0.15, 0.0, 0.0),
    stop_distance_m=0.05,
    side_margin_m=0.02,
    reaction_s=0.1,
)
ACCELERATION = (1.0, 4.0)
places = st.tuples(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0))
velocities = st.tuples(st.floats(-0.5, 0.5), st.floats(-1.5, 1.5))


def around(points, dock_from_base=None):
    return Surroundings(np.array(points, np.float64).reshape(-1, 2), 0, dock_from_base)


def factor(points, v, w=0.0, dock_from_base=None, spec=SPEC):
    return speed_factor(around(points, dock_from_base), spec, v, w, ACCELERATION)


def is_within(point, spec, outline=True):
    """Whether a point lies in the robot's outline, by its definition."""
    gap, margin = (spec.stop_distance_m, spec.side_margin_m) if outline else (0.0, 0.0)
    x, y = point
    footprint = spec.footprint
    along = -footprint.rear_m - gap < x < footprint.front_m + gap
    return along and abs(y) < footprint.half_width_m + margin


def seen_after(point, v, w, time_s):
    """A point of the floor as the robot sees it after driving on."""
    return arc(v, w, time_s).inverse() @ Pose2D(*point)


def test_points_lie_where_the_beams_end():
    scan = ScanReading(
        np.array([1.0, 2.0, math.inf, math.nan, 0.02, 9.0], np.float32),
        angle_min=-math.pi / 2,
        angle_increment=math.pi / 2,
        range_min=0.05,
        range_max=8.0,
    )
    points = scan_points(scan, SPEC)
    assert points == pytest.approx(np.array([[0.15, -1.0], [2.15, 0.0]]), abs=1e-6)
    assert points.dtype == np.float32
    assert scan_points(scan, SPEC, range_min_m=1.5) == pytest.approx(points[1:])
    assert scan_points(scan, SPEC, reach_m=1.5) == pytest.approx(points[:1])
    turned = dataclasses.replace(SPEC, base_from_scanner=Pose2D(0.1, 0.2, math.pi / 2))
    assert scan_points(scan, turned) == pytest.approx(np.array([[1.1, 0.2], [0.1, 2.2]]), abs=1e-6)


def test_points_move_as_the_robot_drives_on():
    start = around([[1.0, 0.0], [0.0, 1.0]])
    assert start.predicted(100_000_000, 0.5, 0.0).points[0] == pytest.approx([0.95, 0.0])
    turned = start.predicted(250_000_000, 0.0, math.pi)
    assert turned.points[0] == pytest.approx([math.cos(math.pi / 4), -math.sin(math.pi / 4)])
    expected = seen_after((1.0, 0.0), 0.4, 0.8, 0.3)
    moved = start.predicted(300_000_000, 0.4, 0.8)
    assert moved.points[0] == pytest.approx([expected.x, expected.y])
    assert start.predicted(-5, 0.5, 0.5).points == pytest.approx(start.points)
    assert start.predicted(10**10, 0.4, 0.0).points[0] == pytest.approx([0.8, 0.0])


@pytest.mark.parametrize(
    ("point", "v", "w", "expected_s"),
    [
        ((1.0, 0.0), 0.5, 0.0, 1.3),  # 1.0 - 0.3 - 0.05 at 0.5 m/s
        ((1.0, 0.0), -0.5, 0.0, math.inf),
        ((-1.0, 0.1), -0.5, 0.0, 1.34),
        ((1.0, 0.23), 0.5, 0.0, math.inf),  # passes beside
        ((1.0, 0.21), 0.5, 0.0, 1.3),
        ((0.0, 0.3), 0.0, 1.0, None),  # a corner comes around
        ((0.0, 0.5), 0.0, 1.0, math.inf),
        ((0.0, 0.0), 0.0, 0.0, math.inf),
    ],
)
def test_time_to_contact(point, v, w, expected_s):
    time_s = time_to_contact(np.array([point]), SPEC, v, w)
    if expected_s is None:
        # The front left corner of the outline, at 0.35 m, reaches y = 0.3 along its circle.
        corner = math.hypot(0.35, 0.22)
        assert corner > 0.3
        side = math.acos(0.22 / 0.3)  # the point meets the side, not the corner
        assert time_s == pytest.approx(side)
    else:
        assert time_s == pytest.approx(expected_s)


@settings(max_examples=100)
@given(st.lists(places, min_size=1, max_size=6), velocities)
def test_contact_is_when_the_first_point_enters_the_outline(points, velocity):
    """Held against driving on in small steps."""
    v, w = velocity
    outside = [point for point in points if not is_within(point, SPEC)]
    contact_s = time_to_contact(np.array(outside).reshape(-1, 2), SPEC, v, w)
    times = np.arange(0.0, 4.0, 0.02)
    entered = [
        time_s
        for time_s in times
        if any(
            is_within((seen.x, seen.y), SPEC)
            for seen in (seen_after(point, v, w, time_s) for point in outside)
        )
    ]
    if entered:
        assert contact_s <= entered[0] + 1e-6
    if contact_s < 3.9:
        # It is a contact indeed: a little later something is within, or on the edge.
        grown = dataclasses.replace(
            SPEC,
            stop_distance_m=SPEC.stop_distance_m + 0.003,
            side_margin_m=SPEC.side_margin_m + 0.003,
        )
        seen = [seen_after(point, v, w, contact_s) for point in outside]
        assert any(is_within((each.x, each.y), grown) for each in seen)


@settings(max_examples=100)
@given(st.lists(places, min_size=1, max_size=6), velocities)
def test_the_robot_comes_to_rest_before_it_touches_anything(points, velocity):
    """Drives on with what is allowed at every tick, as the base would with its reaction time."""
    points = [point for point in points if not is_within(point, SPEC)]
    v, w = velocity
    base = Pose2D()
    for _ in range(120):
        seen = [base.inverse() @ Pose2D(*point) for point in points]
        here = [(each.x, each.y) for each in seen]
        share = factor(here, v, w)
        assert 0.0 <= share <= 1.0
        # A half of the reaction time is the tick, the other half is left for the base.
        base = base @ arc(share * v, share * w, 0.05)
        for point in points:
            now = base.inverse() @ Pose2D(*point)
            assert not is_within((now.x, now.y), SPEC, outline=False)


@given(places, velocities)
def test_slower_is_never_forbidden_where_faster_is_allowed(point, velocity):
    v, w = velocity
    share = factor([point], v, w)
    assert factor([point], 0.5 * v, 0.5 * w) >= share - 1e-9
    if share > 1e-6:
        assert factor([point], share * v, share * w) == pytest.approx(1.0, abs=1e-6)


@given(st.floats(0.36, 3.0))
def test_the_barrier_of_the_literature(distance):
    """v <= sqrt(2 a (d - d_stop)) without a reaction time, and less with one."""
    prompt = dataclasses.replace(SPEC, reaction_s=0.0)
    free = distance - SPEC.footprint.front_m - SPEC.stop_distance_m
    fast = 5.0
    allowed = factor([(distance, 0.0)], fast, spec=prompt) * fast
    assert allowed == pytest.approx(min(fast, math.sqrt(2.0 * free)), abs=1e-6)
    slower = factor([(distance, 0.0)], fast) * fast
    assert slower * SPEC.reaction_s + slower**2 / 2.0 == pytest.approx(free, abs=1e-6)


def test_too_near_ahead_only_the_way_back_is_free():
    near = [(0.33, 0.0)]
    assert factor(near, 0.1) == 0.0
    assert factor(near, 0.0, 0.5) > 0.0, "it slides along the front"
    assert factor(near, -0.1) == 1.0
    assert factor([(-0.3, 0.0)], -0.1) == 0.0
    assert factor([(0.29, 0.1)], 0.1) == 0.0, "what the bumper touches is not pushed"


def test_a_wall_at_the_side_does_not_hold_the_robot():
    wall = [(x, 0.21) for x in np.arange(-0.25, 0.29, 0.05)]
    assert factor(wall, 0.3) == 1.0
    assert factor(wall, 0.3, -0.01) > 0.5, "turning away from it, the rear swings out a little"
    assert factor(wall, 0.0, 1.0) < 0.3, "but the robot does not turn into it"


def test_nothing_seen_is_nothing_met():
    assert factor([], 0.5, 1.0) == 1.0
    assert factor([(0.31, 0.0)], 0.0) == 1.0


# ------------------------------------------------------------------------- the station

DOCKED = Pose2D()
PORT = [(0.31, y) for y in np.linspace(-0.14, 0.14, 15)]


def seen_from(dock_from_base, points=PORT):
    inverse = dock_from_base.inverse()
    poses = [inverse @ Pose2D(*point) for point in points]
    return [(pose.x, pose.y) for pose in poses]


@pytest.mark.parametrize(
    ("dock_from_base", "in_corridor"),
    [
        (Pose2D(-0.1, 0.0, 0.0), True),
        (Pose2D(-0.02, 0.03, 0.1), True),
        (Pose2D(-0.02, 0.2, 0.0), False),  # aside
        (Pose2D(-0.02, 0.0, 0.5), False),  # crooked
        (Pose2D(-0.9, 0.0, 0.0), False),  # far away
        (None, False),
    ],
)
def test_the_station_may_be_crept_up_to_from_its_corridor(dock_from_base, in_corridor):
    seen = seen_from(dock_from_base or Pose2D(-0.02, 0.0, 0.0))
    mask = station_points(around(seen, dock_from_base), SPEC)
    assert mask.all() if in_corridor else not mask.any()


def test_in_the_corridor_the_robot_creeps_onto_the_contacts():
    pose = Pose2D(-0.02, 0.0, 0.0)
    creep = SPEC.corridor.creep_mps
    assert factor(seen_from(pose), 0.3, dock_from_base=pose) * 0.3 == pytest.approx(creep)
    assert factor(seen_from(pose), 0.05, dock_from_base=pose) == 1.0
    assert factor(seen_from(pose), 0.05) == 0.0, "without a pose it stops short of it"
    assert factor(seen_from(DOCKED), 0.01, dock_from_base=DOCKED) == 1.0
    spinning = factor(seen_from(pose), 0.0, 1.0, dock_from_base=pose)
    assert spinning >= creep / SPEC.footprint.half_width_m


def test_a_foot_between_robot_and_station_is_not_the_station():
    pose = Pose2D(-0.3, 0.0, 0.0)
    seen = [*seen_from(pose), (0.4, 0.05)]
    free = 0.4 - 0.35
    allowed = factor(seen, 0.3, dock_from_base=pose) * 0.3
    assert allowed * SPEC.reaction_s + allowed**2 / 2.0 == pytest.approx(free, abs=1e-6)
    assert factor([(0.34, 0.0), *seen], 0.05, dock_from_base=pose) == 0.0


def test_what_stands_beside_the_station_is_not_the_station():
    pose = Pose2D(-0.02, 0.0, 0.0)
    beside = around([(0.4, 0.5)], pose)
    assert not station_points(beside, SPEC).any()


def test_a_robot_without_a_pose_source_may_be_told_that_the_station_is_ahead():
    spec = dataclasses.replace(SPEC, corridor=DockCorridor(station="ahead"))
    assert factor([(0.33, 0.0)], 0.3, spec=spec) * 0.3 == pytest.approx(spec.corridor.creep_mps)
    assert factor([(-0.3, 0.0)], -0.1, spec=spec) == 0.0, "but not that it is behind"
    outside = Pose2D(-0.02, 0.5, 0.0)
    assert factor([(0.33, 0.0)], 0.3, dock_from_base=outside, spec=spec) == 0.0


@pytest.mark.parametrize("gap_m", [0.3, 0.1, 0.05, 0.0])
def test_a_station_that_the_scanner_looks_over_is_there_nevertheless(gap_m):
    pose = Pose2D(-gap_m, 0.02, 0.05)
    allowed = factor([], 2.0, dock_from_base=pose) * 2.0
    creep = SPEC.corridor.creep_mps
    if gap_m <= 0.05:
        assert allowed == pytest.approx(creep)
    else:
        assert creep < allowed
        way = allowed * SPEC.reaction_s + allowed**2 / 2.0
        assert way == pytest.approx(gap_m - SPEC.stop_distance_m, abs=0.03)
    assert factor([], -0.3, dock_from_base=pose) == 1.0
    assert factor([], 0.5, dock_from_base=Pose2D(-gap_m, 0.5, 0.0)) == 1.0, "not from aside"
