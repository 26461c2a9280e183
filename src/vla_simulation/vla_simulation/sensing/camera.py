"""RGB camera of the simulated robot, with the labels and distances behind its pixels."""

import contextlib
from collections.abc import Iterator

import cv2
import numpy as np

from vla_simulation.config import CameraConfig
from vla_simulation.mjcf import DECAL_GROUP, DRAWN_GROUPS, HIDDEN_GROUP, ROBOT_GROUP
from vla_simulation.opengl import create_renderer, mujoco
from vla_simulation.randomization import SensorRandomization
from vla_simulation.scenes import scenery
from vla_simulation.sensing.optics import Optics

ROBOT_LABEL = -1
BACKGROUND_LABEL = 0
FIRST_STATION_LABEL = 1

_NOISE_BANK_SIZE = 1 << 20
_CHANNELS = 3
_PAINT_HEIGHT_M = 0.02
_SKYBOX = int(mujoco.mjtRndFlag.mjRND_SKYBOX)
_SKY_RAYS = 17
_SKY_MARGIN_RAD = 0.045  # how far a wall's top can sink from one ray to the next, in a corner
_YAW_RATE = 5  # address in qvel: the last of the free joint's six


class Camera:
    """Camera with a distorting lens, a rolling shutter and a noisy sensor.

    The picture passes lens and shutter (`Optics`), then white balance, exposure and gamma, then
    read and shot noise.
    """

    def __init__(
        self, model: mujoco.MjModel, config: CameraConfig, station_names: tuple[str, ...]
    ) -> None:
        """Create the renderer.

        Args:
            model: compiled model with a camera named ``camera``.
            config: dimensions.
            station_names: bodies of the stations, in the order of their labels.

        Raises:
            RenderingError: no OpenGL library works.
        """
        self._model = model
        self._optics = Optics(config)
        width, height = self._optics.source_size
        self._renderer = create_renderer(model, width, height)
        self._ideal = np.empty((height, width, _CHANNELS), np.uint8)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[list(DRAWN_GROUPS)] = 1
        self._camera = model.camera("camera").id
        self._labels = _geom_labels(model, station_names)
        self._frustum = _Frustum(model, self._camera, self._optics)
        self._frustum.hide(self._robot_geoms() & ~self._seen_robot_geoms())
        self._noise: np.ndarray | None = None
        self._noise_bank = np.random.default_rng(7).standard_normal(
            _NOISE_BANK_SIZE, dtype=np.float32
        )

    def _robot_geoms(self) -> np.ndarray:
        return self._labels == ROBOT_LABEL

    def _seen_robot_geoms(self) -> np.ndarray:
        """(geoms,) bool: parts of the robot in front of its own camera."""
        data, option = mujoco.MjData(self._model), mujoco.MjvOption()
        derive_positions(self._model, data)
        option.geomgroup[:] = 0
        option.geomgroup[ROBOT_GROUP] = 1
        with self._wide_angle():
            self._renderer.update_scene(data, self._camera, option)
        geoms, is_geom = self._rendered_geoms()
        seen = np.zeros(self._model.ngeom, bool)
        seen[geoms[is_geom]] = True
        return seen

    def reset(
        self, rng: np.random.Generator, ranges: SensorRandomization, data: mujoco.MjData
    ) -> None:
        """Draw response, noise and shutter times of an episode.

        Args:
            rng: decides what is drawn.
            ranges: what it is drawn from.
            data: with the scene of the episode set up and its positions derived.
        """
        self._frustum.note_walls(data)
        self._rng = rng
        gain, gamma = rng.uniform(*ranges.exposure_gain), rng.uniform(*ranges.gamma)
        red, blue = rng.uniform(-ranges.white_balance_error, ranges.white_balance_error, 2)
        read, shot = rng.uniform(*ranges.read_noise), rng.uniform(*ranges.shot_noise)
        light = np.linspace(0.0, 1.0, 256)
        level = gain * light[:, None] ** gamma * np.array([1.0 + red, 1.0, 1.0 + blue])
        self._response = np.clip(np.rint(255.0 * level), 0, 255).astype(np.uint8)[None]
        self._sigma = np.sqrt(read**2 + shot**2 * light).astype(np.float32)[None]
        self._exposure_s = rng.uniform(*ranges.exposure_time_s)
        self._readout_s = rng.uniform(*ranges.readout_time_s)
        self._captured_qpos: np.ndarray | None = None
        self._readout_rad = 0.0

    def capture(self, data: mujoco.MjData) -> np.ndarray:
        """Take a picture; (H, W, 3) uint8 RGB.

        Positions that are derived from the state must be up to date.
        """
        yaw_rate = data.qvel.item(_YAW_RATE)
        self._captured_qpos = data.qpos.copy()
        self._readout_rad = yaw_rate * self._readout_s
        with self._ideal_view(data):
            self._renderer.render(out=self._ideal)
        exposure_rad = yaw_rate * self._exposure_s
        return self._sensed(self._optics.picture(self._ideal, self._readout_rad, exposure_rad))

    def _sensed(self, picture: np.ndarray) -> np.ndarray:
        picture = cv2.LUT(picture, self._response, dst=picture)
        # Drawing as many normals anew would take as long as rendering.
        offset = int(self._rng.integers(_NOISE_BANK_SIZE - picture.size))
        unit_noise = self._noise_bank[offset : offset + picture.size].reshape(picture.shape)
        self._noise = cv2.LUT(picture, self._sigma, dst=self._noise)
        cv2.multiply(self._noise, unit_noise, dst=self._noise)
        return cv2.add(picture, self._noise, dtype=cv2.CV_8U)

    def segmentation(self, data: mujoco.MjData) -> np.ndarray:
        """What the pixels of the last picture show.

        Returns:
            (H, W) int16: ROBOT_LABEL, BACKGROUND_LABEL, or FIRST_STATION_LABEL plus the number of
            a station.
        """
        with self._moment_of_picture(data), self._ideal_view(data):
            geoms, is_geom = self._rendered_geoms()
        labels = np.where(is_geom, self._labels[geoms], np.int16(BACKGROUND_LABEL))
        return self._optics.labels(labels, self._readout_rad)

    def _rendered_geoms(self) -> tuple[np.ndarray, np.ndarray]:
        """Which geom each pixel of the renderer's scene shows, and whether it shows one."""
        self._renderer.enable_segmentation_rendering()
        try:
            objects, kinds = self._renderer.render().transpose(2, 0, 1)
        finally:
            self._renderer.disable_segmentation_rendering()
        return objects, kinds == int(mujoco.mjtObj.mjOBJ_GEOM)

    def depth(self, data: mujoco.MjData) -> np.ndarray:
        """How far what the last picture shows is, along the optical axis; (H, W) float32 [m]."""
        self._renderer.enable_depth_rendering()
        try:
            with self._moment_of_picture(data), self._ideal_view(data):
                distances = self._renderer.render()
        finally:
            self._renderer.disable_depth_rendering()
        return self._optics.labels(distances, self._readout_rad)

    @contextlib.contextmanager
    def _moment_of_picture(self, data: mujoco.MjData) -> Iterator[None]:
        """The robot as it stood when the last picture was taken."""
        now = data.qpos.copy()
        try:
            if self._captured_qpos is not None:
                data.qpos[:] = self._captured_qpos
            derive_positions(self._model, data)
            yield
        finally:
            data.qpos[:] = now
            derive_positions(self._model, data)

    @contextlib.contextmanager
    def _ideal_view(self, data: mujoco.MjData) -> Iterator[None]:
        """The renderer's scene, as far as it is in view."""
        groups = self._model.geom_group.copy()
        try:
            self._renderer.scene.flags[_SKYBOX] = self._frustum.open_above(data)
            self._model.geom_group[self._frustum.unseen(data)] = HIDDEN_GROUP
            with self._wide_angle():
                self._renderer.update_scene(data, self._camera, self._option)
            yield
        finally:
            self._model.geom_group[:] = groups

    @contextlib.contextmanager
    def _wide_angle(self) -> Iterator[None]:
        """The angle of view that the lens needs."""
        angle = self._model.cam_fovy[self._camera]
        try:
            self._model.cam_fovy[self._camera] = np.degrees(self._optics.source_fov_rad)
            yield
        finally:
            self._model.cam_fovy[self._camera] = angle

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


def derive_positions(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Bring positions of bodies, cameras and lights up to date with the state."""
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)


class _Frustum:
    """Finds what a camera cannot see: whatever is drawn costs time, seen or not."""

    def __init__(self, model: mujoco.MjModel, camera: int, optics: Optics) -> None:
        self._camera = camera
        width, height = optics.source_size
        half = optics.source_fov_rad / 2
        angles = np.array([np.arctan(np.tan(half) * width / height), half])
        self._sin, self._cos = np.sin(angles), np.cos(angles)
        # Planes are infinite; MuJoCo gives them no radius.
        self._radius = np.where(model.geom_rbound > 0.0, model.geom_rbound, np.inf)
        # Just above the upper edge of the view.
        across = np.tan(angles[0]) * np.linspace(-1.0, 1.0, _SKY_RAYS)
        up = np.full(_SKY_RAYS, np.tan(half + _SKY_MARGIN_RAD))
        rays = np.stack([across, up, -np.ones(_SKY_RAYS)], 1)
        self._sky_rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        self._walls = [model.body(name).id for name in scenery.WALL_NAMES]

    def note_walls(self, data: mujoco.MjData) -> None:
        """Take down where the walls of the room are."""
        self._inwards = data.xmat[self._walls][:, (0, 3)]  # (walls, 2): x axis of a wall's body
        self._offsets = (data.xpos[self._walls][:, :2] * self._inwards).sum(1)

    def open_above(self, data: mujoco.MjData) -> bool:
        """Whether anything may be seen above the walls: the sky costs a tenth of a picture."""
        eye = data.cam_xpos[self._camera]
        rays = self._sky_rays @ self._rotation(data).T
        # The wall that a ray meets first is that with the largest approach per distance.
        towards = -self._inwards / (self._inwards @ eye[:2] - self._offsets)[:, None]
        per_reach = (rays[:, :2] @ towards.T).max(1)
        return bool((rays[:, 2] > (scenery.WALL_HEIGHT_M - eye[2]) * per_reach).any())

    def hide(self, geoms: np.ndarray) -> None:
        """Count geoms as unseen for good; (geoms,) bool."""
        self._radius[geoms] = -np.inf

    def unseen(self, data: mujoco.MjData) -> np.ndarray:
        """(geoms,) bool: whose bounding sphere is wholly outside of the view."""
        offset = (data.geom_xpos - data.cam_xpos[self._camera]) @ self._rotation(data)
        beyond = np.abs(offset[:, :2]) * self._cos + offset[:, 2:] * self._sin
        return beyond.max(1) > self._radius

    def _rotation(self, data: mujoco.MjData) -> np.ndarray:
        """(3, 3); columns: right, up, backward."""
        return data.cam_xmat[self._camera].reshape(3, 3)


def _geom_labels(model: mujoco.MjModel, station_names: tuple[str, ...]) -> np.ndarray:
    labels = np.full(model.ngeom, BACKGROUND_LABEL, np.int16)
    robot = model.body("base_link").id
    labels[model.body_rootid[model.geom_bodyid] == robot] = ROBOT_LABEL
    for number, name in enumerate(station_names):
        # Without what is painted onto the floor around it.
        painted = (model.geom_group == DECAL_GROUP) & (model.geom_pos[:, 2] < _PAINT_HEIGHT_M)
        own = (model.geom_bodyid == model.body(name).id) & ~painted
        labels[own] = FIRST_STATION_LABEL + number
    return labels
