"""Pictures of the scene for people."""

import contextlib
import math
from collections.abc import Iterator

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.errors import SimulationError
from vla_simulation.mjcf import DECAL_GROUP, DRAWN_GROUPS, HIDDEN_GROUP
from vla_simulation.opengl import create_renderer, mujoco
from vla_simulation.scenes import scenery
from vla_simulation.scenes.footprints import corridor
from vla_simulation.scenes.scene import Scene
from vla_simulation.world import WorldIndex

VIEWS = ("chase", "overview", "top", "camera")
_WALL_MARGIN_M = 0.25
_FREE_SIGHT_HALF_WIDTH_M = 0.5
_LOWEST_LIGHT_SLOPE = 0.18
_PICTURE_AMBIENT = 1.3
TOP_VIEW_HEIGHT_M = 3.4
"""What the top view covers from its lower to its upper edge; it has no perspective."""


class Views:
    """Renders third-person views; a renderer per size is made when it is first needed."""

    def __init__(self, model: mujoco.MjModel, index: WorldIndex) -> None:
        self._model = model
        self._index = index
        self._key_light = model.light("key").id
        self._shadowless = model.geom_group == DECAL_GROUP
        room = ("floor", *scenery.WALL_NAMES)
        self._shadowless[[model.geom(name).id for name in room]] = True
        self._renderers: dict[tuple[tuple[int, int], bool], mujoco.Renderer] = {}
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[list(DRAWN_GROUPS)] = 1

    def render(
        self,
        data: mujoco.MjData,
        view: str,
        size: tuple[int, int],
        world_from_base: Pose2D,
        scene: Scene,
        shadows: bool = True,
    ) -> np.ndarray:
        """One picture; see `DockingEnv.render_view`."""
        if view not in VIEWS:
            raise SimulationError(f"view '{view}' is unknown, expected one of: {', '.join(VIEWS)}")
        kind = (size, shadows)
        if kind not in self._renderers:
            self._renderers[kind] = create_renderer(self._model, *size, shadows=shadows)
        renderer = self._renderers[kind]
        if view == "camera":
            mujoco.mj_camlight(self._model, data)
            renderer.update_scene(data, self._model.camera("camera").id, self._option)
            self._leave_out_of_shadow_maps(renderer)
            return renderer.render()
        camera = _third_person(view, world_from_base, scene)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._picture_light())
            if camera.orthographic:
                stack.enter_context(self._orthographic_height(TOP_VIEW_HEIGHT_M))
            else:
                stack.enter_context(self._free_sight(camera, world_from_base, scene))
            mujoco.mj_camlight(self._model, data)
            renderer.update_scene(data, camera, self._option)
            self._leave_out_of_shadow_maps(renderer)
            return renderer.render()

    def _leave_out_of_shadow_maps(self, renderer: mujoco.Renderer) -> None:
        """Let floor, walls and decals cast no shadows.

        Walls would keep out the lights, which stand for lamps inside; floor and decals would be
        covered with the interference of two depth maps.
        """
        for geom in renderer.scene.geoms[: renderer.scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and self._shadowless[geom.objid]:
                geom.category = mujoco.mjtCatBit.mjCAT_DECOR

    def close(self) -> None:
        """Free all OpenGL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    @contextlib.contextmanager
    def _orthographic_height(self, height_m: float) -> Iterator[None]:
        """MuJoCo takes the height of a free orthographic view from the field of view."""
        settings = self._model.vis.global_
        angle = settings.fovy
        try:
            settings.fovy = height_m
            yield
        finally:
            settings.fovy = angle

    @contextlib.contextmanager
    def _picture_light(self) -> Iterator[None]:
        """Brighter and steeper: light from aside would draw the walls' shadows on the floor."""
        ambient = self._model.vis.headlight.ambient
        drawn_ambient = ambient.copy()
        ambient *= _PICTURE_AMBIENT
        direction = self._model.light_dir[self._key_light]
        drawn = direction.copy()
        horizontal = math.hypot(direction[0], direction[1])
        steep = min(horizontal, _LOWEST_LIGHT_SLOPE)
        direction[:2] *= steep / max(horizontal, 1e-6)
        direction[:] /= np.linalg.norm(direction)
        try:
            yield
        finally:
            self._model.light_dir[self._key_light] = drawn
            ambient[:] = drawn_ambient

    @contextlib.contextmanager
    def _free_sight(
        self, camera: mujoco.MjvCamera, world_from_base: Pose2D, scene: Scene
    ) -> Iterator[None]:
        """Leave out the clutter that stands between the camera and what it looks at."""
        eye = _eye(camera)
        sights = [
            corridor(eye, target, _FREE_SIGHT_HALF_WIDTH_M)
            for target in (world_from_base, scene.world_from_dock @ Pose2D(0.2, 0.0, 0.0))
        ]
        hidden = [
            self._index.body_geoms[item.prop.name]
            for item in scene.clutter
            if any(item.footprint.overlaps(s) for s in sights)
        ]
        groups = [self._model.geom_group[geoms].copy() for geoms in hidden]
        try:
            for geoms in hidden:
                self._model.geom_group[geoms] = HIDDEN_GROUP
            yield
        finally:
            for geoms, group in zip(hidden, groups, strict=True):
                self._model.geom_group[geoms] = group


def _third_person(view: str, base: Pose2D, scene: Scene) -> mujoco.MjvCamera:
    dock = scene.world_from_dock
    if view == "top":
        middle = dock @ Pose2D(-0.95, 0.0, 0.0)
        # The station to the right, y of the dock frame upwards.
        camera = _camera((middle.x, middle.y, 0.0), math.degrees(dock.yaw) + 90.0, -90.0, 6.0)
        camera.orthographic = 1
        return camera
    if view == "chase":
        target = base @ Pose2D(0.6, 0.0, 0.0)
        return _inside((target.x, target.y, 0.35), base.yaw + 0.30, 24.0, 2.4, scene)
    middle = dock @ Pose2D(-0.55, 0.0, 0.0)
    along_wall = dock.y * math.cos(dock.yaw) - dock.x * math.sin(dock.yaw)
    side = 1.0 if along_wall <= 0 else -1.0  # from where the room is wider
    return _inside((middle.x, middle.y, 0.30), dock.yaw - side * 0.95, 22.0, 3.0, scene)


def _inside(
    target: tuple[float, float, float],
    yaw_rad: float,
    down_deg: float,
    distance: float,
    scene: Scene,
) -> mujoco.MjvCamera:
    """Look along a direction from as far as asked, but not from behind a wall."""
    horizontal = math.cos(math.radians(down_deg))
    direction = (-math.cos(yaw_rad) * horizontal, -math.sin(yaw_rad) * horizontal)
    halves = (scene.room_length_m / 2 - _WALL_MARGIN_M, scene.room_width_m / 2 - _WALL_MARGIN_M)
    for axis in range(2):
        if abs(direction[axis]) > 1e-6:
            room = (math.copysign(halves[axis], direction[axis]) - target[axis]) / direction[axis]
            distance = min(distance, max(room, 0.5))
    return _camera(target, math.degrees(yaw_rad), -down_deg, distance)


def _camera(
    target: tuple[float, float, float], azimuth_deg: float, elevation_deg: float, distance: float
) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = target
    camera.azimuth = azimuth_deg
    camera.elevation = elevation_deg
    camera.distance = distance
    return camera


def _eye(camera: mujoco.MjvCamera) -> Pose2D:
    azimuth, elevation = math.radians(camera.azimuth), math.radians(camera.elevation)
    reach = camera.distance * math.cos(elevation)
    x, y = camera.lookat[:2]
    return Pose2D(float(x) - reach * math.cos(azimuth), float(y) - reach * math.sin(azimuth), 0.0)
