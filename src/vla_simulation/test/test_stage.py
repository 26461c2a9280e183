"""Scenes in the compiled model: what is shown, scanned and touched is what was drawn."""

import dataclasses
import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vla_core.geometry import Pose2D
from vla_simulation.config import SimulationConfig
from vla_simulation.mjcf import (
    DECAL_GROUP,
    HIDDEN_GROUP,
    SCANNED_GROUPS,
    SURFACE_DARK,
    SURFACE_GLOSSY,
)
from vla_simulation.opengl import mujoco
from vla_simulation.scenes import scenery
from vla_simulation.scenes.scene import sample_scene
from vla_simulation.scenes.stage import Stage
from vla_simulation.scenes.station_shapes import SHAPES
from vla_simulation.scenes.surroundings import PlacedProp
from vla_simulation.scenes.textures import signs
from vla_simulation.sensing.scanner import Scanner
from vla_simulation.suites import load_suite
from vla_simulation.views import Views
from vla_simulation.world import STATIONS, WorldIndex, compile_model

CONFIG = SimulationConfig()


@pytest.fixture(scope="module")
def world():
    model = compile_model(CONFIG)
    index = WorldIndex.of(model)
    views = Views(model, index)
    yield SimpleNamespace(
        model=model,
        data=mujoco.MjData(model),
        index=index,
        stage=Stage(model, index),
        scanner=Scanner(model, index, CONFIG.scanner),
        views=views,
    )
    views.close()


def draw(seed, suite="nominal"):
    suite = load_suite(suite)
    return sample_scene(seed, suite.randomization.scene, suite.language, CONFIG.station)


def alone(scene, shape, markers=False, number=1):
    """One station of a shape, and nothing else in the room."""
    station = scene.stations[0]
    look = dataclasses.replace(station.look, shape=shape, number=number)
    return dataclasses.replace(
        scene,
        stations=(dataclasses.replace(station, look=look),),
        goal=0,
        clutter=(),
        decoration=(),
        markers=markers,
    )


def set_up(world, scene, dock_from_base):
    mujoco.mj_resetData(world.model, world.data)
    world.stage.apply(scene, world.data)
    place(world, scene.world_from_dock @ dock_from_base)


def place(world, pose):
    world.data.qpos[0:3] = pose.x, pose.y, 0.0
    world.data.qpos[3:7] = math.cos(pose.yaw / 2), 0.0, 0.0, math.sin(pose.yaw / 2)
    mujoco.mj_forward(world.model, world.data)


def picture(world, scene, size, shadows=False):
    return world.views.render(world.data, "camera", size, scene.world_from_dock, scene, shadows)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("distance", [0.0, 1.0, 2.5])
def test_markers_are_seen_and_read_from_the_start_to_the_dock(world, shape, distance):
    dictionary = cv2.aruco.getPredefinedDictionary(signs.MARKER_DICTIONARY)
    scene = alone(draw(1), shape, markers=True)
    set_up(world, scene, Pose2D(-distance, 0.0, 0.0))
    _, found, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(
        picture(world, scene, (640, 480))
    )
    assert found is not None
    assert found.tolist() == [[0]]


def test_markers_are_hidden_unless_asked_for_and_change_nothing_else(world):
    with_marker, without = alone(draw(1), "arch", markers=True), alone(draw(1), "arch")
    set_up(world, with_marker, Pose2D(-1.2, 0.0, 0.0))
    seen, ranges = picture(world, with_marker, (320, 240)), world.scanner.true_ranges(world.data)
    set_up(world, without, Pose2D(-1.2, 0.0, 0.0))
    hidden = picture(world, without, (320, 240))
    changed = (seen != hidden).any(2)
    rows, columns = np.nonzero(changed)
    assert 0 < np.ptp(rows) < 60
    assert np.ptp(columns) < 60
    assert np.array_equal(ranges, world.scanner.true_ranges(world.data))


def test_digits_differ_in_the_picture(world):
    pictures = []
    for number in (1, 2, 3):
        scene = alone(draw(1), "cabinet", number=number)
        set_up(world, scene, Pose2D(-2.0, 0.0, 0.0))
        pictures.append(picture(world, scene, (160, 120)).astype(int))
    for k, one in enumerate(pictures):
        for other in pictures[:k]:
            assert (np.abs(one - other).max(2) > 40).sum() > 15


def test_every_shape_has_a_scan_of_its_own_and_the_same_contacts(world):
    scans, plates = {}, []
    for shape in SHAPES:
        set_up(world, alone(draw(1), shape), Pose2D(-0.8, 0.0, 0.0))
        scans[shape] = world.scanner.true_ranges(world.data)
        plates.append(
            [
                world.data.geom_xpos[contact.plate_geom].copy()
                for contact in world.index.charging_contacts[0]
            ]
        )
    assert np.ptp(plates, axis=0).max() == 0.0
    for a in SHAPES:
        for b in SHAPES:
            if a < b:
                assert (np.abs(scans[a] - scans[b]) > 0.02).sum() >= 4, (a, b)


def test_only_the_shown_shape_can_be_touched(world):
    # Where only the arch has a leg, the nose of a robot that misses the dock.
    beside = Pose2D(0.16, 0.25, 0.0)
    touched = {}
    for shape in ("arch", "pillar"):
        set_up(world, alone(draw(1), shape), beside)
        geoms = world.data.contact.geom[: world.data.ncon].ravel()
        touched[shape] = {
            name for name, own in world.index.station_shapes[0].items() if np.isin(geoms, own).any()
        }
    assert touched["arch"] == {"arch"}
    assert touched["pillar"] <= {"pillar"}


def test_what_is_not_in_the_scene_is_neither_drawn_scanned_nor_touched(world):
    scene = draw(7)
    set_up(world, scene, Pose2D(-1.5, 0.0, 0.0))
    shown = {item.prop.name for item in (*scene.clutter, *scene.decoration)}
    shown |= set(STATIONS[: len(scene.stations)])
    for name in (*STATIONS, *(prop.name for prop in scenery.PROPS)):
        geoms = world.index.body_geoms[name]
        if name in shown:
            assert (world.model.geom_group[geoms] != HIDDEN_GROUP).any()
        else:
            assert (world.model.geom_group[geoms] == HIDDEN_GROUP).all()
            assert not world.model.geom_contype[geoms].any()


def test_the_scanner_sees_clutter_where_it_is_drawn(world):
    scene = alone(draw(1), "cabinet")
    pallet = next(prop for prop in scenery.CLUTTER if prop.name == "pallet_2")
    item = PlacedProp(pallet, scene.world_from_dock @ Pose2D(-0.5, 1.6, 0.0))
    set_up(world, dataclasses.replace(scene, clutter=(item,)), Pose2D(-0.5, 0.0, 0.0))
    angles = np.linspace(
        CONFIG.scanner.angle_min_rad, CONFIG.scanner.angle_max_rad, CONFIG.scanner.beams
    )
    left = int(np.abs(angles - math.pi / 2).argmin())
    side = world.scanner.true_ranges(world.data)[left]
    assert side == pytest.approx(1.6 - pallet.half_width_m, abs=0.04)


def test_the_corners_of_the_room_are_shaded(world):
    scene = alone(draw(1), "cabinet")
    set_up(world, scene, Pose2D(-1.0, 0.0, 0.0))
    corners = [
        (sx * scene.room_length_m / 2, sy * scene.room_width_m / 2)
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    placed = [
        tuple(world.data.mocap_pos[world.index.mocap[name], :2]) for name in scenery.CORNER_NAMES
    ]
    assert sorted(placed) == pytest.approx(sorted(corners))
    inside = [
        world.data.geom_xpos[geom, :2]
        for name in scenery.CORNER_NAMES
        for geom in world.index.body_geoms[name]
    ]
    assert (np.abs(inside) < np.array([scene.room_length_m, scene.room_width_m]) / 2).all()


def test_surface_classes_reach_the_index(world):
    for name, surface in (("pallet_3", SURFACE_DARK), ("pallet_2", SURFACE_GLOSSY)):
        geoms = world.index.body_geoms[name]
        scanned = geoms[np.isin(world.stage._groups[geoms], SCANNED_GROUPS)]
        assert surface in world.index.surface_class[scanned]
    assert world.index.surface_class.dtype == np.int8


def test_stations_look_alike_but_for_what_the_scene_says(world):
    """The number of a body is no hint: the same look gives the same picture."""
    scene = next(s for s in map(draw, range(20)) if len(s.stations) == 2)
    twins = tuple(
        dataclasses.replace(station, look=scene.stations[0].look) for station in scene.stations
    )
    pictures = []
    for order in (twins, twins[::-1]):
        bare = dataclasses.replace(
            scene, stations=order, goal=0 if order is twins else 1, clutter=(), decoration=()
        )
        set_up(world, bare, Pose2D(-1.8, 0.0, 0.0))
        pictures.append(picture(world, bare, (320, 240)))
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 2


def test_lights_follow_the_scene(world):
    scene = alone(draw(1), "cabinet")
    brightness = []
    for ambient in (0.1, 0.3, 0.6):
        lighting = dataclasses.replace(scene.lighting, ambient=(ambient,) * 3)
        set_up(world, dataclasses.replace(scene, lighting=lighting), Pose2D(-1.5, 0.0, 0.0))
        brightness.append(picture(world, scene, (160, 120)).mean())
    assert brightness[0] < brightness[1] < brightness[2]


def test_decals_cast_no_shadow_in_pictures_for_people(world):
    scene = draw(25)
    set_up(world, scene, Pose2D(-1.5, 0.0, 0.0))
    picture(world, scene, (160, 120), shadows=True)
    renderer = world.views._renderers[(160, 120), True]
    categories = {
        int(geom.category)
        for geom in renderer.scene.geoms[: renderer.scene.ngeom]
        if world.model.geom_group[geom.objid] == DECAL_GROUP
    }
    assert categories == {int(mujoco.mjtCatBit.mjCAT_DECOR)}


def test_the_suites_of_surroundings_are_harder_than_nominal():
    nominal, crowded, hidden, lit = (
        [draw(seed, suite) for seed in range(20)]
        for suite in ("nominal", "clutter", "occlusion", "lighting")
    )

    def clutter(scenes):
        return np.mean([len(scene.clutter) for scene in scenes])

    def ambient_spread(scenes):
        return np.ptp([np.mean(scene.lighting.ambient) for scene in scenes])

    def overhead(scenes):
        names = {prop.name for prop in scenery.OVERHEAD}
        return np.mean([any(d.prop.name in names for d in s.decoration) for s in scenes])

    assert clutter(crowded) > 1.5 * clutter(nominal)
    assert ambient_spread(lit) > 2 * ambient_spread(nominal)
    assert overhead(nominal) == 0.0
    assert overhead(hidden) == 1.0
