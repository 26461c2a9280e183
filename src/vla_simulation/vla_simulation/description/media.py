"""The meshes and textures of stations and props as files that Gazebo reads."""

import io

import numpy as np
from PIL import Image

from vla_simulation.config import StationConfig
from vla_simulation.description.xml_text import NOTICE, numbers
from vla_simulation.scenes import station_model
from vla_simulation.scenes.meshes import Mesh
from vla_simulation.scenes.textures import atlas, signs

MEDIA = "docking_media"
"""Folder beside the models that share what is in it."""
_DIGITS = 5
_LARGEST_PX = 512


def mesh_file(name: str) -> str:
    """Path of a mesh in the folder."""
    return f"meshes/{name}.obj"


def texture_file(name: str) -> str:
    """Path of a texture in the folder."""
    return f"textures/{name}.png"


def station_meshes(config: StationConfig, shape: str) -> dict[str, Mesh]:
    """The meshes that a station of this shape is drawn with, by name."""
    meshes = station_model.station_meshes(config)
    names = ("station_sign", "station_light", f"station_{shape}_body", f"station_{shape}_accent")
    return {name: meshes[name] for name in names}


def texture_png(name: str) -> bytes:
    """A texture as a PNG file, as large as a camera of this resolution can tell."""
    image = Image.fromarray(_texture(name))
    if max(image.size) > _LARGEST_PX:
        image = image.reduce(max(image.size) // _LARGEST_PX)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def mesh_obj(name: str, mesh: Mesh) -> str:
    """Text of a Wavefront OBJ file; vertices that agree are written once."""
    # OBJ counts v upwards.
    texcoords = np.stack([mesh.texcoords[:, 0], 1.0 - mesh.texcoords[:, 1]], axis=1)
    lines = [f"# {NOTICE}", f"o {name}"]
    indices = []
    for letter, rows in (("v", mesh.vertices), ("vt", texcoords), ("vn", mesh.normals)):
        # Adding zero makes a negative zero a zero.
        distinct, index = np.unique(rows.round(_DIGITS) + 0.0, axis=0, return_inverse=True)
        lines += [f"{letter} {numbers(*row)}" for row in distinct.tolist()]
        indices.append(index.reshape(-1) + 1)
    corners = [f"{v}/{t}/{n}" for v, t, n in zip(*indices, strict=True)]
    lines += [f"f {corners[a]} {corners[b]} {corners[c]}" for a, b, c in mesh.faces.tolist()]
    return "\n".join(lines) + "\n"


def mean_colour(image: np.ndarray) -> tuple[float, float, float]:
    """Mean of a picture, 0 to 1, rounded so that no library's last digit shows."""
    red, green, blue = np.round(image[..., :3].reshape(-1, 3).mean(axis=0) / 255.0, 2).tolist()
    return red, green, blue


def _texture(name: str) -> np.ndarray:
    if name.startswith("digit_"):
        return signs.digit_sign(int(name.removeprefix("digit_")))
    return {"props": atlas.PROPS, "decals": atlas.DECALS}[name].image
