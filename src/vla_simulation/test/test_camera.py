"""Lens, shutter and noise of the camera, and the labels and distances behind its pixels."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
from simulation_scenes import EXACT, STRAIGHT_START

from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE
from vla_simulation.config import CameraConfig
from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.opengl import mujoco
from vla_simulation.sensing.camera import BACKGROUND_LABEL, FIRST_STATION_LABEL, ROBOT_LABEL
from vla_simulation.sensing.optics import Optics
from vla_simulation.suites import SuiteConfig

CAMERA = CameraConfig()


@pytest.fixture(scope="module")
def optics():
    return Optics(CAMERA)


@pytest.fixture(scope="module")
def still_env():
    """One station, no errors, a camera without noise."""
    sensors = dataclasses.replace(EXACT.sensors, exposure_gain=(1.0, 1.0), gamma=(1.0, 1.0))
    ranges = dataclasses.replace(EXACT, sensors=sensors)
    env = DockingEnv(SuiteConfig("still", STRAIGHT_START, ranges))
    yield env
    env.close()


def rays_of(pixels):
    """Undistorted directions (x right, y down, 1 forward) of pixels (N, 2)."""
    matrix, distortion = np.array(CAMERA.matrix), np.array(CAMERA.distortion)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-12)
    points = np.asarray(pixels, float).reshape(-1, 1, 2)
    rays = cv2.undistortPointsIter(points, matrix, distortion, None, None, criteria)
    return rays.reshape(-1, 2)


def ramp(optics, axis):
    """An ideal picture whose values are the coordinate of each pixel: x right or y down."""
    width, height = optics.source_size
    across = (np.arange(width) - (width - 1) / 2) / CAMERA.focal_length_px
    down = (np.arange(height) - (height - 1) / 2) / CAMERA.focal_length_px
    return np.stack(np.meshgrid(across, down), 0)[axis].astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1])
def test_pixels_look_where_camera_info_says(optics, axis):
    u, v = np.meshgrid(np.arange(CAMERA.width_px), np.arange(CAMERA.height_px))
    expected = rays_of(np.stack([u, v], -1))[:, axis].reshape(u.shape)
    seen = cv2.remap(ramp(optics, axis), *optics._maps(0.0), cv2.INTER_LINEAR)
    assert np.abs(seen - expected).max() * CAMERA.focal_length_px < 0.05  # pixels


def test_the_ideal_picture_is_wide_enough_for_lens_and_shutter(optics):
    width, height = optics.source_size
    for readout_rad in (-0.025, 0.0, 0.025):  # 1 rad/s over the longest readout
        columns, rows = optics._maps(readout_rad)
        assert columns.min() > 0
        assert columns.max() < width - 1
        assert rows.min() > 0
        assert rows.max() < height - 1


def test_the_lens_is_seen(optics):
    """The distorted picture shows more at its corner than the field of view of the pin-hole."""
    corner = rays_of([(0.0, 0.0)])[0]
    assert abs(corner[0]) > 1.1 * math.tan(CAMERA.horizontal_fov_rad / 2)


def test_a_turn_shears_the_picture_as_rows_are_read_out(optics):
    """Turning left, later rows look further left: by the angle turned since the middle row."""
    turn = 0.02
    still, turning = (
        cv2.remap(ramp(optics, 0), *optics._maps(angle), cv2.INTER_LINEAR) for angle in (0.0, turn)
    )
    shift = np.median((turning - still)[:, 60:100], axis=1)
    row = np.arange(CAMERA.height_px) / (CAMERA.height_px - 1) - 0.5
    down = rays_of([(80.0, v) for v in range(CAMERA.height_px)])[:, 1]
    pitch = CAMERA.pitch_down_rad
    expected = -turn * row * (math.cos(pitch) - down * math.sin(pitch))
    np.testing.assert_allclose(shift, expected, atol=7e-4)  # OpenCV counts 1/32 of a pixel
    assert shift[0] > 0 > shift[-1]


def test_the_shear_is_that_of_a_turned_camera(still_env):
    """The last row of a turning camera is what a camera at rest sees after half the turn."""
    env = still_env
    env.reset(seed=1)
    camera, data, model = env._sensors.camera, env._data, env._model
    turn = 0.06
    with camera._ideal_view(data):
        picture = camera._optics.picture(camera._renderer.render(), turn, 0.0)
    base = env.robot.world_from_base
    env.set_base_pose(Pose2D(base.x, base.y, base.yaw + turn / 2))
    # The camera sits above the axle, so a turn of the base moves it nowhere.
    assert model.cam_pos[camera._camera][0] == 0.0
    with camera._ideal_view(data):
        after = camera._optics.picture(camera._renderer.render(), 0.0, 0.0)
    rows = slice(75, 88)  # floor and markings above the nose; read out late, but not last
    share = (np.arange(CAMERA.height_px) / (CAMERA.height_px - 1) - 0.5)[rows].mean()
    env.set_base_pose(Pose2D(base.x, base.y, base.yaw + turn * share))
    with camera._ideal_view(data):
        there = camera._optics.picture(camera._renderer.render(), 0.0, 0.0)
    env.set_base_pose(base)
    with camera._ideal_view(data):
        before = camera._optics.picture(camera._renderer.render(), 0.0, 0.0)
    errors = [
        np.abs(picture[rows].astype(float) - other[rows]).mean() for other in (there, before, after)
    ]
    assert errors[0] < 0.6 * min(errors[1:])


def test_a_turn_blurs_along_the_rows_only(optics):
    width, height = optics.source_size
    ideal = np.zeros((height, width, 3), np.uint8)
    ideal[:, width // 2 :] = 200  # an upright edge
    sharp, blurred = (optics.picture(ideal, 0.0, angle)[60, :, 0] for angle in (0.0, 0.03))
    assert np.count_nonzero((blurred > 5) & (blurred < 195)) > np.count_nonzero(
        (sharp > 5) & (sharp < 195)
    )
    ideal = np.zeros((height, width, 3), np.uint8)
    ideal[height // 2 :] = 200  # a level edge
    level = [optics.picture(ideal, 0.0, angle)[:, 80, 0] for angle in (0.0, 0.03)]
    np.testing.assert_array_equal(*level)


def noise_of(**sensors):
    """Standard deviation over pictures at rest, and their mean, per pixel and channel."""
    changed = dataclasses.replace(EXACT.sensors, **sensors)
    ranges = dataclasses.replace(EXACT, sensors=changed)
    env = DockingEnv(SuiteConfig("noisy", STRAIGHT_START, ranges))
    env.reset(seed=1)
    pictures = np.stack([env.step(np.zeros(2))[0][IMAGE] for _ in range(24)]).astype(float)
    env.close()
    mean = pictures.mean(0)
    usable = (mean > 25) & (mean < 230)  # neither clipped at black nor at white
    return pictures.std(0, ddof=1)[usable], mean[usable]


def test_noise_is_as_drawn():
    read, _ = noise_of(read_noise=(4.0, 4.0))
    assert np.sqrt((read**2).mean()) == pytest.approx(4.0, rel=0.05)
    shot, level = noise_of(shot_noise=(10.0, 10.0))
    for low, high in ((40, 60), (120, 150)):
        some = (level > low) & (level < high)
        expected = 10.0 * math.sqrt(level[some].mean() / 255)
        assert np.sqrt((shot[some] ** 2).mean()) == pytest.approx(expected, rel=0.08)


def test_exposure_gamma_and_white_balance_change_the_response():
    plain, red = (
        DockingEnv(SuiteConfig("s", STRAIGHT_START, dataclasses.replace(EXACT, sensors=sensors)))
        for sensors in (
            dataclasses.replace(EXACT.sensors, exposure_gain=(1.0, 1.0), gamma=(1.0, 1.0)),
            dataclasses.replace(
                EXACT.sensors,
                exposure_gain=(0.8, 0.8),
                gamma=(1.0, 1.0),
                white_balance_error=0.1,
            ),
        )
    )
    first, second = plain.reset(seed=1)[0][IMAGE], red.reset(seed=1)[0][IMAGE]
    ratio = second.reshape(-1, 3).sum(0) / first.reshape(-1, 3).sum(0)
    assert ratio[1] == pytest.approx(0.8, abs=0.01)
    for channel in (0, 2):
        assert 0.71 < ratio[channel] < 0.89
        assert abs(ratio[channel] - ratio[1]) > 0.001
    plain.close()
    red.close()


def test_labels_and_distances_fit_the_picture(still_env):
    env = still_env
    env.reset(seed=1)
    env.set_base_pose(env.scene.world_from_dock @ Pose2D(-1.2, 0.0, 0.0))
    image = env.step(np.zeros(2))[0][IMAGE]
    labels, depth = env.render_segmentation(), env.render_depth()
    assert labels.shape == depth.shape == image.shape[:2]
    assert labels.dtype == np.int16
    assert depth.dtype == np.float32
    assert set(np.unique(labels)) == {ROBOT_LABEL, BACKGROUND_LABEL, FIRST_STATION_LABEL}
    assert (labels[-4:, 60:100] == ROBOT_LABEL).all()  # the robot's nose

    # The station, straight ahead, lies symmetric to the middle of the picture.
    rows, columns = np.nonzero(labels == FIRST_STATION_LABEL)
    assert abs((columns.min() + columns.max()) / 2 - 79.5) < 2.0
    # Each pixel's distance is that of the panel, or of what stands out of it.
    camera, station = env.config.camera, env.config.station
    pitch = camera.pitch_down_rad
    down = rays_of(np.stack([columns, rows], -1))[:, 1]
    forward = depth[rows, columns] * (math.cos(pitch) - down * math.sin(pitch))
    panel = station.panel_front_m - env.truth.dock_from_base.x - camera.x_m
    assert np.median(np.abs(forward - panel)) < 0.12
    assert forward.min() > station.plate_front_m + 1.2 - 0.1
    # The floor, a known way below.
    floor = (labels == BACKGROUND_LABEL) & (np.arange(120)[:, None] > 70)
    rows, columns = np.nonzero(floor)
    down = rays_of(np.stack([columns, rows], -1))[:, 1]
    below = depth[rows, columns] * (math.sin(pitch) + down * math.cos(pitch))
    assert np.median(np.abs(below - camera.z_m)) < 0.01


def test_labels_belong_to_the_moment_of_the_picture(still_env):
    """Taken later, after the robot has moved on, they still fit the picture."""
    env = still_env
    env.reset(seed=1)
    for _ in range(10):
        env.step(np.array([0.4, 0.5]))
    at_once = env.render_segmentation()
    base = env.robot.world_from_base
    env.advance(np.array([0.4, 0.5]))  # takes no picture
    np.testing.assert_array_equal(env.render_segmentation(), at_once)
    assert env.robot.world_from_base != base


def test_rendering_labels_disturbs_nothing(rendering_env):
    def drive(look):
        rendering_env.reset(seed=5)
        frames = []
        for _ in range(8):
            frames.append(rendering_env.step(np.array([0.3, 0.2]))[0])
            if look:
                rendering_env.render_segmentation()
                rendering_env.render_depth()
        return frames, rendering_env.truth.world_from_base

    (first, base), (second, other) = drive(look=False), drive(look=True)
    assert base == other
    for a, b in zip(first, second, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_without_a_camera_labels_are_refused(blind_env):
    blind_env.reset(seed=0)
    for render in (blind_env.render_segmentation, blind_env.render_depth):
        with pytest.raises(SimulationError, match="expected DockingEnv\\(render=True\\)"):
            render()


def test_what_is_left_out_of_a_picture_could_not_be_seen(rendering_env):
    """Leaving out what is out of view, and the sky behind walls, changes no pixel."""
    env = rendering_env
    for seed in range(4):
        env.reset(seed=seed)
        camera, base = env._sensors.camera, env.robot.world_from_base
        drawn = []
        for yaw in (0.0, 2.0, 4.0):
            env.set_base_pose(Pose2D(base.x, base.y, base.yaw + yaw))
            with camera._ideal_view(env._data):
                quick = camera._renderer.render().copy()
                drawn.append(camera._renderer.scene.ngeom)
            camera._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = 1
            with camera._wide_angle():
                camera._renderer.update_scene(env._data, camera._camera, camera._option)
            everything = camera._renderer.render()
            np.testing.assert_array_equal(quick, everything)
        assert max(drawn) < camera._renderer.scene.ngeom
