"""Camera and scanner see what is there."""

import dataclasses
import math

import numpy as np
import pytest
from simulation_scenes import EXACT, STRAIGHT_START

from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError, SuiteError
from vla_simulation.mjcf import SURFACE_DARK, SURFACE_GLOSSY
from vla_simulation.randomization import SensorRandomization
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


def test_beams_end_at_the_front_of_the_station_whatever_its_shape(exact_env):
    station, scanner = exact_env.config.station, exact_env.config.scanner
    shapes = set()
    for seed in range(12):
        exact_env.reset(seed=seed)
        scan = put(exact_env, -0.6, 0.0, 0.0)[SCAN]
        shapes.add(exact_env.scene.stations[0].look.shape)
        pose = exact_env.truth.dock_from_base
        for angle in np.radians([-5.0, -2.5, 0.0, 2.5, 5.0]):
            x = pose.x + scanner.x_m * math.cos(pose.yaw)
            x += beam(scan, angle) * math.cos(angle + pose.yaw)
            assert station.plate_front_m - 0.005 < x < station.panel_front_m + 0.005
    assert len(shapes) >= 3


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


def scans_of(count, **sensors):
    """(count, beams): scans of a robot at rest in an empty room."""
    ranges = dataclasses.replace(
        EXACT,
        sensors=dataclasses.replace(EXACT.sensors, glossy_incidence_rad=(1.5, 1.5), **sensors),
    )
    env = DockingEnv(SuiteConfig("noisy", STRAIGHT_START, ranges), render=False)
    env.reset(seed=1)
    scans = []
    while len(scans) < count:
        env.step(np.zeros(2))
        scans += [sample.reading.ranges for sample in env.samples() if sample.key == SCAN]
    env.close()
    return np.array(scans)


def spread_of(scans):
    """Standard deviation of each beam over the scans, without those that often miss."""
    scans = np.where(np.isinf(scans), np.nan, scans)
    seen = np.isfinite(scans).mean(0) > 0.8
    return np.nanstd(scans[:, seen], axis=0), np.nanmean(scans[:, seen], axis=0)


def test_dropouts_are_as_drawn():
    clean, dropped = scans_of(2), scans_of(60, scan_dropout=(0.05, 0.05))
    seen = np.isfinite(clean).all(0)
    assert np.isinf(dropped[:, seen]).mean() == pytest.approx(0.05, abs=0.01)


def test_range_noise_grows_with_the_range_as_drawn():
    even, _ = spread_of(scans_of(60, scan_noise_m=(0.005, 0.005)))
    assert np.median(even) == pytest.approx(0.005, rel=0.1)
    growing, ranges = spread_of(scans_of(60, scan_noise_per_m=(0.004, 0.004)))
    slope = float(growing @ ranges / (ranges @ ranges))
    assert slope == pytest.approx(0.004, rel=0.1)


def test_dark_surfaces_return_only_near_and_square_beams(exact_env):
    scanner = exact_env._sensors._scanner
    distance = scanner.true_ranges(exact_env._data)
    scanner._surfaces = np.full_like(scanner._surfaces, SURFACE_DARK)
    scanner._dark_range_m = 4.0
    scan = scanner.scan(exact_env._data)
    assert np.isinf(scan[distance > 4.0]).all()
    assert np.isfinite(scan[distance < 1.5]).all()
    # The wall behind at an incidence of 60 degrees: half the light, 0.71 of the range.
    normals, directions = scanner._normals, scanner._cast(exact_env._data)
    cosine = np.abs((normals * directions).sum(1))
    lost = distance > 4.0 * np.sqrt(cosine)
    np.testing.assert_array_equal(np.isinf(scan), lost | (distance > 8.0))
    assert (lost & (distance < 4.0)).any()


def test_glossy_surfaces_mirror_grazing_beams_away(exact_env):
    scanner = exact_env._sensors._scanner
    scanner._surfaces = np.full_like(scanner._surfaces, SURFACE_GLOSSY)
    scanner._glossy_cosine = math.cos(math.radians(50.0))
    scan = scanner.scan(exact_env._data)
    directions = scanner._cast(exact_env._data)
    angle = np.degrees(np.arccos(np.abs((scanner._normals * directions).sum(1)).clip(0, 1)))
    hit = np.isfinite(scanner.true_ranges(exact_env._data))
    assert np.isfinite(scan[hit & (angle < 49.9)]).all()
    assert np.isinf(scan[hit & (angle > 50.1)]).all()
    assert 20 < np.isinf(scan[hit]).sum() < hit.sum() - 20


def test_some_surfaces_of_the_scenery_are_dark_and_some_glossy(blind_env):
    kinds = set(blind_env._sensors._scanner._surfaces.tolist())
    assert {SURFACE_DARK, SURFACE_GLOSSY} < kinds


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


def test_every_sensor_measures_at_its_rate_before_the_tick(rendering_env):
    """Stamps keep to a clock, and what has arrived at a tick was stamped before it."""
    env = rendering_env
    env.reset(seed=2)
    stamps = {key: [] for key in (IMAGE, SCAN, ODOMETRY)}
    for _ in range(40):
        before_ns = env.stamp_ns
        env.step(np.array([0.2, 0.1]))
        samples = env.samples()
        assert [s.stamp_ns for s in samples] == sorted(s.stamp_ns for s in samples)
        for sample in samples:
            assert before_ns < sample.stamp_ns <= env.stamp_ns
            stamps[sample.key].append(sample.stamp_ns)
    sensors = env.suite.randomization.sensors
    for key, rate_hz, latency_s in (
        (IMAGE, 20, sensors.image_latency_s),
        (SCAN, 10, sensors.scan_latency_s),
        (ODOMETRY, 50, (0.005, 0.015)),
    ):
        times_s = np.array(stamps[key]) * 1e-9
        assert len(times_s) == 2 * rate_hz, key
        clock = np.arange(len(times_s)) / rate_hz
        error = times_s - clock - (times_s - clock).mean()
        assert np.abs(error).max() < 2 * sensors.stamp_jitter_s + 1e-9, key
        assert np.abs(error).max() > 0.1 * sensors.stamp_jitter_s, key
        # Moments of measurement lie on the physics grid, hence up to 5 ms more.
        age_s = -times_s % 0.05
        low, high = latency_s[0] - 0.001, latency_s[1] + 0.006
        assert (age_s > low).all() or key == ODOMETRY, key
        assert (age_s < high).all() or key == ODOMETRY, key


@pytest.mark.parametrize(
    "timing",
    [
        {"stamp_jitter_s": 0.005},
        {"image_latency_s": (0.0, 0.02)},
        {"scan_latency_s": (0.02, 0.06)},
        {"scan_latency_s": (0.03, 0.02)},
    ],
)
def test_timing_by_which_a_sample_would_miss_its_tick_is_refused(timing):
    with pytest.raises(SuiteError, match=f"sensors.{next(iter(timing))} is .*, expected"):
        SensorRandomization(**timing)


def test_phases_differ_from_episode_to_episode(rendering_env):
    first = set()
    for seed in range(12):
        rendering_env.reset(seed=seed)
        newest = {s.key: round(s.stamp_ns / 5e6) for s in rendering_env.newest_samples()}
        assert max(newest.values()) <= 0
        first.add((newest[IMAGE], newest[SCAN], newest[ODOMETRY]))
    assert len(first) >= 6


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
