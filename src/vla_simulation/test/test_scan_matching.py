"""Poses from scans: of an outline alone, and as the simulator's scanner sees the stations."""

import math

import numpy as np
import pytest

from vla_core.geometry import Pose2D
from vla_core.keys import SCAN
from vla_core.readings import ImageReading, ScanReading
from vla_simulation.config import SimulationConfig
from vla_simulation.controllers.outline import section, seen_from
from vla_simulation.controllers.pose_filter import PoseMeasurement, pose_difference
from vla_simulation.controllers.scan_matching import ScanMatchingPoseSource, scan_points
from vla_simulation.controllers.station_map import scan_outline
from vla_simulation.environment import DockingEnv
from vla_simulation.scenes.station_shapes import SHAPES, Solid, station_solids
from vla_simulation.scenes.stations import STATION_SHAPES

CONFIG = SimulationConfig()
BASE_FROM_SCANNER = Pose2D(CONFIG.scanner.x_m)
WIDE = np.diag([0.1, 0.1, math.radians(3.0)]) ** 2
NARROW = np.diag([0.005, 0.005, 0.005]) ** 2


def source_of(shape):
    return ScanMatchingPoseSource(scan_outline(shape, CONFIG), BASE_FROM_SCANNER)


def scan_of(segments, dock_from_base, rng, noise_m=0.005):
    """A scan of line segments."""
    scanner = dock_from_base @ BASE_FROM_SCANNER
    c = CONFIG.scanner
    angles = np.linspace(c.angle_min_rad, c.angle_max_rad, c.beams) + scanner.yaw
    # Start + reach * beam = corner + share * side, for every beam and segment.
    matrix = np.zeros((c.beams, len(segments), 2, 2))
    matrix[..., 0] = np.column_stack([np.cos(angles), np.sin(angles)])[:, None]
    matrix[..., 1] = (segments[:, 0] - segments[:, 1])[None]
    matrix[np.abs(np.linalg.det(matrix)) < 1e-9] = np.nan
    corner = np.broadcast_to(segments[:, 0] - (scanner.x, scanner.y), matrix.shape[:3])
    reach, share = np.moveaxis(np.linalg.solve(matrix, corner[..., None])[..., 0], -1, 0)
    met = (reach > 0.0) & (share >= 0.0) & (share <= 1.0)
    ranges = np.where(met, reach, np.inf).min(axis=1)
    ranges += rng.normal(0.0, noise_m, c.beams)
    return ScanReading(
        ranges.astype(np.float32),
        c.angle_min_rad,
        c.angle_increment_rad,
        c.range_min_m,
        c.range_max_m,
    )


def off(pose, x, y, yaw, covariance):
    return PoseMeasurement(Pose2D(pose.x + x, pose.y + y, pose.yaw + yaw), covariance)


def wall(x, half_width=2.0):
    return np.array([[[x, -half_width], [x, half_width]]])


def test_a_section_has_the_sizes_of_its_solids():
    box = Solid("box", (1.0, 0.0, 0.5), (0.2, 0.1, 0.5), "body", yaw=math.pi / 2)
    tube = Solid("cylinder", (0.0, 2.0, 0.5), (0.3, 0.5, 0.0), "body")
    corners = section([box, tube], 0.3).reshape(-1, 2)
    around_box = corners[corners[:, 1] < 1.0]
    assert around_box.min(axis=0) == pytest.approx([0.9, -0.2])
    assert around_box.max(axis=0) == pytest.approx([1.1, 0.2])
    ring = corners[corners[:, 1] > 1.0] - (0.0, 2.0)
    assert np.linalg.norm(ring, axis=1) == pytest.approx(np.full(len(ring), 0.3), rel=0.01)
    assert len(section([box, tube], 1.2)) == 0


def test_only_what_is_in_sight_belongs_to_the_outline():
    near = Solid("box", (1.0, 0.0, 0.5), (0.1, 0.5, 0.5), "body")
    hidden = Solid("box", (2.0, 0.0, 0.5), (0.1, 0.1, 0.5), "body")
    pieces = seen_from(section([near, hidden], 0.3), np.array([[0.0, 0.0]]))
    assert pieces.reshape(-1, 2)[:, 0] == pytest.approx(np.full(2 * len(pieces), 0.9))


def test_distances_are_those_to_the_nearest_point_of_a_line():
    source = ScanMatchingPoseSource(np.array([[[0.0, 0.0], [1.0, 0.0]]]), Pose2D())
    distances, directions = source.distances(np.array([[0.5, 0.3], [1.3, 0.4], [-0.3, 0.0]]))
    assert distances == pytest.approx([0.3, 0.5, 0.3])
    assert directions == pytest.approx(np.array([[0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]]))


@pytest.mark.parametrize("shape", ["cabinet", "pillar", "arch", "low"])
def test_a_guess_of_a_navigation_stack_becomes_a_pose(shape):
    """Scans of the station and of a wall behind it, from starts of a nominal episode."""
    rng = np.random.default_rng(3)
    source = source_of(shape)
    solids = section(station_solids(shape, CONFIG.station), CONFIG.scanner.z_m)
    world = np.concatenate([solids, wall(0.7)])
    found = []
    for _ in range(8):
        distance, bearing, heading = rng.uniform((0.8, -0.5, -0.3), (1.6, 0.5, 0.3))
        x, y = -distance * math.cos(bearing), distance * math.sin(bearing)
        pose = Pose2D(x, y, heading - bearing)
        guess = off(pose, *rng.normal(0.0, np.sqrt(np.diag(WIDE))), WIDE)
        measurement = source.measure(scan_of(world, pose, rng), guess)
        if measurement is not None:
            found.append(np.abs(pose_difference(measurement.dock_from_base, pose)))
    assert len(found) >= 5
    assert (np.median(found, axis=0) < (0.02, 0.06, 0.04)).all()
    assert np.max(found, axis=0)[0] < 0.1


@pytest.mark.parametrize("shape", ["cabinet", "pillar", "arch", "low"])
def test_near_the_dock_the_pose_is_exact_and_the_covariance_honest(shape):
    rng = np.random.default_rng(4)
    source = source_of(shape)
    solids = section(station_solids(shape, CONFIG.station), CONFIG.scanner.z_m)
    errors, surprises = [], []
    for _ in range(12):
        pose = Pose2D(*rng.uniform((-0.1, -0.01, -0.03), (0.0, 0.01, 0.03)))
        guess = off(pose, 0.004, -0.004, 0.004, NARROW)
        measurement = source.measure(scan_of(solids, pose, rng), guess)
        error = pose_difference(measurement.dock_from_base, pose)
        errors.append(error)
        surprises.append(error @ np.linalg.solve(measurement.covariance, error))
    assert (np.sqrt(np.mean(np.square(errors), axis=0)) < (0.002, 0.008, 0.014)).all()
    assert max(surprises) < 16.3  # 99.9 % of a chi-squared distribution of three values


def test_a_bare_wall_is_no_station():
    rng = np.random.default_rng(5)
    source = source_of("pillar")
    for distance in (0.8, 1.2, 1.6):
        pose = Pose2D(-distance, 0.0, 0.1)
        scan = scan_of(wall(0.55), pose, rng)
        assert source.measure(scan, off(pose, 0.0, 0.0, 0.0, WIDE)) is None


def test_a_station_where_it_cannot_be_is_another_one():
    rng = np.random.default_rng(6)
    pose = Pose2D(-1.2, 0.0, 0.0)
    beside = section(station_solids("cabinet", CONFIG.station), CONFIG.scanner.z_m)
    beside[..., 1] += 0.95
    guess = off(pose, 0.05, 0.05, 0.02, WIDE)
    assert source_of("cabinet").measure(scan_of(beside, pose, rng), guess) is None


def test_it_needs_a_guess_and_a_scan():
    source = source_of("cabinet")
    empty = ScanReading(np.full(240, np.inf, np.float32), -2.1, 0.0175, 0.05, 8.0)
    guess = off(Pose2D(-1.0), 0.0, 0.0, 0.0, WIDE)
    assert source.measure(empty, None) is None
    assert source.measure(empty, guess) is None
    assert source.measure(ImageReading(np.zeros((4, 4, 3), np.uint8)), guess) is None


@pytest.mark.parametrize("shape", SHAPES)
def test_the_scanner_of_the_simulator_sees_the_outline(shape, scene_with):
    """The outline comes from dimensions alone; the compiled model has to agree with it."""
    env = scene_with(shape)
    outline = ScanMatchingPoseSource(scan_outline(shape, CONFIG), BASE_FROM_SCANNER)
    env.robot.place(env.scene.world_from_dock @ Pose2D(-0.45, 0.08, -0.05))
    for _ in range(4):
        env.step(np.zeros(2, np.float32))
    pose = env.truth.dock_from_base
    scan = env.readings()[SCAN]
    points = scan_points(scan, BASE_FROM_SCANNER)
    cos, sin = math.cos(pose.yaw), math.sin(pose.yaw)
    in_dock = points @ np.array([[cos, sin], [-sin, cos]]) + (pose.x, pose.y)
    c = CONFIG.station
    at_station = (in_dock[:, 0] < c.panel_front_m + c.panel_thickness_m) & (
        np.abs(in_dock[:, 1]) < c.panel_half_width_m + c.pillar_width_m
    )
    distances, _ = outline.distances(in_dock[at_station])
    assert at_station.sum() > 15
    assert np.percentile(distances, 90) < 0.015
    measurement = outline.measure(scan, off(pose, 0.01, 0.01, 0.01, NARROW))
    error = np.abs(pose_difference(measurement.dock_from_base, pose))
    assert (error[:2] < (0.01, 0.03)).all()
    if shape != "round":  # a tube looks the same from all around
        assert error[2] < 0.03


@pytest.fixture(scope="module")
def scene_with():
    """Begins an episode whose commanded station has a certain shape."""
    env = DockingEnv("nominal", render=False)

    def begin(shape):
        suite = "nominal" if shape in STATION_SHAPES else "new_station"
        for seed in range(200):
            env.reset(seed=seed, options={"suite": suite})
            shapes = [station.look.shape for station in env.scene.stations]
            if shape in shapes:
                env.reset(seed=seed, options={"goal": shapes.index(shape)})
                return env
        raise AssertionError(f"no scene with the shape {shape}")

    yield begin
    env.close()
