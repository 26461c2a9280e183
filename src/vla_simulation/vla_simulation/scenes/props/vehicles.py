"""What drives or is pushed in a warehouse, parked."""

from vla_simulation.mjcf import SURFACE_DARK, SURFACE_GLOSSY, collider
from vla_simulation.scenes.props.prop import Prop, make_prop, shadow, solid_builder


def forklift(name: str, paint: str) -> Prop:
    """Counterbalance forklift; forks to +x."""
    mesh = solid_builder()
    mesh.box((-0.72, 0, 0.52), (0.28, 0.48, 0.38), "steel_dark")
    mesh.box((-0.12, 0, 0.42), (0.42, 0.46, 0.24), paint)
    mesh.box((-0.48, 0, 0.92), (0.30, 0.44, 0.10), paint)
    mesh.box((-0.38, 0, 1.08), (0.20, 0.22, 0.06), "plastic_black")
    mesh.box((-0.60, 0, 1.28), (0.05, 0.22, 0.20), "plastic_black")
    mesh.box((0.12, 0.0, 0.95), (0.10, 0.20, 0.30), "plastic_black")
    for x in (-0.72, 0.24):
        for y in (-0.42, 0.42):
            mesh.box((x, y, 1.52), (0.03, 0.03, 0.56), "steel_dark")
    mesh.box((-0.24, 0, 2.08), (0.54, 0.47, 0.03), "steel_dark", bottom=True)
    for y in (-0.30, 0.30):
        mesh.box((0.42, y, 1.05), (0.06, 0.05, 1.0), "steel_dark")
        mesh.box((0.86, y * 0.85, 0.07), (0.40, 0.055, 0.02), "steel")
        mesh.box((0.49, y * 0.85, 0.32), (0.02, 0.055, 0.27), "steel_dark")
    for z in (0.42, 0.62, 1.9):
        mesh.box((0.48, 0, z), (0.02, 0.42, 0.035), "steel_dark", bottom=True)
    for x, radius in ((-0.68, 0.22), (0.20, 0.28)):
        for y in (-0.45, 0.45):
            mesh.prism(
                (x, y, radius), (radius, radius), 0.085, "tread", "steel_dark", 14, lying=True
            )
    mesh.box((-0.72, 0.0, 1.0), (0.02, 0.46, 0.02), "hazard")
    colliders = [
        collider("box", (-0.27, 0, 0.55), (0.73, 0.50, 0.55)),
        collider("box", (0.46, 0, 1.0), (0.06, 0.40, 1.0), surface=SURFACE_DARK),
        *(
            collider("box", (0.86, y, 0.06), (0.40, 0.06, 0.05), surface=SURFACE_GLOSSY)
            for y in (-0.255, 0.255)
        ),
    ]
    return make_prop(name, (1.27, 0.55), mesh, colliders=colliders, decal=shadow(0.80, 0.50, -0.25))


def pallet_jack(name: str, paint: str) -> Prop:
    """Hand pallet truck; forks to -x, handle up."""
    mesh = solid_builder()
    for y in (-0.19, 0.19):
        mesh.box((-0.20, y, 0.06), (0.58, 0.08, 0.03), paint)
    mesh.box((0.46, 0, 0.20), (0.10, 0.27, 0.14), paint)
    mesh.prism((0.50, 0, 0.42), (0.05, 0.04), 0.12, "steel", "steel", 8)
    mesh.prism((0.56, 0.05, 0.09), (0.09, 0.09), 0.05, "tread", "steel", 10, lying=True)
    # The shaft leans back, built of short steps.
    for k in range(6):
        mesh.box((0.52 + 0.035 * k, 0, 0.58 + 0.11 * k), (0.022, 0.02, 0.06), "steel_dark")
    mesh.box((0.74, 0, 1.24), (0.03, 0.17, 0.025), "plastic_black", bottom=True)
    mesh.box((0.74, 0, 1.34), (0.025, 0.17, 0.02), "plastic_black", bottom=True)
    for y in (-0.17, 0.17):
        mesh.box((0.74, y, 1.29), (0.022, 0.02, 0.06), "plastic_black")
    colliders = [
        collider("box", (0.48, 0, 0.30), (0.13, 0.27, 0.30)),
        *(collider("box", (-0.20, y, 0.06), (0.58, 0.08, 0.04)) for y in (-0.19, 0.19)),
    ]
    return make_prop(name, (0.80, 0.29), mesh, colliders=colliders, decal=shadow(0.70, 0.28, -0.05))


def hand_truck(name: str) -> Prop:
    """Upright sack truck with two cartons on its shoe."""
    mesh = solid_builder()
    for y in (-0.17, 0.17):
        mesh.box((-0.14, y, 0.68), (0.018, 0.018, 0.60), "machine_red")
        mesh.prism((-0.14, y * 1.45, 0.12), (0.12, 0.12), 0.035, "tread", "steel", 12, lying=True)
    for z in (0.45, 0.80, 1.15):
        mesh.box((-0.14, 0, z), (0.015, 0.17, 0.015), "machine_red", bottom=True)
    mesh.box((0.02, 0, 0.03), (0.14, 0.20, 0.006), "steel")
    mesh.box((0.02, 0, 0.24), (0.13, 0.19, 0.20), "carton_a", "carton_top")
    mesh.box((0.01, 0.01, 0.58), (0.12, 0.16, 0.14), "carton_b", "carton_top_pale")
    colliders = [
        collider("box", (-0.02, 0, 0.37), (0.18, 0.20, 0.36)),
        collider("box", (-0.14, 0, 0.64), (0.03, 0.29, 0.64)),
    ]
    return make_prop(
        name, (0.26, 0.29), mesh, colliders=colliders, decal=shadow(0.20, 0.25), slender=True
    )


def parked_robot(name: str, tote: str) -> Prop:
    """Another robot of the fleet, waiting."""
    mesh = solid_builder()
    mesh.box((0, 0, 0.12), (0.27, 0.20, 0.075), "white_shell")
    mesh.box((0, 0, 0.055), (0.265, 0.19, 0.03), "plastic_black")
    mesh.box((0, 0, 0.20), (0.25, 0.18, 0.006), "plastic_black")
    mesh.box((-0.13, 0, 0.31), (0.11, 0.17, 0.10), tote, "tote_top_grey")
    mesh.prism((0.15, 0, 0.23), (0.036, 0.034), 0.03, "plastic_black", "plastic_black", 10)
    mesh.box((0.0, 0, 0.40), (0.012, 0.02, 0.10), "white_shell")
    colliders = [
        collider("box", (0, 0, 0.11), (0.27, 0.20, 0.09)),
        collider("box", (-0.13, 0, 0.31), (0.11, 0.17, 0.10)),
    ]
    return make_prop(name, (0.28, 0.21), mesh, colliders=colliders, decal=shadow(0.25, 0.19))
