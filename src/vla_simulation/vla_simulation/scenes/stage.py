"""Sets a drawn scene up in the compiled model."""

import math
from collections.abc import Sequence

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.mjcf import HIDDEN_GROUP
from vla_simulation.opengl import mujoco
from vla_simulation.scenes import scenery, station_model
from vla_simulation.scenes.props.prop import GLOW_MATERIAL, SHADE_MATERIAL
from vla_simulation.scenes.scene import Scene
from vla_simulation.scenes.stations import StationLook
from vla_simulation.world import STATIONS, WorldIndex, other_robot_name

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
        self._masks = np.stack([model.geom_contype, model.geom_conaffinity])

    def apply(self, scene: Scene, data: mujoco.MjData) -> None:
        """Set the scene up; ``data`` has just been reset."""
        data.mocap_pos[:, 2] = _PARKED_Z_M
        for name in (*STATIONS, *(prop.name for prop in scenery.PROPS)):
            # What is not in the scene costs no drawing and casts no shadow from below.
            self._show(self._index.body_geoms[name], shown=False)
        for number, (wall, corner) in enumerate(
            zip(scenery.WALL_NAMES, scenery.CORNER_NAMES, strict=True)
        ):
            self._place(data, wall, scene.wall_pose(number))
            self._place(data, corner, _corner_pose(scene, number))
        for item in (*scene.clutter, *scene.decoration):
            self._show(self._index.body_geoms[item.prop.name], shown=True)
            self._place(data, item.prop.name, item.pose)
        for number, station in enumerate(scene.stations):
            self._place(data, STATIONS[number], station.world_from_dock)
            self.show_station(number, station.look, scene.markers)
        self._set_room_surfaces(scene)
        self._set_lights(scene)

    def place_others(self, poses: Sequence[Pose2D], data: mujoco.MjData) -> None:
        """Put the bodies that stand for other robots where those are, `world_from_base`."""
        for number, pose in enumerate(poses):
            self._place(data, other_robot_name(number), pose)

    def show_station(self, number: int, look: StationLook, markers: bool = False) -> None:
        """Give a station its look: shape, colour, digit, and its marker or none."""
        model, name = self._model, STATIONS[number]
        self._show(self._index.body_geoms[name], shown=True)
        for shape, geoms in self._index.station_shapes[number].items():
            if shape != look.shape:
                self._show(geoms, shown=False)
        if not markers:
            self._show(np.array([model.geom(f"{name}_marker").id]), shown=False)
        for part in station_model.COLOURED_MATERIALS:
            model.mat_rgba[model.material(f"{name}_{part}").id, :3] = look.rgb
        sign = model.geom(f"{name}_sign").id
        model.geom_matid[sign] = model.material(f"digit_{look.number}").id

    def _show(self, geoms: np.ndarray, shown: bool) -> None:
        """Let geoms take part in pictures, scans and contacts, or in none of them."""
        self._model.geom_group[geoms] = self._groups[geoms] if shown else HIDDEN_GROUP
        contype, conaffinity = self._masks[:, geoms] if shown else (0, 0)
        self._model.geom_contype[geoms] = contype
        self._model.geom_conaffinity[geoms] = conaffinity

    def _place(self, data: mujoco.MjData, body: str, pose: Pose2D) -> None:
        mocap = self._index.mocap[body]
        data.mocap_pos[mocap] = (pose.x, pose.y, 0.0)
        data.mocap_quat[mocap] = (math.cos(pose.yaw / 2), 0.0, 0.0, math.sin(pose.yaw / 2))

    def _set_room_surfaces(self, scene: Scene) -> None:
        model, surfaces = self._model, scene.surfaces
        floor = model.material(f"floor_{surfaces.floor}").id
        model.geom_matid[self._floor_geom] = floor
        model.mat_rgba[floor, :3] = surfaces.floor_tint
        for number, geom in enumerate(self._wall_geoms):
            material = model.material(f"wall_{surfaces.walls[number]}").id
            model.geom_matid[geom] = material
            model.mat_rgba[material, :3] = surfaces.wall_tint

    def _set_lights(self, scene: Scene) -> None:
        model, light = self._model, scene.lighting
        key, fill = self._lights["key"], self._lights["fill"]
        model.vis.headlight.ambient[:] = light.ambient
        model.light_diffuse[key] = light.key
        model.light_dir[key] = _unit(light.key_direction)
        model.light_diffuse[fill] = light.fill
        model.light_dir[fill] = _unit(light.fill_direction)
        model.mat_rgba[model.material(SHADE_MATERIAL).id, 3] = min(light.corner_shade, 0.99)
        model.mat_emission[model.material(GLOW_MATERIAL).id] = light.glow


def _corner_pose(scene: Scene, number: int) -> Pose2D:
    """Where a wall meets the next one; x along the next wall, y along this one, into the room."""
    wall, after = scene.wall_pose(number), scene.wall_pose((number + 1) % 4)
    # One of the two contributes its x, the other one its y.
    x, y = (wall.x, after.y) if number % 2 == 0 else (after.x, wall.y)
    return Pose2D(x, y, wall.yaw)


def _unit(vector: tuple[float, float, float]) -> np.ndarray:
    array = np.array(vector)
    return array / np.linalg.norm(array)
