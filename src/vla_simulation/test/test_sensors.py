"""Camera and scanner see what is there."""

import math

import numpy as np
import pytest

from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.randomization import Randomization, SceneRandomization, SensorRandomization
from vla_simulation.suites import SuiteConfig
from vla_simulation.views import VIEWS


def put(env, x, y, yaw):
    """Robot into the dock frame, with fresh observations."""
    env.set_base_pose(env.scene.world_from_dock @ Pose2D(x, y, yaw))
    return look(env)


def look(env):
    """Stand still until every sensor has measured again."""
    for _ in range(2):
        env.step(np.zeros(2))
    return env.readings()


def beam(reading, angle):
    return reading.ranges[round((angle - reading.angle_min) / reading.angle_increment)]


def test_a_beam_hits_the_panel_at_the_geometric_distance(exact_env):
    station, scanner = exact_env.config.station, exact_env.config.scanner
    for x in (-2.0, -1.0, -0.4, 0.0):
        scan = put(exact_env, x, 0.0, 0.0)[SCAN]
        pose = exact_env.truth.dock_from_base
        expected = station.panel_front_m - pose.x - scanner.x_m
        middle = scan.ranges.size // 2
        assert scan.ranges[middle] == pytest.approx(expected, abs=0.004)


def test_a_beam_hits_the_pillars_in_front_of_the_panel(exact_env):
    station, scanner = exact_env.config.station, exact_env.config.scanner
    scan = put(exact_env, -0.6, 0.0, 0.0)[SCAN]
    ahead = station.pillar_front_m - exact_env.truth.dock_from_base.x - scanner.x_m
    for side in (1, -1):
        angle = side * math.atan2(station.panel_half_width_m, ahead)
        expected = math.hypot(station.panel_half_width_m, ahead)
        assert beam(scan, angle) == pytest.approx(expected, abs=0.02)


def test_beams_hit_the_walls_where_they_are(exact_env):
    """Walls moved at run time are seen at their new place."""
    exact_env.set_base_pose(Pose2D(0.0, 0.0, 0.3))
    scan = look(exact_env)[SCAN]
    base = exact_env.robot.world_from_base
    x0 = base.x + exact_env.config.scanner.x_m * math.cos(base.yaw)
    y0 = base.y + exact_env.config.scanner.x_m * math.sin(base.yaw)
    hits = 0
    for k in range(0, scan.ranges.size, 5):
        direction = base.yaw + scan.angle_min + k * scan.angle_increment
        cos, sin = math.cos(direction), math.sin(direction)
        to_x = (math.copysign(5.0, cos) - x0) / cos
        to_y = (math.copysign(4.0, sin) - y0) / sin
        expected = min(to_x, to_y)
        if math.isfinite(scan.ranges[k]) and abs(scan.ranges[k] - expected) < 0.03:
            hits += 1
    assert hits >= 40  # of 48: some beams end at the station


def test_the_scanner_does_not_see_the_robot(exact_env):
    exact_env.set_base_pose(Pose2D(0.0, 0.0, 0.0))
    assert look(exact_env)[SCAN].ranges.min() > 2.0


def test_noise_and_dropouts_are_as_drawn():
    ranges = Randomization(
        scene=SceneRandomization(
            room_length_m=(8.0, 8.0), room_width_m=(6.0, 6.0), clutter_count=(0, 0)
        ),
        sensors=SensorRandomization(scan_noise_m=(0.005, 0.005), scan_dropout=(0.05, 0.05)),
    )
    env = DockingEnv(SuiteConfig("noisy", randomization=ranges), render=False)
    env.reset(seed=1)
    scans = []
    for _ in range(100):
        env.step(np.zeros(2))
        scans.append(env.readings()[SCAN].ranges)
    env.close()
    stack = np.array(scans)
    assert np.isinf(stack).mean() == pytest.approx(0.05, abs=0.01)
    spread = np.nanstd(np.where(np.isinf(stack), np.nan, stack), axis=0)
    assert np.median(spread) == pytest.approx(0.005, rel=0.15)


def test_ranges_beyond_the_limit_are_infinite_and_never_nan(blind_env):
    for seed in range(5):
        scan = blind_env.reset(seed=seed)[0]["scan"]
        assert scan.dtype == np.float32
        assert not np.isnan(scan).any()
        finite = scan[np.isfinite(scan)]
        assert finite.min() >= 0.05
        assert finite.max() <= 8.0


def test_the_camera_sees_the_station_in_its_colour(rendering_env):
    seeds = {"orange": None, "blue": None, "green": None}
    for seed in range(60):
        rendering_env.reset(seed=seed)
        if seeds.get(rendering_env.scene.goal_station.look.colour, 0) is None:
            image = put(rendering_env, -0.9, 0.0, 0.0)[IMAGE].rgb.astype(int)
            red, green, blue = (image[..., k] for k in range(3))
            coloured = {
                "orange": (red > 1.5 * green) & (red > 2.5 * blue),
                "blue": (blue > 1.6 * red) & (blue > 1.4 * green),
                "green": (green > 1.5 * red) & (green > 1.5 * blue),
            }[rendering_env.scene.goal_station.look.colour]
            seeds[rendering_env.scene.goal_station.look.colour] = coloured[:70].mean()
    for colour, share in seeds.items():
        assert share is not None, f"no {colour} station among the seeds"
        assert share > 0.02, colour


def test_the_image_shows_something_and_changes_with_the_pose(rendering_env):
    rendering_env.reset(seed=4)
    far = put(rendering_env, -1.5, 0.0, 0.0)[IMAGE].rgb
    near = put(rendering_env, -0.3, 0.0, 0.0)[IMAGE].rgb
    assert far.shape == (120, 160, 3)
    assert far.dtype == np.uint8
    assert far.std() > 15.0
    assert np.abs(far.astype(int) - near).mean() > 10.0


def test_the_port_stays_visible_in_the_dock(rendering_env):
    """A lateral error of a centimetre moves what the docked camera sees."""
    for seed in (1, 5):
        rendering_env.reset(seed=seed)
        clean = [
            cropped(rendering_env, y)  # the port's bright top, above the robot's nose
            for y in (0.0, 0.010)
        ]
        assert np.abs(clean[0] - clean[1]).mean() > 3.0


def cropped(env, y):
    env.set_base_pose(env.scene.world_from_dock @ Pose2D(0.0, y, 0.0))
    picture = env.render_view("camera", (160, 120))
    return picture[70:95, 40:120].astype(float)


def test_readings_are_those_of_the_observation(rendering_env):
    observation, _ = rendering_env.reset(seed=2)
    readings = rendering_env.readings()
    np.testing.assert_array_equal(readings[IMAGE].rgb, observation["image"])
    np.testing.assert_array_equal(readings[SCAN].ranges, observation["scan"])
    assert readings[ODOMETRY].linear_x == pytest.approx(observation["odometry"][3])
    assert rendering_env.observation_space.contains(observation)


@pytest.mark.parametrize("view", VIEWS)
def test_views_for_people(rendering_env, view):
    rendering_env.reset(seed=5)
    groups = rendering_env._model.geom_group.copy()
    picture = rendering_env.render_view(view, (160, 90))
    assert picture.shape == (90, 160, 3)
    assert picture.std() > 10.0
    np.testing.assert_array_equal(rendering_env._model.geom_group, groups)


def test_an_unknown_view_is_refused(rendering_env):
    rendering_env.reset(seed=5)
    with pytest.raises(SimulationError, match="expected one of: chase"):
        rendering_env.render_view("side")


def test_a_replayed_pose_is_drawn_where_it_is(rendering_env):
    rendering_env.reset(seed=5)
    dock = rendering_env.scene.world_from_dock
    rendering_env.set_base_pose(dock @ Pose2D(-1.0, 0.0, 0.0))
    far = rendering_env.render_view("top", (160, 90))
    rendering_env.set_base_pose(dock)
    docked = rendering_env.render_view("top", (160, 90))
    assert np.abs(far.astype(int) - docked).max() > 60
