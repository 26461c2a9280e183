"""Meshes, and what stands in rooms: what is seen, what collides and what is planned with agree."""

import re

import numpy as np
import pytest

from vla_simulation.config import RobotConfig, ScannerConfig, StationConfig
from vla_simulation.mjcf import SURFACE_DARK, SURFACE_GLOSSY, SURFACE_MATTE
from vla_simulation.scenes import scenery
from vla_simulation.scenes.meshes import MeshBuilder
from vla_simulation.scenes.station_model import MARKER_HEIGHT_M, station_meshes
from vla_simulation.scenes.station_shapes import SHAPES, station_solids
from vla_simulation.scenes.textures.atlas import PROPS

ROBOT_TOP_M = 0.49


def attribute(element, name):
    values = re.search(rf'\b{name}="([^"]*)"', element)
    return np.array([float(v) for v in values.group(1).split()]) if values else None


def colliders(prop):
    return [element for element in prop.geoms if 'contype="2"' in element]


def reach(element):
    """Least and greatest corner of an unturned collider, (3,) each."""
    centre, size = attribute(element, "pos"), attribute(element, "size")
    half = size if 'type="box"' in element else np.array([size[0], size[0], size[1]])
    return centre - half, centre + half


def builder():
    return MeshBuilder(PROPS.tile)


def test_faces_of_boxes_and_round_bodies_look_outwards():
    meshes = {
        "box": builder().box((0, 0, 0), (1, 2, 3), "steel", yaw=0.7, bottom=True).build(),
        "prism": builder().prism((0, 0, 0), (1, 0.8), 1, "steel", "steel", sides=9).build(),
        "wheel": builder().prism((0, 0, 0), (1, 1), 0.3, "tread", "steel", lying=True).build(),
    }
    for name, mesh in meshes.items():
        corners = mesh.vertices[mesh.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(normals, axis=1)
        assert ((normals * corners.mean(1)).sum(1)[area > 1e-9] > 0).all(), name
        shaded = (normals[:, None] * mesh.normals[mesh.faces]).sum(2)
        assert (shaded[area > 1e-9] > 0).all(), name
        assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1.0)


def test_a_quad_shows_its_tile_upright():
    mesh = builder().panel(0.0, (-1, 1), (0, 2), "exit_sign").build()
    tile = PROPS.tile("exit_sign")
    lower_left = mesh.texcoords[(mesh.vertices == (0, -1, 0)).all(1)][0]
    upper_right = mesh.texcoords[(mesh.vertices == (0, 1, 2)).all(1)][0]
    assert lower_left == pytest.approx((tile.left, tile.bottom))
    assert upper_right == pytest.approx((tile.right, tile.top))


def test_names_of_props_and_meshes_are_unique():
    names = [prop.name for prop in scenery.PROPS]
    meshes = [name for prop in scenery.PROPS for name in prop.meshes]
    assert len(set(names)) == len(names)
    assert len(set(meshes)) == len(meshes)


@pytest.mark.parametrize("prop", scenery.CLUTTER, ids=lambda prop: prop.name)
def test_clutter_keeps_to_its_footprint(prop):
    half = np.array([prop.half_length_m, prop.half_width_m]) + 0.03
    for element in colliders(prop):
        low, high = reach(element)
        assert (np.maximum(-low[:2], high[:2]) <= half).all()
    solid = prop.meshes[prop.name].vertices
    assert (np.abs(solid[solid[:, 2] < ROBOT_TOP_M, :2]) <= half).all()


@pytest.mark.parametrize("prop", scenery.CLUTTER, ids=lambda prop: prop.name)
def test_what_is_drawn_of_clutter_near_the_floor_collides(prop):
    mesh = prop.meshes[prop.name]
    middles = mesh.vertices[mesh.faces].mean(1)
    low_ones = middles[(middles[:, 2] > 0.1) & (middles[:, 2] < ROBOT_TOP_M)]
    boxes = [reach(element) for element in colliders(prop)]
    tolerance = 0.13  # wheels, handles and bars stick out of the boxes a little
    for middle in low_ones:
        assert any(
            (middle >= low - tolerance).all() and (middle <= high + tolerance).all()
            for low, high in boxes
        ), middle


def test_clutter_shows_something_to_the_scanner():
    height = ScannerConfig().z_m
    unseen = {
        prop.name
        for prop in scenery.CLUTTER
        if not any(
            reach(element)[0][2] < height < reach(element)[1][2] for element in colliders(prop)
        )
    }
    assert unseen == {"stop_0"}  # lower than the scanner, as such stops are


def test_every_way_to_return_a_beam_occurs():
    found = {
        int(attribute(element, "user")[0])
        for prop in scenery.CLUTTER
        for element in colliders(prop)
    }
    assert found == {SURFACE_MATTE, SURFACE_DARK, SURFACE_GLOSSY}


def test_decoration_does_not_collide_and_overhead_things_clear_the_robot():
    for prop in (*scenery.WALL_DECORATION, *scenery.FLOOR_DECORATION, *scenery.OVERHEAD):
        assert not colliders(prop)
    for prop in scenery.OVERHEAD:
        assert prop.meshes[prop.name].vertices[:, 2].min() > ROBOT_TOP_M + 0.05


def half_extent(solid):
    """Of a station's solid along x and y of the dock frame."""
    if solid.kind == "cylinder":
        return np.array([solid.size[0], solid.size[0]])
    cos, sin = abs(np.cos(solid.yaw)), abs(np.sin(solid.yaw))
    return np.array([[cos, sin], [sin, cos]]) @ np.array(solid.size[:2])


@pytest.mark.parametrize("shape", SHAPES)
def test_bodies_of_stations_leave_the_robot_its_place(shape):
    config, robot = StationConfig(), RobotConfig()
    for solid in station_solids(shape, config):
        half = half_extent(solid)
        assert solid.centre[0] - half[0] > robot.pin_tip_m + 0.02
        widest = config.panel_half_width_m + config.pillar_width_m / 2
        assert abs(solid.centre[1]) + half[1] <= widest + 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_every_body_has_a_panel_front_where_the_marker_lies(shape):
    config = StationConfig()
    for z in (MARKER_HEIGHT_M - 0.10, MARKER_HEIGHT_M + 0.10):
        fronts = [
            solid.centre[0] - half_extent(solid)[0]
            for solid in station_solids(shape, config)
            if abs(solid.centre[1]) < 0.01 and abs(solid.centre[2] - z) <= _half_height(solid)
        ]
        assert min(fronts) == pytest.approx(config.panel_front_m, abs=0.005)


def _half_height(solid):
    return solid.size[1] if solid.kind == "cylinder" else solid.size[2]


def test_bodies_of_stations_differ_in_outline():
    outlines = {
        shape: frozenset(
            (s.kind, s.centre, s.size, s.yaw) for s in station_solids(shape, StationConfig())
        )
        for shape in SHAPES
    }
    assert len(set(outlines.values())) == len(SHAPES)
    tops = {
        shape: station_meshes(StationConfig())[f"station_{shape}_accent"].vertices[:, 2].max()
        for shape in SHAPES
    }
    assert all(0.9 < top < 1.3 for top in tops.values())
