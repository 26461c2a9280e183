"""Where episodes start, and that all stations can be reached from there."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_core.geometry import Pose2D
from vla_simulation.config import StationConfig
from vla_simulation.controllers.expert import expert_action
from vla_simulation.errors import SimulationError
from vla_simulation.scenes.footprints import Footprint, Obstacles, corridor
from vla_simulation.scenes.starts import ExpertPaths, expert_path, sample_episode
from vla_simulation.suites import SuiteConfig, load_suite

SUITE = load_suite("nominal")
STATION = StationConfig()
DRAWN = [sample_episode(seed, SUITE, STATION) for seed in range(150)]

# ---------------------------------------------------------------------- where


def test_starts_are_where_the_suite_says():
    distances, bearings, headings = [], [], []
    for scene, start in DRAWN:
        distances.append(min(start.relative_to(s.world_from_dock).distance for s in scene.stations))
        pose = start.relative_to(scene.world_from_bay)
        bearings.append(math.atan2(pose.y, -pose.x))
        headings.append(math.remainder(pose.yaw - math.atan2(-pose.y, -pose.x), math.tau))
    assert 1.0 - 1e-9 <= min(distances) < 1.15
    assert 2.35 < max(distances) <= 2.5 + 1e-9
    assert max(map(abs, bearings)) <= SUITE.start.max_bearing_rad + 1e-9
    assert max(map(abs, headings)) <= SUITE.start.max_heading_rad + 1e-9
    for angles in (bearings, headings):  # no preferred side
        assert abs(np.mean(angles)) < 3 * np.std(angles) / math.sqrt(len(angles))


def test_many_starts_leave_more_than_one_station_plausible():
    """The nearest station is not much nearer than the next one, seen from many starts."""
    plausible = several = 0
    for scene, start in DRAWN:
        if len(scene.stations) > 1:
            several += 1
            near, far = sorted(
                start.relative_to(s.world_from_dock).distance for s in scene.stations
            )[:2]
            plausible += far < 1.35 * near
    assert plausible > 0.5 * several


def test_the_goal_is_not_the_station_that_the_robot_looks_at():
    """Among scenes with two stations, looking at one does not make it the goal."""
    hits = total = 0
    for scene, start in DRAWN:
        if len(scene.stations) != 2:
            continue
        aside = [
            abs(math.atan2(pose.y, pose.x))
            for pose in (s.world_from_dock.relative_to(start) for s in scene.stations)
        ]
        total += 1
        hits += aside[scene.goal] == min(aside)
    assert hits / total == pytest.approx(0.5, abs=3 * 0.5 / math.sqrt(total))


# ---------------------------------------------------------------------- feasibility


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**40))
def test_the_expert_can_drive_to_every_station(seed):
    """Followed step by step, its path keeps clear of everything but the station itself."""
    scene, start = sample_episode(seed, SUITE, STATION)
    for k, station in enumerate(scene.stations):
        dock = station.world_from_dock
        path = expert_path(start.relative_to(dock), 250)
        assert path is not None
        assert math.hypot(path[-1, 0], path[-1, 1]) < 0.06
        others = [s.footprint(STATION) for j, s in enumerate(scene.stations) if j != k]
        others += [item.footprint for item in scene.clutter]
        for x, y, yaw in path[::4]:
            robot = dock @ Pose2D(x, y, yaw)
            body = Footprint(robot, 0.31 + 0.14, 0.20 + 0.14)
            assert not any(body.overlaps(other) for other in others)
            assert abs(robot.x) < scene.room_length_m / 2 - 0.3
            assert abs(robot.y) < scene.room_width_m / 2 - 0.3


def test_something_on_any_of_the_paths_makes_a_start_infeasible():
    scene, start = next((s, w) for s, w in DRAWN if len(s.stations) == 3 and s.clutter)
    assert ExpertPaths(scene, SUITE.start, STATION).feasible(start)
    for station in scene.stations:
        path = expert_path(start.relative_to(station.world_from_dock), 250)
        x, y, _ = path[len(path) // 2]
        item = dataclasses.replace(scene.clutter[0], pose=station.world_from_dock @ Pose2D(x, y))
        blocked = dataclasses.replace(scene, clutter=(item,))
        assert not ExpertPaths(blocked, SUITE.start, STATION).feasible(start)


def test_a_drive_that_takes_too_long_makes_a_start_infeasible():
    scene, start = DRAWN[0]
    hurried = dataclasses.replace(SUITE.start, max_drive_s=2.0)
    assert not ExpertPaths(scene, hurried, STATION).feasible(start)


def test_a_kinematic_path_is_where_the_law_leads():
    path = expert_path(Pose2D(-1.5, 0.4, 0.2), 250)
    for before, after in itertools.pairwise(path):
        linear, angular = expert_action(Pose2D(*before))
        assert math.hypot(*(after - before)[:2]) == pytest.approx(abs(linear) * 0.1, abs=1e-9)
        assert after[2] - before[2] == pytest.approx(angular * 0.1)


def test_a_suite_without_room_for_a_start_is_refused_in_one_line():
    start = dataclasses.replace(SUITE.start, min_distance_m=20.0, max_distance_m=21.0)
    with pytest.raises(SimulationError, match=r"^suite 'too far' seed 3: no start.*$"):
        sample_episode(3, SuiteConfig("too far", start), STATION)


# ---------------------------------------------------------------------- rectangles


def test_overlap_of_turned_rectangles():
    square = Footprint(Pose2D(0.0, 0.0, 0.0), 0.5, 0.5)
    assert square.overlaps(Footprint(Pose2D(0.9, 0.0, math.pi / 4), 0.5, 0.5))
    assert not square.overlaps(Footprint(Pose2D(1.3, 0.0, math.pi / 4), 0.5, 0.5))
    assert not square.overlaps(Footprint(Pose2D(1.1, 1.1, math.pi / 4), 0.5, 0.5))
    assert square.overlaps(corridor(Pose2D(-2.0, 0.8), Pose2D(2.0, 0.8), 0.4))
    assert not square.overlaps(corridor(Pose2D(-2.0, 0.8), Pose2D(2.0, 0.8), 0.2))


coordinates = st.floats(-1.5, 1.5)
half_sizes = st.floats(0.05, 1.0)
footprints = st.builds(
    Footprint, st.builds(Pose2D, coordinates, coordinates, st.floats(-4, 4)), half_sizes, half_sizes
)
GRID = np.stack(np.meshgrid(np.linspace(-1, 1, 21), np.linspace(-1, 1, 21)), -1).reshape(-1, 2)


def covers(footprint, points):
    """Whether points (N, 2) of the plane lie in a rectangle."""
    delta = points - (footprint.pose.x, footprint.pose.y)
    cos, sin = math.cos(footprint.pose.yaw), math.sin(footprint.pose.yaw)
    along, across = delta @ (cos, sin), delta @ (-sin, cos)
    return (abs(along) <= footprint.half_length_m) & (abs(across) <= footprint.half_width_m)


def points_of(footprint, scale=1.0):
    cos, sin = math.cos(footprint.pose.yaw), math.sin(footprint.pose.yaw)
    local = scale * GRID * (footprint.half_length_m, footprint.half_width_m)
    return local @ [[cos, sin], [-sin, cos]] + (footprint.pose.x, footprint.pose.y)


@settings(max_examples=200, deadline=None)
@given(one=footprints, other=footprints)
def test_rectangles_overlap_where_they_share_points(one, other):
    assert one.overlaps(other) == other.overlaps(one)
    shared = (
        covers(other, points_of(one, 0.999)).any() or covers(one, points_of(other, 0.999)).any()
    )
    if shared:
        assert one.overlaps(other)
    elif one.overlaps(other):
        # Too little for the grid: a margin of its spacing finds the shared points.
        wider = dataclasses.replace(
            one, half_length_m=one.half_length_m + 0.1, half_width_m=one.half_width_m + 0.1
        )
        grown = dataclasses.replace(
            other, half_length_m=other.half_length_m + 0.1, half_width_m=other.half_width_m + 0.1
        )
        assert covers(grown, points_of(wider)).any() or covers(wider, points_of(grown)).any()


@settings(max_examples=50, deadline=None)
@given(obstacles=st.lists(footprints, min_size=1, max_size=6), moving=footprints)
def test_many_at_once_say_the_same_as_one_after_the_other(obstacles, moving):
    expected = any(moving.overlaps(obstacle) for obstacle in obstacles)
    assert Obstacles(obstacles).touch(moving) == expected


def test_nothing_in_the_way_is_touched_nowhere():
    assert not Obstacles([]).touched(np.zeros((3, 3)), 1.0, 1.0).any()
