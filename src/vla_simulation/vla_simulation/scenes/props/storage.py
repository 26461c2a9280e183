"""Racks, pallets, cartons, crates and containers."""

import numpy as np

from vla_simulation.mjcf import SURFACE_DARK, SURFACE_GLOSSY, SURFACE_MATTE, collider
from vla_simulation.scenes.meshes import MeshBuilder
from vla_simulation.scenes.props.prop import Prop, make_prop, round_shadow, shadow, solid_builder

_CARTONS = ("carton_a", "carton_b", "carton_c", "carton_d")
_TOTES = ("tote_blue", "tote_grey", "tote_blue", "tote_green", "tote_red")
_PALLET_HEIGHT_M = 0.144


def _carton(
    mesh: MeshBuilder,
    rng: np.random.Generator,
    place: tuple[float, float, float],
    half: tuple[float, float, float],
) -> None:
    """A carton on a surface; `place` is the middle of its lower face."""
    side = _CARTONS[rng.choice(4, p=(0.4, 0.3, 0.2, 0.1))]
    top = "carton_top_pale" if side in ("carton_b", "carton_d") else "carton_top"
    centre = (place[0], place[1], place[2] + half[2])
    mesh.box(centre, half, side, top, yaw=float(rng.normal(0.0, 0.03)))


def _tote(
    mesh: MeshBuilder,
    rng: np.random.Generator,
    place: tuple[float, float, float],
    half: tuple[float, float, float],
) -> None:
    side = _TOTES[rng.integers(len(_TOTES))]
    top = "tote_top_blue" if side == "tote_blue" else "tote_top_grey"
    mesh.box((place[0], place[1], place[2] + half[2]), half, side, top)


def _pallet_deck(
    mesh: MeshBuilder, x: float, y: float, z: float, half: tuple[float, float]
) -> None:
    height = _PALLET_HEIGHT_M / 2
    mesh.box((x, y, z + height), (*half, height), "pallet_end", "boards")


def rack(name: str, seed: int, width: float, goods: tuple[str, ...], upright: str) -> Prop:
    """Pallet rack with three levels, from the floor up.

    Args:
        name: of the prop.
        seed: of the goods' order and sizes.
        width: along the wall [m].
        goods: per level: "cartons", "totes", "pallets", "wrapped" or "empty".
        upright: tile of the uprights.
    """
    rng = np.random.default_rng(seed)
    depth, height = 0.80, 2.6
    mesh, colliders = solid_builder(), []
    for sy in (-1, 1):
        y = sy * (width / 2 - 0.04)
        for sx in (-1, 1):
            place, half = (sx * (depth / 2 - 0.04), y, height / 2), (0.04, 0.04, height / 2)
            mesh.box(place, half, upright)
            colliders.append(collider("box", place, half))
        for z in (0.5, 1.4, 2.2):
            mesh.box((0, y, z), (depth / 2 - 0.06, 0.02, 0.02), upright)
    for level, kind in enumerate(goods):
        bottom = 0.02 if level == 0 else 0.10 + 0.88 * level
        if level:
            for sx in (-1, 1):
                beam = (sx * (depth / 2 - 0.03), 0.0, bottom - 0.07)
                mesh.box(beam, (0.03, width / 2 - 0.08, 0.06), "beam_orange", bottom=True)
            shelf = (0.0, 0.0, bottom - 0.02)
            mesh.box(shelf, (depth / 2 - 0.06, width / 2 - 0.08, 0.01), "boards", bottom=True)
        _fill_level(mesh, colliders if level == 0 else None, rng, kind, bottom, depth, width)
    return make_prop(
        name,
        (depth / 2, width / 2),
        mesh,
        colliders=colliders,
        decal=shadow(depth / 2, width / 2),
        at_wall=True,
    )


def _fill_level(
    mesh: MeshBuilder,
    colliders: list[str] | None,
    rng: np.random.Generator,
    kind: str,
    bottom: float,
    depth: float,
    width: float,
) -> None:
    """Goods side by side; gaps stay where things were taken."""
    y = -width / 2 + 0.12
    while kind != "empty":
        half_width = {
            "cartons": float(rng.uniform(0.14, 0.27)),
            "totes": 0.20,
            "pallets": 0.40,
            "wrapped": 0.40,
        }[kind]
        if y + 2 * half_width > width / 2 - 0.10:
            return
        middle = y + half_width
        y += 2 * half_width + float(rng.uniform(0.02, 0.06))
        if rng.random() < 0.14:
            continue
        half_depth = depth / 2 - float(rng.uniform(0.05, 0.12))
        surface = SURFACE_MATTE
        if kind == "cartons":
            height = float(rng.uniform(0.11, 0.30))
            _carton(mesh, rng, (0.02, middle, bottom), (half_depth, half_width, height))
        elif kind == "totes":
            height = 0.17 * int(rng.integers(1, 4)) / 2
            for z in np.arange(bottom, bottom + 2 * height - 0.01, 0.17):
                _tote(mesh, rng, (0.02, middle, float(z)), (half_depth, half_width, 0.083))
        else:
            height = float(rng.uniform(0.28, 0.36))
            _pallet_deck(mesh, 0.0, middle, bottom, (half_depth, half_width))
            load = (half_depth - 0.02, half_width - 0.02, height - _PALLET_HEIGHT_M / 2)
            centre = (0.0, middle, bottom + _PALLET_HEIGHT_M + load[2])
            side = "carton_c" if kind == "pallets" else "wrapped"
            mesh.box(centre, load, side, "carton_top_pale")
            surface = SURFACE_MATTE if kind == "pallets" else SURFACE_GLOSSY
        if colliders is not None:
            place, half = (0.0, middle, bottom + height), (half_depth, half_width, height)
            colliders.append(collider("box", place, half, surface=surface))


def pallet(name: str, load: str, height: float, surface: int = SURFACE_MATTE) -> Prop:
    """Loaded pallet, or a stack of empty ones.

    Args:
        name: of the prop.
        load: tile of the load's sides; "" for a stack of empty pallets, "cartons" for loose ones.
        height: of the load above the pallet [m]; of the whole stack without a load.
        surface: how the load returns a laser beam.
    """
    half_length, half_width = 0.60, 0.40
    rng = np.random.default_rng(len(name) * 101 + ord(name[-1]))
    mesh, colliders = solid_builder(), []
    decks = 1 if load else round(height / _PALLET_HEIGHT_M)
    for k in range(decks):
        shift = 0.0 if k == 0 else float(rng.uniform(-0.02, 0.02))
        _pallet_deck(mesh, shift, -shift, k * _PALLET_HEIGHT_M, (half_length, half_width))
    stack = decks * _PALLET_HEIGHT_M / 2
    colliders.append(collider("box", (0, 0, stack), (half_length, half_width, stack)))
    top = 2 * stack
    if load == "cartons":
        layers = round(height / 0.30)
        for layer in range(layers):
            for sx in (-1, 1):
                for sy in (-1, 1):
                    if layer and layer == layers - 1 and rng.random() < 0.4:
                        continue
                    place = (sx * 0.295, sy * 0.195, top + 0.30 * layer)
                    _carton(mesh, rng, place, (0.285, 0.185, 0.147))
    elif load:
        lid = "plastic_black" if load == "wrapped_black" else "carton_top_pale"
        mesh.box(
            (0, 0, top + height / 2), (half_length - 0.02, half_width - 0.02, height / 2), load, lid
        )
    if load:
        half = (half_length - 0.02, half_width - 0.02, height / 2)
        colliders.append(collider("box", (0, 0, top + height / 2), half, surface=surface))
    return make_prop(
        name,
        (half_length, half_width),
        mesh,
        colliders=colliders,
        decal=shadow(half_length, half_width),
    )


def carton_stack(name: str, seed: int, halves: tuple[tuple[float, float, float], ...]) -> Prop:
    """Cartons on each other, a little askew."""
    rng = np.random.default_rng(seed)
    mesh, colliders, bottom = solid_builder(), [], 0.0
    for half in halves:
        _carton(mesh, rng, (0.0, 0.0, bottom), half)
        colliders.append(collider("box", (0.0, 0.0, bottom + half[2]), half))
        bottom += 2 * half[2]
    length, width = halves[0][:2]
    return make_prop(
        name, (length, width), mesh, colliders=colliders, decal=shadow(length, width), slender=True
    )


def tote_stack(name: str, seed: int, columns: int) -> Prop:
    """Columns of plastic crates of different heights, side by side."""
    rng = np.random.default_rng(seed)
    half = (0.30, 0.20, 0.12)
    mesh, colliders = solid_builder(), []
    for column in range(columns):
        y = (column - (columns - 1) / 2) * 0.42
        count = int(rng.integers(2, 5))
        for k in range(count):
            _tote(mesh, rng, (0.0, y, 0.24 * k), half)
        height = 0.12 * count
        colliders.append(collider("box", (0.0, y, height), (half[0], half[1], height)))
    width = 0.21 * columns
    return make_prop(
        name, (half[0], width), mesh, colliders=colliders, decal=shadow(half[0], width)
    )


def drum(name: str, tile: str, surface: int) -> Prop:
    """Steel or plastic drum of 200 litres."""
    radius, half = 0.29, 0.44
    mesh = solid_builder().prism((0, 0, half), (radius, radius), half, tile, "steel_dark", 14)
    size = (radius, half)
    return make_prop(
        name,
        (radius, radius),
        mesh,
        colliders=[collider("cylinder", (0, 0, half), size, surface=surface)],
        decal=round_shadow(radius),
        slender=True,
    )


def bulk_container(name: str) -> Prop:
    """Tank of a cubic metre in its cage, on a pallet."""
    half = (0.60, 0.50)
    mesh = solid_builder()
    mesh.box((0, 0, 0.07), (*half, 0.07), "pallet_end", "boards")
    mesh.box((0, 0, 0.64), (*half, 0.50), "tank_cage", "white_shell")
    mesh.prism((0, 0, 1.16), (0.11, 0.11), 0.03, "plastic_black", "plastic_black", 10)
    return make_prop(
        name,
        half,
        mesh,
        colliders=[collider("box", (0, 0, 0.57), (*half, 0.57), surface=SURFACE_GLOSSY)],
        decal=shadow(*half),
    )


def roll_cage(name: str, seed: int) -> Prop:
    """Roll container with cartons between its bars."""
    rng = np.random.default_rng(seed)
    half, height = (0.36, 0.42), 1.65
    mesh = solid_builder()
    mesh.box((0, 0, 0.17), (*half, 0.02), "steel_dark", bottom=True)
    for sx in (-1, 1):
        for y in np.linspace(-half[1] + 0.015, half[1] - 0.015, 5):
            if sx < 0 or abs(y) > 0.3:  # open at the front
                mesh.box(
                    (sx * (half[0] - 0.015), float(y), 0.17 + (height - 0.17) / 2),
                    (0.012, 0.012, (height - 0.17) / 2),
                    "steel",
                )
        for sy in (-1, 1):
            mesh.prism(
                (sx * (half[0] - 0.08), sy * (half[1] - 0.08), 0.07),
                (0.065, 0.065),
                0.025,
                "plastic_black",
                lying=True,
                top="plastic_black",
                sides=10,
            )
    bottom = 0.19
    for _ in range(4):
        height_now = float(rng.uniform(0.12, 0.17))
        for sy in (-1, 1):
            width = 0.185 + float(rng.uniform(-0.02, 0.01))
            _carton(mesh, rng, (0.0, sy * 0.195, bottom), (0.30, width, height_now))
        bottom += 2 * height_now
    size = (0.31, half[1] - 0.03, bottom / 2)
    return make_prop(
        name,
        half,
        mesh,
        colliders=[
            collider("box", (0, 0, bottom / 2), size),
            *(
                collider("box", (x, y, height / 2), (0.015, 0.015, height / 2))
                for x in (-0.345, 0.345)
                for y in (-0.405, 0.405)
            ),
        ],
        decal=shadow(*half),
    )


def waste_bin(name: str, tile: str) -> Prop:
    """Wheeled bin at a wall."""
    mesh = solid_builder()
    mesh.box((0, 0, 0.47), (0.25, 0.33, 0.42), tile)
    mesh.box((0.0, 0, 0.92), (0.28, 0.36, 0.035), tile)
    mesh.box((0.29, 0, 0.86), (0.015, 0.34, 0.02), "plastic_black")
    for y in (-0.26, 0.26):
        mesh.prism(
            (-0.14, y, 0.09), (0.09, 0.09), 0.03, "tread", "plastic_black", sides=10, lying=True
        )
    box = collider("box", (0, 0, 0.46), (0.25, 0.33, 0.46), surface=SURFACE_DARK)
    return make_prop(
        name, (0.30, 0.37), mesh, colliders=[box], decal=shadow(0.26, 0.34), at_wall=True
    )
