"""Sets a drawn scene up in the compiled model."""

import math

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.mjcf import HIDDEN_GROUP
from vla_simulation.opengl import mujoco
from vla_simulation.scenes import scenery, station_model
from vla_simulation.scenes.scene import Scene
from vla_simulation.world import STATION, WorldIndex

_PARKED_Z_M = -20.0


class Stage:
    """Moves bodies and changes surfaces and lights of one compiled model."""

    def __init__(self, model: mujoco.MjModel, index: WorldIndex) -> None:
        self._model = model
        self._index = index
        self._wall_geoms = [model.geom(name).id for name in scenery.WALL_NAMES]
        self._floor_geom = model.geom("floor").id
        self._lights = {name: model.light(name).id for name in ("key", "fill")}
        self._groups = model.geom_group.copy()
        self._props = [prop.name for prop in (*scenery.CLUTTER, *scenery.WALL_DECORATION)]

    def apply(self, scene: Scene, data: mujoco.MjData) -> None:
        """Set the scene up; ``data`` has just been reset."""
        data.mocap_pos[:, 2] = _PARKED_Z_M
        for number, name in enumerate(scenery.WALL_NAMES):
            self._place(data, name, scene.wall_pose(number))
        self._place(data, STATION, scene.world_from_dock)
        for name in self._props:
            # What is not in the scene costs no drawing and casts no shadow from below.
            self._model.geom_group[self._index.body_geoms[name]] = HIDDEN_GROUP
        for item in (*scene.clutter, *scene.decoration):
            geoms = self._index.body_geoms[item.prop.name]
            self._model.geom_group[geoms] = self._groups[geoms]
            self._place(data, item.prop.name, item.pose)
        self._set_room_surfaces(scene)
        self._set_station_colour(scene)
        self._set_lights(scene)

    def _place(self, data: mujoco.MjData, body: str, pose: Pose2D) -> None:
        mocap = self._index.mocap[body]
        data.mocap_pos[mocap] = (pose.x, pose.y, 0.0)
        data.mocap_quat[mocap] = (math.cos(pose.yaw / 2), 0.0, 0.0, math.sin(pose.yaw / 2))

    def _set_room_surfaces(self, scene: Scene) -> None:
        model = self._model
        floor = model.material(f"floor_{scene.floor}").id
        model.geom_matid[self._floor_geom] = floor
        model.mat_rgba[floor, :3] = scene.floor_tint
        for number, geom in enumerate(self._wall_geoms):
            material = model.material(f"wall_{scene.walls[number]}").id
            model.geom_matid[geom] = material
            model.mat_rgba[material, :3] = scene.wall_tint
            # Only ever shorter than compiled, so that all bounding volumes stay valid.
            span = scene.room_width_m if number % 2 == 0 else scene.room_length_m
            model.geom_size[geom, 0] = min(span / 2 + 0.2, scenery.WALL_LENGTH_M / 2)
            model.mat_texrepeat[material, 0] = span / scenery.WALL_HEIGHT_M

    def _set_station_colour(self, scene: Scene) -> None:
        for name in station_model.COLOURED_MATERIALS:
            self._model.mat_rgba[self._model.material(name).id, :3] = scene.station_rgb

    def _set_lights(self, scene: Scene) -> None:
        model, light = self._model, scene.lighting
        colour = np.array([1.0 + 0.06 * light.warmth, 1.0, 1.0 - 0.08 * light.warmth])
        model.vis.headlight.ambient[:] = light.ambient * colour
        key, fill = self._lights["key"], self._lights["fill"]
        model.light_diffuse[key] = light.key * colour
        model.light_dir[key] = _unit(light.key_direction)
        model.light_diffuse[fill] = light.fill * colour
        model.light_dir[fill] = _unit(light.fill_direction)


def _unit(vector: tuple[float, float, float]) -> np.ndarray:
    array = np.array(vector)
    return array / np.linalg.norm(array)
