"""Compiles robot, station, room and clutter into one MuJoCo model and indexes its parts."""

import functools
from dataclasses import dataclass

import numpy as np

from vla_simulation.config import PHYSICS_PERIOD_S, SimulationConfig
from vla_simulation.mjcf import WORLD_COLLISION, geom, mocap_body
from vla_simulation.opengl import mujoco
from vla_simulation.robot import robot_model
from vla_simulation.robot.other_robot import other_robot_body
from vla_simulation.scenes import scenery, station_model, textures
from vla_simulation.scenes.meshes import Mesh
from vla_simulation.scenes.station_shapes import SHAPES
from vla_simulation.scenes.stations import MAX_STATIONS
from vla_simulation.scenes.textures import atlas, signs

STATIONS = tuple(f"station_{k}" for k in range(MAX_STATIONS))


def other_robot_name(number: int) -> str:
    """Name of the body that stands for another robot in this robot's world, from 0."""
    return f"other_robot_{number}"


def _mjcf(config: SimulationConfig, other_robots: int) -> str:
    robot = config.robot
    floors = "\n    ".join(
        f'<material name="floor_{name}" texture="floor_{name}" texuniform="true" '
        f'texrepeat="{1 / textures.FLOOR_SIZE_M:g} {1 / textures.FLOOR_SIZE_M:g}" specular="0.1"/>'
        for name in textures.FLOORS
    )
    walls = "\n    ".join(
        f'<material name="wall_{name}" texture="wall_{name}" '
        f'texrepeat="{scenery.WALL_LENGTH_M / textures.WALL_SIZE_M[0]:g} 1" specular="0"/>'
        for name in textures.WALLS
    )
    # In the order of drawing: what hides most comes first, so that hidden pixels cost nothing.
    bodies = [
        robot_model.robot_body(config),
        *(
            station_model.station_body(
                name, config.station, robot.pin_spacing_m, robot.pin_height_m
            )
            for name in STATIONS
        ),
        *(mocap_body(prop.name, prop.geoms) for prop in scenery.PROPS),
        *(scenery.wall_body(name) for name in scenery.WALL_NAMES),
        *(scenery.corner_body(name) for name in scenery.CORNER_NAMES),
        *(other_robot_body(config, other_robot_name(number)) for number in range(other_robots)),
    ]
    world = "\n    ".join(bodies)
    floor = geom(
        "plane",
        (0, 0, 0),
        (16, 16, 4.0),
        material="floor_concrete",
        name="floor",
        collision=WORLD_COLLISION,
    )
    motors = "\n    ".join(
        f'<motor name="{side}_wheel" joint="{side}_wheel" ctrllimited="true" '
        f'ctrlrange="{-robot.motor_torque_limit_nm:g} {robot.motor_torque_limit_nm:g}"/>'
        for side in ("left", "right")
    )
    materials = robot_model.MATERIALS + station_model.MATERIALS + scenery.MATERIALS
    materials += "".join(station_model.coloured_materials(name) for name in STATIONS)
    return f"""<mujoco model="docking">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{PHYSICS_PERIOD_S:g}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <size nuser_geom="1"/>
  <statistic center="0 0 0.5" extent="10"/>
  <visual>
    <quality shadowsize="0" offsamples="0" numslices="20" numstacks="6" numquads="1"/>
    <map znear="0.004" zfar="3.5" shadowclip="0.9"/>
    <headlight ambient="0.35 0.35 0.35" diffuse="0.1 0.1 0.1" specular="0 0 0"/>
    <rgba haze="0.5 0.5 0.5 1"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.52 0.54 0.56"
      rgb2="0.36 0.37 0.39" width="32" height="192"/>{materials}
    {floors}
    {walls}
  </asset>
  <worldbody>
    <light name="key" directional="true" pos="0 0 6" dir="0.3 0.2 -1" castshadow="true"/>
    <light name="fill" directional="true" pos="0 0 6" dir="-0.5 -0.4 -0.6" castshadow="false"/>
    {world}
    <body name="ground">{floor}</body>
  </worldbody>
  <actuator>
    {motors}
  </actuator>
</mujoco>"""


def compile_model(config: SimulationConfig, other_robots: int = 0) -> mujoco.MjModel:
    """Compile the model of robot and surroundings; takes about a second, the first time two.

    Args:
        config: dimensions.
        other_robots: how many bodies that stand for other robots there are.
    """
    spec = mujoco.MjSpec.from_string(_mjcf(config, other_robots))
    for name, image in _texture_images().items():
        texture = spec.add_texture(
            name=name,
            type=mujoco.mjtTexture.mjTEXTURE_2D,
            width=image.shape[1],
            height=image.shape[0],
            nchannel=image.shape[2],
        )
        texture.data = image.tobytes()
    for name, mesh in _meshes(config).items():
        asset = spec.add_mesh(name=name)
        asset.uservert = mesh.vertices.ravel()
        asset.usernormal = mesh.normals.ravel()
        asset.usertexcoord = mesh.texcoords.ravel()
        asset.userface = mesh.faces.ravel()
        # Facades are surfaces, not solids: open, and without a volume.
        asset.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    return spec.compile()


@functools.cache
def _texture_images() -> dict[str, np.ndarray]:
    images = {f"floor_{name}": draw() for name, draw in textures.FLOORS.items()}
    images |= {f"wall_{name}": draw() for name, draw in textures.WALLS.items()}
    images |= {f"digit_{k}": signs.digit_sign(k) for k in station_model.DIGITS}
    images |= {f"{name}_marker": signs.marker(k) for k, name in enumerate(STATIONS)}
    return images | {"props": atlas.PROPS.image, "decals": atlas.DECALS.image}


def _meshes(config: SimulationConfig) -> dict[str, Mesh]:
    meshes = scenery.room_meshes() | station_model.station_meshes(config.station)
    for prop in scenery.PROPS:
        meshes |= prop.meshes
    return meshes


@dataclass(frozen=True)
class ChargingContact:
    """A spring-loaded pin of the robot and the plate that it belongs onto."""

    pin_geom: int
    plate_geom: int
    pin_qpos: int


@dataclass(frozen=True)
class WorldIndex:
    """Where the parts of the compiled model are.

    Attributes:
        mocap: number of each movable body.
        body_geoms: geoms of each movable body.
        wheel_qpos: addresses of the wheel angles, left and right.
        wheel_dof: addresses of the wheel speeds, left and right.
        wheel_geoms: left and right tyre.
        scanner_site: origin of the scanner's beams.
        allowed_contact: (geoms, geoms) bool, contacts that are no collision.
        charging_contacts: left and right, of each station.
        surface_class: (geoms,) int8, how each returns a laser beam: `SURFACE_MATTE`,
            `SURFACE_DARK` or `SURFACE_GLOSSY` of `mjcf`.
        station_shapes: geoms of each shape of each station; one shape is shown at a time.
    """

    mocap: dict[str, int]
    body_geoms: dict[str, np.ndarray]
    wheel_qpos: np.ndarray
    wheel_dof: np.ndarray
    wheel_geoms: np.ndarray
    scanner_site: int
    allowed_contact: np.ndarray
    charging_contacts: tuple[tuple[ChargingContact, ...], ...]
    surface_class: np.ndarray
    station_shapes: tuple[dict[str, np.ndarray], ...]

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "WorldIndex":
        """Look the parts up by name."""
        movable = {
            model.body(body).name: body
            for body in range(model.nbody)
            if model.body_mocapid[body] >= 0
        }
        wheels = [model.joint(f"{side}_wheel") for side in _SIDES]
        return cls(
            mocap={name: int(model.body_mocapid[body]) for name, body in movable.items()},
            body_geoms={
                name: np.flatnonzero(model.geom_bodyid == body) for name, body in movable.items()
            },
            wheel_qpos=np.array([wheel.qposadr[0] for wheel in wheels]),
            wheel_dof=np.array([wheel.dofadr[0] for wheel in wheels]),
            wheel_geoms=np.array([model.geom(f"{side}_wheel").id for side in _SIDES]),
            scanner_site=model.site("scanner").id,
            allowed_contact=_allowed_contacts(model),
            charging_contacts=tuple(
                tuple(
                    ChargingContact(
                        model.geom(f"{side}_pin").id,
                        model.geom(f"{station}_{side}_plate").id,
                        int(model.joint(f"{side}_pin").qposadr[0]),
                    )
                    for side in _SIDES
                )
                for station in STATIONS
            ),
            surface_class=model.geom_user[:, 0].astype(np.int8),
            station_shapes=tuple(_station_shapes(model, station) for station in STATIONS),
        )


_SIDES = ("left", "right")


def _station_shapes(model: mujoco.MjModel, station: str) -> dict[str, np.ndarray]:
    names = [model.geom(k).name for k in range(model.ngeom)]
    return {
        shape: np.array(
            [k for k, name in enumerate(names) if name.startswith(f"{station}_{shape}_")]
        )
        for shape in SHAPES
    }


def _allowed_contacts(model: mujoco.MjModel) -> np.ndarray:
    allowed = np.zeros((model.ngeom, model.ngeom), bool)
    allowed[model.geom("floor").id, :] = True
    for station in STATIONS:
        for side in _SIDES:
            pin = model.geom(f"{side}_pin").id
            allowed[pin, model.geom(f"{station}_{side}_plate").id] = True
            buffer = model.geom(f"{station}_{side}_buffer").id
            allowed[model.geom("robot_bumper").id, buffer] = True
    return allowed | allowed.T
