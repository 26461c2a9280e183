"""What belongs to the building: columns, partitions, doors, windows, pipes, signs, markings."""

from vla_simulation.mjcf import SURFACE_DARK, SURFACE_GLOSSY, collider
from vla_simulation.scenes.props.prop import (
    MARKING_HEIGHT_M,
    Prop,
    decal_builder,
    make_prop,
    round_shadow,
    shadow,
    solid_builder,
)

_PARTITION_HEIGHT_M = 2.6


def concrete_column(name: str, half: float, guard: str) -> Prop:
    """Square column with striped edge protection up to hip height."""
    mesh = solid_builder()
    mesh.box((0, 0, 2.25), (half, half, 1.25), "concrete")
    mesh.box((0, 0, 0.50), (half + 0.012, half + 0.012, 0.50), guard)
    size = (half + 0.012, half + 0.012, 1.75)
    box = collider("box", (0, 0, 1.75), size)
    return make_prop(
        name, (half, half), mesh, colliders=[box], decal=shadow(half, half), slender=True
    )


def steel_column(name: str) -> Prop:
    """H-section with a yellow ram guard around its foot."""
    mesh = solid_builder()
    for x in (-0.10, 0.10):
        mesh.box((x, 0, 1.75), (0.010, 0.10, 1.75), "steel_dark")
    mesh.box((0, 0, 1.75), (0.09, 0.008, 1.75), "steel_dark")
    mesh.box((0, 0, 0.02), (0.18, 0.18, 0.02), "steel_dark")
    for off in (-0.19, 0.19):
        mesh.box((off, 0, 0.25), (0.02, 0.21, 0.20), "hazard")
        mesh.box((0, off, 0.25), (0.17, 0.02, 0.20), "hazard")
    colliders = [
        collider("box", (0, 0, 0.25), (0.21, 0.21, 0.20)),
        collider("box", (0, 0, 1.75), (0.11, 0.10, 1.75)),
    ]
    return make_prop(
        name, (0.21, 0.21), mesh, colliders=colliders, decal=shadow(0.20, 0.20), slender=True
    )


def bollard(name: str) -> Prop:
    """Striped steel post."""
    mesh = solid_builder().prism((0, 0, 0.45), (0.055, 0.055), 0.45, "hazard", "machine_yellow", 10)
    post = collider("cylinder", (0, 0, 0.45), (0.055, 0.45), surface=SURFACE_GLOSSY)
    return make_prop(
        name, (0.06, 0.06), mesh, colliders=[post], decal=round_shadow(0.06), slender=True
    )


def traffic_cone(name: str) -> Prop:
    """Orange cone on its foot."""
    mesh = solid_builder().box((0, 0, 0.015), (0.15, 0.15, 0.015), "plastic_black")
    mesh.prism((0, 0, 0.26), (0.115, 0.025), 0.23, "cone", "cone", 12)
    cone = collider("cylinder", (0, 0, 0.24), (0.075, 0.24))
    return make_prop(
        name, (0.15, 0.15), mesh, colliders=[cone], decal=shadow(0.14, 0.14), slender=True
    )


def partition(name: str, length: float, tile: str, surface: int = 0) -> Prop:
    """A wall that stands out from another one, as beside a corridor or a bay."""
    half, z = length / 2, _PARTITION_HEIGHT_M / 2
    mesh = solid_builder()
    pieces = max(round(length / 1.3), 1)
    for k in range(pieces):
        x = -half + (k + 0.5) * length / pieces
        mesh.box((x, 0, z), (half / pieces, 0.045, z), tile)
    mesh.box((half, 0, z), (0.03, 0.06, z), "hazard" if tile == "plywood" else "steel_dark")
    wall = collider("box", (0.015, 0, z), (half + 0.015, 0.05, z), surface=surface)
    return make_prop(
        name,
        (half + 0.03, 0.06),
        mesh,
        colliders=[wall],
        decal=shadow(half, 0.06),
        at_wall=True,
    )


def electrical_cabinet(name: str) -> Prop:
    """Switchboard at a wall, with conduits that go up."""
    mesh = solid_builder()
    mesh.box((0, 0, 0.05), (0.17, 0.43, 0.05), "steel_dark")
    mesh.box((0, 0, 1.0), (0.18, 0.45, 0.90), "plastic_grey", front="vented_cabinet")
    for y in (-0.30, -0.18, 0.22):
        mesh.box((-0.12, y, 2.6), (0.025, 0.025, 0.70), "steel")
    box = collider("box", (0, 0, 0.95), (0.18, 0.45, 0.95))
    return make_prop(
        name, (0.19, 0.46), mesh, colliders=[box], decal=shadow(0.18, 0.45), at_wall=True
    )


def guard_rail(name: str, length: float) -> Prop:
    """Knee-high yellow barrier with posts."""
    mesh, half = solid_builder(), length / 2
    for y in (-half + 0.08, 0.0, half - 0.08):
        mesh.box((0, y, 0.26), (0.06, 0.06, 0.26), "machine_yellow")
    for z in (0.22, 0.42):
        mesh.box((0.03, 0, z), (0.03, half, 0.06), "machine_yellow", bottom=True)
    box = collider("box", (0.01, 0, 0.27), (0.06, half, 0.22), surface=SURFACE_GLOSSY)
    return make_prop(name, (0.09, half), mesh, colliders=[box], decal=shadow(0.06, half))


def roller_door(name: str) -> Prop:
    """Closed door with its housing, guides and a light above."""
    mesh = solid_builder().panel(0.01, (-1.30, 1.30), (0.0, 2.55), "roller_door")
    mesh.box((0.03, 0, 2.66), (0.10, 1.40, 0.13), "steel_dark", bottom=True)
    for y in (-1.38, 1.38):
        mesh.box((0.02, y, 0.45), (0.07, 0.05, 0.45), "hazard")
    marking = decal_builder().patch((0.05, 1.1), (-1.2, 1.2), "hatched", MARKING_HEIGHT_M)
    return make_prop(name, (0.05, 1.40), mesh, decal=marking, at_wall=True)


def open_door(name: str) -> Prop:
    """Gate to the yard, too bright for the camera, with its reflection on the floor."""
    mesh = solid_builder()
    for y in (-1.20, 1.20):
        mesh.box((0.02, y, 1.25), (0.06, 0.08, 1.25), "steel_dark")
    mesh.box((0.03, 0, 2.55), (0.09, 1.30, 0.16), "roller_door", bottom=True)
    glow = solid_builder().panel(0.012, (-1.12, 1.12), (0.0, 2.42), "lamp")
    light = decal_builder().patch((3.6, 0.03), (1.35, -1.35), "glare", MARKING_HEIGHT_M)
    return make_prop(name, (0.05, 1.30), mesh, glow=glow, decal=light, at_wall=True)


def window(name: str, sill: float) -> Prop:
    """Row of panes with daylight, its sun patch and its reflection on the floor."""
    glow = solid_builder().panel(0.012, (-1.1, 1.1), (sill, sill + 1.0), "window")
    mesh = solid_builder().box((0.03, 0, sill - 0.04), (0.05, 1.16, 0.03), "steel", bottom=True)
    light = decal_builder().patch((2.6, 0.05), (1.0, -1.0), "glare", MARKING_HEIGHT_M)
    light.quad(
        [(1.0, 0.9, 0.002), (1.0, -1.1, 0.002), (2.1, -1.5, 0.002), (2.1, 0.5, 0.002)], "sun_patch"
    )
    return make_prop(name, (0.05, 1.15), mesh, glow=glow, decal=light, at_wall=True)


def door(name: str, tile: str) -> Prop:
    """Door for people, an exit sign above it."""
    mesh = solid_builder().panel(0.012, (-0.50, 0.50), (0.0, 2.12), tile)
    glow = solid_builder().panel(0.05, (-0.20, 0.20), (2.22, 2.42), "exit_sign")
    mesh.box((0.025, 0, 2.32), (0.02, 0.21, 0.11), "white_shell", bottom=True)
    return make_prop(name, (0.04, 0.55), mesh, glow=glow, at_wall=True)


def notice(name: str, tile: str, height: float) -> Prop:
    """Safety notice at eye height."""
    mesh = solid_builder().panel(0.010, (-0.24, 0.24), (height, height + 0.66), tile)
    return make_prop(name, (0.02, 0.26), mesh, at_wall=True)


def fire_point(name: str) -> Prop:
    """Extinguisher on its hook below its sign."""
    mesh = solid_builder()
    mesh.panel(0.010, (-0.14, 0.14), (1.25, 1.53), "extinguisher_sign")
    mesh.prism((0.10, 0, 0.72), (0.08, 0.08), 0.22, "extinguisher", sides=10)
    mesh.prism((0.10, 0, 0.98), (0.08, 0.025), 0.04, "extinguisher", "plastic_black", 10)
    mesh.box((0.10, 0.03, 1.04), (0.02, 0.05, 0.02), "plastic_black", bottom=True)
    mesh.box((0.02, 0, 0.80), (0.02, 0.05, 0.10), "steel_dark", bottom=True)
    return make_prop(name, (0.09, 0.14), mesh, at_wall=True)


def pipes(name: str, height: float) -> Prop:
    """Pipes along the wall on brackets; one goes down to a valve."""
    mesh = solid_builder()
    for k, tile in enumerate(("steel", "machine_red", "plastic_green")):
        mesh.prism(
            (0.08 + 0.01 * k, 0, height + 0.16 * k), (0.045, 0.045), 2.0, tile, sides=8, lying=True
        )
    for y in (-1.8, -0.6, 0.6, 1.8):
        mesh.box((0.04, y, height + 0.16), (0.04, 0.02, 0.28), "steel_dark", bottom=True)
    mesh.prism((0.08, 1.2, height / 2 + 0.3), (0.035, 0.035), height / 2 - 0.3, "steel", sides=8)
    mesh.box((0.10, 1.2, 0.75), (0.05, 0.06, 0.05), "machine_red", bottom=True)
    return make_prop(name, (0.10, 2.0), mesh, at_wall=True)


def cable_tray(name: str, height: float) -> Prop:
    """Perforated tray with cables, and a drop to a socket box."""
    mesh = solid_builder()
    mesh.box((0.14, 0, height), (0.13, 1.9, 0.04), "upright_grey", bottom=True)
    for y in (-1.5, 0.0, 1.5):
        mesh.box((0.10, y, height - 0.10), (0.10, 0.02, 0.06), "steel_dark", bottom=True)
    mesh.box((0.03, -0.8, (height + 1.1) / 2), (0.02, 0.02, (height - 1.1) / 2), "plastic_black")
    mesh.box((0.05, -0.8, 1.1), (0.05, 0.10, 0.13), "plastic_grey", bottom=True)
    mesh.box((0.105, -0.8, 1.12), (0.006, 0.04, 0.04), "machine_red")
    return make_prop(name, (0.14, 1.9), mesh, at_wall=True)


def passage(name: str) -> Prop:
    """Opening behind a curtain of plastic strips."""
    mesh = solid_builder().panel(0.012, (-0.95, 0.95), (0.0, 2.3), "strip_curtain")
    for y in (-1.0, 1.0):
        mesh.box((0.03, y, 1.2), (0.05, 0.06, 1.2), "machine_yellow")
    mesh.box((0.03, 0, 2.36), (0.07, 1.06, 0.07), "steel", bottom=True)
    return make_prop(name, (0.05, 1.06), mesh, at_wall=True)


def light_row(name: str) -> Prop:
    """Lamps under the ceiling, out from the wall."""
    glow = solid_builder()
    for y in (-0.9, 0.9):
        glow.box((0.5, y, 2.75), (0.06, 0.60, 0.03), "lamp", bottom=True)
    pool = decal_builder().patch((1.6, 0.05), (1.2, -1.2), "glare", MARKING_HEIGHT_M)
    return make_prop(name, (0.05, 1.5), None, glow=glow, decal=pool, at_wall=True)


def wheel_stop(name: str) -> Prop:
    """Low rubber stop with stripes on the floor at a wall."""
    mesh = solid_builder().box((0, 0, 0.06), (0.08, 0.50, 0.06), "hazard")
    stop = collider("box", (0, 0, 0.06), (0.08, 0.50, 0.06), surface=SURFACE_DARK)
    return make_prop(
        name, (0.08, 0.50), mesh, colliders=[stop], decal=shadow(0.08, 0.50), at_wall=True
    )


def marking(name: str, half: tuple[float, float], *tiles: tuple[str, float, float]) -> Prop:
    """Paint or dirt on the floor.

    Args:
        name: of the prop.
        half: half length and half width [m].
        tiles: picture, and its part of the width from -1 to 1.
    """
    decal = decal_builder()
    for tile, left, right in tiles:
        decal.patch((-half[0], half[0]), (left * half[1], right * half[1]), tile, MARKING_HEIGHT_M)
    return make_prop(name, half, None, decal=decal)


_FREE_BELOW_M = 0.60
"""Under what hangs from the ceiling; the robot is 0.49 m high."""


def banner(name: str, tile: str) -> Prop:
    """Sign on two ropes from the ceiling."""
    mesh = solid_builder().box((0, 0, _FREE_BELOW_M + 0.28), (0.012, 0.42, 0.27), tile, bottom=True)
    for y in (-0.36, 0.36):
        mesh.box((0, y, 2.3), (0.008, 0.008, 1.2), "steel_dark")
    return make_prop(name, (0.02, 0.42), mesh)


def crane_hook(name: str) -> Prop:
    """Block and hook of a crane on its chain."""
    mesh = solid_builder().box((0, 0, 1.02), (0.10, 0.07, 0.13), "machine_yellow", bottom=True)
    mesh.box((0, 0, 2.3), (0.015, 0.015, 1.2), "steel_dark")
    mesh.box((0, 0, 0.80), (0.025, 0.025, 0.10), "steel", bottom=True)
    mesh.box((0, 0.05, _FREE_BELOW_M + 0.06), (0.025, 0.07, 0.03), "steel", bottom=True)
    return make_prop(name, (0.1, 0.1), mesh)


def slung_load(name: str) -> Prop:
    """Carton that hangs in slings."""
    z = _FREE_BELOW_M + 0.26
    mesh = solid_builder().box((0, 0, z), (0.24, 0.30, 0.25), "carton_c", "carton_top", bottom=True)
    for y in (-0.18, 0.18):
        mesh.box((0, y, z), (0.245, 0.025, 0.255), "vest_orange", bottom=True)
    mesh.box((0, 0, 2.4), (0.015, 0.015, 1.3), "steel_dark")
    return make_prop(name, (0.24, 0.30), mesh)


def hanging_strips(name: str) -> Prop:
    """Part of a strip curtain that was left hanging, cut off above the robots."""
    mesh, top = solid_builder(), 2.6
    for k in range(4):
        low = _FREE_BELOW_M + 0.05 * (k % 3)
        box = (0.01 * (k % 2), -0.33 + 0.22 * k, (low + top) / 2)
        mesh.box(box, (0.004, 0.10, (top - low) / 2), "strip_curtain")
    return make_prop(name, (0.02, 0.44), mesh)
