"""Figures of people who stand: mannequins in working clothes."""

from vla_simulation.mjcf import SURFACE_DARK, collider
from vla_simulation.scenes.props.prop import Prop, make_prop, shadow, solid_builder

_LEG_Y_M = 0.105
_LEG_RADIUS_M = 0.075


def person(
    name: str, vest: str, trousers: str, skin: str, helmet: str, height: float, board: bool
) -> Prop:
    """Somebody in a high-visibility vest.

    Args:
        name: of the prop.
        vest: tile of the upper body.
        trousers: tile of the legs.
        skin: tile of hands and face.
        helmet: tile of the helmet.
        height: of the person without helmet [m].
        board: holds a clipboard before the chest.
    """
    s = height / 1.78
    mesh = solid_builder()
    for side in (-1, 1):
        y = side * _LEG_Y_M * s
        mesh.box((0.04 * s, y, 0.045 * s), (0.135 * s, 0.05 * s, 0.045 * s), "plastic_black")
        radii = (0.062 * s, 0.092 * s)
        mesh.prism((0, y, 0.46 * s), radii, 0.39 * s, trousers, sides=10)
        arm = side * 0.245 * s
        mesh.prism((0.01, arm, 1.16 * s), (0.042 * s, 0.058 * s), 0.24 * s, "sleeve", sides=8)
        mesh.prism((0.03, arm, 0.88 * s), (0.03 * s, 0.042 * s), 0.06 * s, skin, sides=8)
    mesh.prism((0, 0, 0.93 * s), (0.115 * s, 0.12 * s), 0.08 * s, trousers, stretch=1.5, sides=12)
    mesh.prism((0, 0, 1.22 * s), (0.125 * s, 0.135 * s), 0.24 * s, vest, stretch=1.55, sides=14)
    mesh.prism((0, 0, 1.485 * s), (0.13 * s, 0.05 * s), 0.03 * s, vest, stretch=1.5, sides=12)
    mesh.prism((0, 0, 1.54 * s), (0.05 * s, 0.05 * s), 0.05 * s, skin, sides=8)
    mesh.prism((0.01, 0, 1.61 * s), (0.065 * s, 0.088 * s), 0.055 * s, skin, sides=10)
    mesh.prism((0.01, 0, 1.69 * s), (0.088 * s, 0.09 * s), 0.035 * s, skin, sides=10)
    mesh.prism((0.03, 0, 1.725 * s), (0.125 * s, 0.12 * s), 0.01 * s, helmet, sides=12)
    mesh.prism((0.01, 0, 1.775 * s), (0.108 * s, 0.06 * s), 0.05 * s, helmet, helmet, sides=12)
    if board:
        mesh.box((0.22 * s, 0.0, 1.15 * s), (0.012, 0.11, 0.15), "plastic_grey", front="carton_d")
        mesh.box((0.12 * s, 0.13, 1.05 * s), (0.10 * s, 0.035, 0.035), "sleeve", bottom=True)
    colliders = [
        collider(
            "cylinder",
            (0, side * _LEG_Y_M * s, 0.46 * s),
            (_LEG_RADIUS_M * s, 0.46 * s),
            surface=SURFACE_DARK if trousers == "trousers" else 0,
        )
        for side in (-1, 1)
    ]
    colliders.append(collider("cylinder", (0, 0, 1.2 * s), (0.16 * s, 0.3 * s)))
    return make_prop(
        name,
        (0.19, 0.27),
        mesh,
        colliders=colliders,
        decal=shadow(0.13 * s, 0.17 * s, 0.02),
        slender=True,
    )
