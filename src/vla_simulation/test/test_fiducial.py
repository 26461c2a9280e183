"""Poses from pictures of a marker: traced ray by ray, and as the simulator renders them."""

import dataclasses
import math

import numpy as np
import pytest
from marker_pictures import picture

from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE
from vla_core.readings import ImageReading, ScanReading
from vla_simulation.config import CameraConfig, SimulationConfig
from vla_simulation.controllers.camera_model import CameraModel
from vla_simulation.controllers.fiducial import FiducialPoseSource
from vla_simulation.controllers.markers import Marker, edge_points, upright_marker
from vla_simulation.controllers.pose_filter import PoseMeasurement
from vla_simulation.controllers.station_map import station_marker
from vla_simulation.environment import DockingEnv

SIZE = (640, 480)
CAMERA = CameraModel.of(
    CameraConfig(width_px=SIZE[0], height_px=SIZE[1], distortion=(-0.2, 0.05, 0.001, -0.001, 0.0))
)
MARKER = Marker(2, 0.16, upright_marker(0.42, 0.45))
SOURCE = FiducialPoseSource(CAMERA, MARKER)


def noisy_picture(pose, seed=0, camera=CAMERA, size=SIZE):
    clean = picture(camera, MARKER, pose, size).astype(float)
    noise = np.random.default_rng(seed).normal(0.0, 2.0, clean.shape)
    return ImageReading(np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8))


def error_of(measurement, pose):
    found = measurement.dock_from_base
    return np.array([found.x - pose.x, found.y - pose.y, found.yaw - pose.yaw])


@pytest.mark.parametrize(
    ("distance", "bound"),
    [
        (0.0, (0.001, 0.003, math.radians(0.4))),
        (0.3, (0.002, 0.02, math.radians(1.5))),
        (1.0, (0.02, 0.06, math.radians(3.0))),
        (2.0, (0.04, 0.5, math.radians(12.0))),
    ],
)
def test_the_pose_is_found_and_its_error_is_what_the_covariance_says(distance, bound):
    rng = np.random.default_rng(5)
    errors, surprises = [], []
    for seed in range(10):
        bearing, heading = rng.uniform(-0.3, 0.3, 2) * (0.1 if distance < 0.5 else 1.0)
        x, y = -distance * math.cos(bearing), distance * math.sin(bearing)
        pose = Pose2D(x, y, heading - bearing)
        measurement = SOURCE.measure(noisy_picture(pose, seed), None)
        if measurement is None:
            continue
        error = error_of(measurement, pose)
        errors.append(error)
        surprises.append(error @ np.linalg.solve(measurement.covariance, error))
    assert len(errors) >= 9
    assert (np.sqrt(np.mean(np.square(errors), axis=0)) < bound).all()
    assert max(surprises) < 16.3  # 99.9 % of a chi-squared distribution of three values


def test_who_ignores_the_distortion_is_wrong():
    pose = Pose2D(-0.3, 0.0, 0.35)  # the marker is far from the image's centre
    reading = noisy_picture(pose)
    ideal = dataclasses.replace(CAMERA, distortion=np.zeros(5))
    wrong = FiducialPoseSource(ideal, MARKER).measure(reading, None)
    right = SOURCE.measure(reading, None)
    assert np.linalg.norm(error_of(right, pose)) < 0.03
    assert wrong is None or np.linalg.norm(error_of(wrong, pose)) > 0.05


def test_only_the_marker_of_its_own_station_counts():
    reading = noisy_picture(Pose2D(-0.5, 0.0, 0.0))
    other = FiducialPoseSource(CAMERA, dataclasses.replace(MARKER, number=1))
    assert other.measure(reading, None) is None
    assert SOURCE.measure(reading, None) is not None


def test_without_a_marker_there_is_no_pose():
    assert SOURCE.measure(noisy_picture(Pose2D(-0.5, 0.0, 2.0)), None) is None
    assert SOURCE.measure(ImageReading(np.zeros((480, 640, 3), np.uint8)), None) is None
    assert SOURCE.measure(ScanReading(np.ones(3), 0.0, 0.1, 0.1, 8.0), None) is None


def test_of_two_poses_that_a_small_marker_allows_the_guess_decides():
    """Seen from afar, turned to the left and turned to the right look almost alike."""
    pose = Pose2D(-2.0, 0.5, -0.1)
    reading = noisy_picture(pose)
    alone = SOURCE.measure(reading, None)
    spread = np.diag([0.2, 0.2, 0.1]) ** 2
    told = SOURCE.measure(reading, PoseMeasurement(Pose2D(-2.1, 0.42, -0.06), spread))
    assert abs(error_of(told, pose)[1]) < 0.3
    assert abs(error_of(told, pose)[1]) <= abs(error_of(alone, pose)[1]) + 0.05
    error = error_of(alone, pose)
    assert error @ np.linalg.solve(alone.covariance, error) < 16.3


def test_edges_are_found_between_the_pixels():
    """A dark square whose edge lies at 50.3 pixels; pixels hold the mean over their area."""
    columns = np.arange(120)
    covered = np.clip(50.3 - (columns - 0.5), 0.0, 1.0)  # dark to the left
    grey = np.tile(np.rint(220.0 - 190.0 * covered), (120, 1)).astype(np.uint8)
    # Upwards along the right side of a square is against its order: the square is to the left.
    downwards = edge_points(grey, np.array([51.0, 20.0]), np.array([49.8, 100.0]))
    assert len(downwards) > 60
    assert np.abs(downwards[:, 0] - 50.3).max() < 0.05
    upwards = edge_points(grey, np.array([51.0, 100.0]), np.array([49.8, 20.0]))
    assert len(upwards) == 0


def test_less_pixels_are_less_exact():
    pose = Pose2D(-0.6, 0.1, -0.1)
    small = CameraModel.of(CameraConfig(width_px=320, height_px=240))
    coarse = FiducialPoseSource(small, MARKER).measure(
        noisy_picture(pose, camera=small, size=(320, 240)), None
    )
    fine = SOURCE.measure(noisy_picture(pose), None)
    assert np.trace(coarse.covariance) > 2.0 * np.trace(fine.covariance)
    assert np.abs(error_of(coarse, pose)).max() < 0.25


@pytest.fixture(scope="module")
def marked_env():
    config = SimulationConfig(camera=CameraConfig(width_px=SIZE[0], height_px=SIZE[1]))
    env = DockingEnv("nominal", render=True, config=config)
    yield env
    env.close()


@pytest.mark.parametrize("goal", [0, 1])
def test_the_marker_on_a_rendered_station_tells_the_true_pose(marked_env, goal):
    """Lens, noise, light and the place of the marker are the simulator's."""
    env = marked_env
    env.reset(seed=1, options={"markers": True, "goal": goal})
    source = FiducialPoseSource(CameraModel.of(env.config.camera), station_marker(goal, env.config))
    for x, bound in ((-0.02, (0.004, 0.006, 0.012)), (-0.8, (0.02, 0.06, 0.05))):
        env.robot.place(env.scene.world_from_dock @ Pose2D(x, 0.01, 0.02))
        for _ in range(4):
            env.step(np.zeros(2, np.float32))
        pose = env.truth.dock_from_base
        error = error_of(source.measure(env.readings()[IMAGE], None), pose)
        assert (np.abs(error) < bound).all()


def test_markers_are_seen_only_when_asked_for(marked_env):
    env = marked_env
    source = FiducialPoseSource(CameraModel.of(env.config.camera), station_marker(0, env.config))
    for markers in (True, False):
        env.reset(seed=1, options={"markers": markers, "goal": 0})
        env.robot.place(env.scene.world_from_dock @ Pose2D(-0.6, 0.0, 0.0))
        for _ in range(4):
            env.step(np.zeros(2, np.float32))
        assert (source.measure(env.readings()[IMAGE], None) is not None) is markers
