"""All generated files: what each holds, and where it lies in the package."""

from pathlib import Path

from vla_simulation.config import SimulationConfig
from vla_simulation.description import interface as names
from vla_simulation.description.bridge import bridge_yaml
from vla_simulation.description.layout import LAYOUT, STATIONS, placed_props
from vla_simulation.description.media import (
    MEDIA,
    mesh_file,
    mesh_obj,
    station_meshes,
    texture_file,
    texture_png,
)
from vla_simulation.description.robot_sdf import robot_sdf
from vla_simulation.description.sdf import model_config
from vla_simulation.description.station_sdf import StationChoice, station_sdf
from vla_simulation.description.urdf import urdf_file, xacro_file
from vla_simulation.description.world_sdf import WORLD, is_decal, world_sdf
from vla_simulation.scenes.meshes import Mesh

FOLDERS = ("models", "worlds", "urdf", "config")
"""Folders that hold generated files and nothing else."""


def generate(
    config: SimulationConfig | None = None, stations: tuple[StationChoice, ...] = STATIONS
) -> dict[str, bytes]:
    """Content of every file, by its path below the package's folder.

    Args:
        config: dimensions.
        stations: those of the world, one for each of its docks.

    Raises:
        SimulationError: the MuJoCo model holds something that has no translation.
    """
    config = config or SimulationConfig()
    files = {
        f"models/{names.ROBOT}/model.sdf": robot_sdf(config),
        f"models/{names.ROBOT}/model.config": model_config(
            names.ROBOT, "Differential-drive robot with camera, scanner and charging pins."
        ),
        f"worlds/{WORLD}.sdf": world_sdf(LAYOUT, stations),
        f"urdf/{names.ROBOT}.urdf.xacro": xacro_file(config),
        f"urdf/{names.ROBOT}.urdf": urdf_file(config),
        "config/ros_gz_bridge.yaml": bridge_yaml(),
    }
    for choice in stations:
        folder = f"models/{choice.model}"
        said = f"Charging station number {choice.number}, {choice.colour}, body '{choice.shape}'."
        files[f"{folder}/model.sdf"] = station_sdf(config, choice)
        files[f"{folder}/model.config"] = model_config(choice.model, said)
    for name, mesh in _meshes(config, stations).items():
        files[f"models/{MEDIA}/{mesh_file(name)}"] = mesh_obj(name, mesh)
    content = {path: text.encode() for path, text in files.items()}
    textures = {"props", *(f"digit_{choice.number}" for choice in stations)}
    for texture in sorted(textures):
        content[f"models/{MEDIA}/{texture_file(texture)}"] = texture_png(texture)
    return content


def write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Write files below a folder.

    Returns:
        Generated files that were there before and are none of these any more; they are removed.
    """
    stale = [path for path in generated_files(folder) if str(path) not in files]
    for path in stale:
        (folder / path).unlink()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return stale


def generated_files(folder: Path) -> list[Path]:
    """Files in the folders of generated files, relative to the package's folder."""
    return [
        path.relative_to(folder)
        for name in FOLDERS
        for path in sorted((folder / name).rglob("*"))
        if path.is_file()
    ]


def _meshes(config: SimulationConfig, stations: tuple[StationChoice, ...]) -> dict[str, Mesh]:
    meshes: dict[str, Mesh] = {}
    for choice in stations:
        meshes |= station_meshes(config.station, choice.shape)
    for prop, _ in placed_props(LAYOUT):
        meshes |= {name: mesh for name, mesh in prop.meshes.items() if not is_decal(name, prop)}
    return meshes
