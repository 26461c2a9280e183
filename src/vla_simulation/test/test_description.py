"""The SDFormat files against the MuJoCo model that the simulator really compiles."""

import io
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET

import mujoco
import numpy as np
import pytest
from PIL import Image
from sdf_reading import (
    MODELS,
    PACKAGE,
    ROBOT_SDF,
    SDF_FILES,
    WORLD_SDF,
    floats,
    obj_mesh,
    right_angles,
    same_up_to_symmetry,
    sdf_model,
    sdf_pose,
    sdf_size,
    transform,
)

from vla_core.geometry import Pose2D
from vla_simulation.config import SimulationConfig
from vla_simulation.description import __main__ as program
from vla_simulation.description.files import generate, generated_files
from vla_simulation.description.layout import LAYOUT, STATIONS, placed_props
from vla_simulation.description.station_sdf import StationChoice, station_sdf
from vla_simulation.environment import ACTION_HIGH, ACTION_LOW
from vla_simulation.errors import SimulationError
from vla_simulation.scenes import scenery
from vla_simulation.scenes.footprints import Footprint, corridor
from vla_simulation.scenes.station_shapes import SHAPES
from vla_simulation.world import compile_model

REGENERATE = "python -m vla_simulation.description"
CHECKER = shutil.which("gz") or shutil.which("ign")
CONFIG = SimulationConfig()
KINDS = {
    int(mujoco.mjtGeom.mjGEOM_BOX): "box",
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): "cylinder",
    int(mujoco.mjtGeom.mjGEOM_SPHERE): "sphere",
}


@pytest.fixture(scope="module")
def compiled():
    """As compiled: an episode changes friction and masses."""
    return compile_model(CONFIG)


@pytest.fixture(scope="module")
def generated():
    return generate()


# ---------------------------------------------------------------------- the files


def test_committed_files_are_what_is_generated(generated):
    on_disk = {str(path) for path in generated_files(PACKAGE)}
    assert on_disk == set(generated), f"generate again: {REGENERATE}"
    for path, content in generated.items():
        found = PACKAGE / path
        if path.endswith(".png"):  # compression differs between versions of zlib, pixels do not
            with Image.open(found) as image:
                pixels = np.asarray(image)
            assert np.array_equal(pixels, decoded(content)), f"{path}: {REGENERATE}"
        else:
            assert found.read_bytes() == content, f"{path} is old: {REGENERATE}"


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def check(path):
    environment = {**os.environ, "SDF_PATH": str(MODELS), "GZ_SIM_RESOURCE_PATH": str(MODELS)}
    done = subprocess.run(
        [CHECKER, "sdf", "-k", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    return done.stdout + done.stderr


needs_checker = pytest.mark.skipif(CHECKER is None, reason="neither `gz sdf` nor `ign sdf` is here")


@needs_checker
@pytest.mark.parametrize("path", SDF_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_checker_accepts(path):
    said = check(path)
    assert "Valid." in said, said
    # The checker has no libbacktrace on some machines, and says so; that is no flaw of the file.
    assert "Error Code" not in said, said
    assert "Error:" not in said, said


@needs_checker
def test_checker_would_refuse(tmp_path):
    broken = tmp_path / "model.sdf"
    broken.write_text(ROBOT_SDF.read_text().replace("<child>left_wheel_link", "<child>left_whee"))
    assert "Valid." not in check(broken)


def test_every_uri_is_there(generated):
    uris = set()
    for path in SDF_FILES:
        for element in ET.parse(path).getroot().iter():
            if (element.text or "").startswith("model://"):
                uris.add(element.text.removeprefix("model://"))
    assert {uri for uri in uris if not (MODELS / uri).exists()} == set()
    media = {path.removeprefix("models/") for path in generated if "docking_media" in path}
    assert media <= uris  # nothing lies there unused


# ---------------------------------------------------------------------- shapes


def compare_collisions(link, compiled, body, rename=lambda name: name):
    """Each collision of a link against the geom of its name."""
    names = []
    for collision in link.findall("collision"):
        geom = compiled.geom(rename(collision.get("name")))
        names.append(geom.name)
        assert compiled.body(geom.bodyid[0]).name == body
        kind, size = sdf_size(collision.find("geometry"))
        crowned = geom.type[0] == mujoco.mjtGeom.mjGEOM_ELLIPSOID  # a tyre; flat in Gazebo
        assert kind == ("cylinder" if crowned else KINDS[int(geom.type[0])])
        found = sdf_pose(collision)
        np.testing.assert_allclose(found[:3, 3], geom.pos, atol=1e-6)
        rotation = rotation_of(geom.quat)
        expected = geom.size[[0, 2]] if crowned else geom.size[: len(size)]
        if kind == "box" and right_angles(rotation):
            expected = np.abs(rotation) @ expected
            rotation = np.eye(3)
        np.testing.assert_allclose(size, expected, atol=1e-6)
        assert same_up_to_symmetry(kind, rotation, found[:3, :3])
        friction = 0.0 if compiled.geom_condim[geom.id] == 1 else geom.friction[0]
        said = collision.findtext("surface/friction/ode/mu") or 1.0
        assert float(said) == pytest.approx(friction)
    return names


def rotation_of(quaternion):
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion, float))
    return matrix.reshape(3, 3)


def solid_geoms(compiled, body):
    """Names of what collides of a body."""
    number = compiled.body(body).id
    return [
        compiled.geom(k).name
        for k in range(compiled.ngeom)
        if compiled.geom_bodyid[k] == number and compiled.geom_contype[k]
    ]


LINKS = {
    "base_link": "base_link",
    "left_wheel_link": "left_wheel",
    "right_wheel_link": "right_wheel",
    "left_pin_link": "left_pin",
    "right_pin_link": "right_pin",
}


@pytest.mark.parametrize(("name", "body"), LINKS.items())
def test_robot_link(compiled, name, body):
    links = {link.get("name"): link for link in sdf_model(ROBOT_SDF).findall("link")}
    assert list(links) == list(LINKS)
    link, expected = links[name], compiled.body(body)
    if name != "base_link":
        np.testing.assert_allclose(sdf_pose(link)[:3, 3], expected.pos, atol=1e-6)
    inertial = link.find("inertial")
    assert float(inertial.findtext("mass")) == pytest.approx(expected.mass[0])
    np.testing.assert_allclose(sdf_pose(inertial)[:3, 3], expected.ipos, atol=1e-6)
    moments = [float(inertial.findtext(f"inertia/i{axis}{axis}")) for axis in "xyz"]
    np.testing.assert_allclose(sorted(moments), sorted(expected.inertia), rtol=1e-6)
    for number, moment in enumerate(moments):  # a real body: no moment above the others' sum
        assert 0 < moment <= sum(moments) - moments[number]
    assert compare_collisions(link, compiled, body) == solid_geoms(compiled, body)


@pytest.mark.parametrize("name", ["left_wheel", "right_wheel", "left_pin", "right_pin"])
def test_robot_joint(compiled, name):
    (joint,) = [
        joint
        for joint in sdf_model(ROBOT_SDF).findall("joint")
        if joint.get("name") == f"{name}_joint"
    ]
    expected = compiled.joint(name)
    hinge = expected.type[0] == mujoco.mjtJoint.mjJNT_HINGE
    assert joint.get("type") == ("revolute" if hinge else "prismatic")
    assert joint.findtext("parent") == "base_link"
    assert joint.findtext("child") == f"{name}_link"
    axis = joint.find("axis")
    np.testing.assert_allclose(floats(axis.findtext("xyz")), expected.axis)
    if expected.limited[0]:
        limits = [float(axis.findtext(f"limit/{end}")) for end in ("lower", "upper")]
        np.testing.assert_allclose(limits, expected.range, atol=1e-9)
    else:
        assert axis.find("limit/lower") is None
    dynamics = {child.tag: float(child.text) for child in axis.find("dynamics")}
    dof = compiled.jnt_dofadr[expected.id]
    assert dynamics["damping"] == pytest.approx(expected.damping[0])
    assert dynamics["friction"] == pytest.approx(compiled.dof_frictionloss[dof])
    assert dynamics["spring_stiffness"] == pytest.approx(expected.stiffness[0])
    reference = compiled.qpos_spring[expected.qposadr[0]]
    assert dynamics["spring_reference"] == pytest.approx(reference)


def frame_of(model, sensor):
    """Pose of a sensor in the base."""
    name = sensor.find("pose").get("relative_to")
    (frame,) = [frame for frame in model.findall("frame") if frame.get("name") == name]
    assert frame.get("attached_to") == "base_link"
    return sdf_pose(frame) @ sdf_pose(sensor)


def test_camera(compiled):
    model = sdf_model(ROBOT_SDF)
    (sensor,) = [sensor for sensor in model.iter("sensor") if sensor.get("type") == "camera"]
    base_from_camera = frame_of(model, sensor)
    expected = compiled.camera("camera")
    np.testing.assert_allclose(base_from_camera[:3, 3], expected.pos, atol=1e-9)
    # Gazebo's camera looks along +x with z up, MuJoCo's along -z with y up.
    axes = rotation_of(expected.quat)
    np.testing.assert_allclose(base_from_camera[:3, 0], -axes[:, 2], atol=1e-6)
    np.testing.assert_allclose(base_from_camera[:3, 2], axes[:, 1], atol=1e-6)
    camera = sensor.find("camera")
    width, height = (int(camera.findtext(f"image/{side}")) for side in ("width", "height"))
    focal = width / 2 / np.tan(float(camera.findtext("horizontal_fov")) / 2)
    fovy = np.radians(CONFIG.camera.vertical_fov_rad * 180 / np.pi)
    assert 2 * np.arctan(height / 2 / focal) == pytest.approx(fovy, abs=1e-6)
    assert (width, height) == (CONFIG.camera.width_px, CONFIG.camera.height_px)
    intrinsics = camera.find("lens/intrinsics")
    matrix = np.array(CONFIG.camera.matrix)
    for tag, value in (("fx", matrix[0, 0]), ("fy", matrix[1, 1]), ("cx", matrix[0, 2])):
        assert float(intrinsics.findtext(tag)) == pytest.approx(value, abs=1e-5)
    coefficients = [
        float(camera.findtext(f"distortion/{c}")) for c in ("k1", "k2", "p1", "p2", "k3")
    ]
    np.testing.assert_allclose(coefficients, CONFIG.camera.distortion)


def test_scanner(compiled):
    model = sdf_model(ROBOT_SDF)
    (sensor,) = [sensor for sensor in model.iter("sensor") if sensor.get("type") == "gpu_lidar"]
    expected = compiled.site("scanner")
    np.testing.assert_allclose(frame_of(model, sensor)[:3, 3], expected.pos, atol=1e-9)
    scan, config = sensor.find("lidar/scan/horizontal"), CONFIG.scanner
    assert int(scan.findtext("samples")) == config.beams
    low, high = (float(scan.findtext(f"{end}_angle")) for end in ("min", "max"))
    assert (low, high) == pytest.approx((config.angle_min_rad, config.angle_max_rad))
    limits = sensor.find("lidar/range")
    assert float(limits.findtext("min")) == config.range_min_m
    assert float(limits.findtext("max")) == config.range_max_m


def test_scanner_does_not_see_the_robot():
    """Gazebo's scanner sees all that is drawn: nothing of the robot may reach into its plane."""
    model, scanner = sdf_model(ROBOT_SDF), CONFIG.scanner
    for link in model.findall("link"):
        base_from_link = sdf_pose(link)
        for visual in link.findall("visual"):
            kind, size = sdf_size(visual.find("geometry"))
            pose = base_from_link @ sdf_pose(visual)
            half = np.abs(pose[:3, :3]) @ half_extent(kind, size)
            if abs(pose[2, 3] - scanner.z_m) > half[2]:
                continue
            x, y = pose[0, 3] - scanner.x_m, pose[1, 3]
            if kind == "cylinder" and np.hypot(x, y) + size[0] < scanner.range_min_m:
                continue  # the scanner's own housing
            # In front of the rearmost beams nothing may stand.
            for side in (-1, 1):
                angle = abs(np.arctan2(y + side * half[1], x + half[0]))
                assert angle > scanner.angle_max_rad, visual.get("name")


def half_extent(kind, size):
    if kind == "box":
        return size
    return np.array([size[0], size[0], size[1] if kind == "cylinder" else size[0]])


def test_drive(compiled):
    plugins = {
        plugin.get("name").rpartition("::")[2]: plugin
        for plugin in sdf_model(ROBOT_SDF).findall("plugin")
    }
    drive = plugins["DiffDrive"]
    wheels = [compiled.body(f"{side}_wheel").pos for side in ("left", "right")]
    assert float(drive.findtext("wheel_separation")) == pytest.approx(wheels[0][1] - wheels[1][1])
    radius = compiled.geom("left_wheel").size[0]
    assert float(drive.findtext("wheel_radius")) == pytest.approx(radius)
    limits = [
        [float(drive.findtext(f"{end}_{axis}_velocity")) for axis in ("linear", "angular")]
        for end in ("min", "max")
    ]
    np.testing.assert_allclose(limits, [ACTION_LOW, ACTION_HIGH], rtol=1e-6)
    joints = {joint.get("name") for joint in sdf_model(ROBOT_SDF).findall("joint")}
    assert drive.findtext("left_joint") in joints
    assert drive.findtext("right_joint") in joints


# ---------------------------------------------------------------------- stations, props, world


@pytest.mark.parametrize("shape", SHAPES)
def test_station(compiled, shape):
    text = station_sdf(CONFIG, StationChoice("green", shape, 3))
    model = ET.fromstring(text).find("model")
    assert model.findtext("static") == "true"
    found = compare_collisions(
        model.find("link"),
        compiled,
        "station_0",
        lambda name: name.replace("station", "station_0", 1),
    )
    others = [f"station_0_{other}_" for other in SHAPES if other != shape]
    number = compiled.body("station_0").id
    expected = [
        compiled.geom(k).name
        for k in range(compiled.ngeom)
        if compiled.geom_bodyid[k] == number
        and compiled.geom_type[k] != mujoco.mjtGeom.mjGEOM_MESH
        and not compiled.geom(k).name.startswith(tuple(others))
    ]
    assert found == expected
    assert len([name for name in found if name.endswith("_plate")]) == 2


def test_station_takes_its_colour():
    diffuse = {}
    for colour in ("green", "orange"):
        model = ET.fromstring(station_sdf(CONFIG, StationChoice(colour, "arch", 2))).find("model")
        for visual in model.iter("visual"):
            diffuse[colour, visual.get("name")] = visual.findtext("material/diffuse")
    accent, body = "station_arch_accent_visual", "station_arch_body_visual"
    assert diffuse["green", accent] != diffuse["orange", accent]
    assert diffuse["green", body] == diffuse["orange", body]


def test_meshes_are_the_simulator_s(generated):
    compared = 0
    meshes = {name: mesh for prop, _ in placed_props(LAYOUT) for name, mesh in prop.meshes.items()}
    for path in generated:
        name = path.rpartition("/")[2].removesuffix(".obj")
        if path.endswith(".obj") and name in meshes:
            mesh = meshes[name]
            vertices, texcoords, normals = obj_mesh(PACKAGE / path)
            order = mesh.faces.ravel()
            np.testing.assert_allclose(vertices, mesh.vertices[order], atol=2e-5)
            np.testing.assert_allclose(texcoords, mesh.texcoords[order], atol=2e-5)
            np.testing.assert_allclose(normals, mesh.normals[order], atol=2e-5)
            compared += 1
    assert compared >= len(placed_props(LAYOUT)) - 3  # what is only painted has no mesh


def test_world_has_what_gazebo_needs():
    world = ET.parse(WORLD_SDF).getroot().find("world")
    systems = {plugin.get("name").rpartition("::")[2] for plugin in world.findall("plugin")}
    assert systems == {"Physics", "UserCommands", "SceneBroadcaster", "Sensors", "Contact"}
    included = [include.findtext("uri") for include in world.findall("include")]
    stations = [f"model://{choice.model}" for choice in STATIONS]
    assert included == [*stations, "model://docking_robot"]
    models = {model.get("name") for model in world.findall("model")}
    assert {"floor", "walls", *LAYOUT.props} == models
    for include, dock in zip(world.findall("include"), (*LAYOUT.docks, LAYOUT.start), strict=True):
        expected = transform((dock.x, dock.y, 0.0), (0.0, 0.0, dock.yaw))
        np.testing.assert_allclose(sdf_pose(include), expected, atol=1e-6)


def test_layout_is_free():
    """Nothing stands in another's way, outside of the room, or before a station."""
    clutter = [
        (prop.name, Footprint(pose, prop.half_length_m, prop.half_width_m))
        for prop, pose in placed_props(LAYOUT)
        if prop in scenery.CLUTTER
    ]
    station = CONFIG.station
    half = (station.panel_front_m + station.panel_thickness_m) / 2
    stations = [
        ("station", Footprint(dock @ Pose2D(half, 0, 0), half, station.panel_half_width_m + 0.04))
        for dock in LAYOUT.docks
    ]
    ways = [("way", corridor(LAYOUT.start, dock, 0.45)) for dock in LAYOUT.docks]
    things = [*clutter, *stations]
    for number, (name, footprint) in enumerate(things):
        for other, blocked in things[number + 1 :]:
            assert not footprint.overlaps(blocked), (name, other)
    for name, footprint in clutter:
        for _, way in ways:
            assert not footprint.overlaps(way), name
    for name, footprint in things:
        corners = [
            footprint.pose @ Pose2D(sx * footprint.half_length_m, sy * footprint.half_width_m, 0)
            for sx in (-1, 1)
            for sy in (-1, 1)
        ]
        for corner in corners:
            assert abs(corner.x) <= LAYOUT.length_m / 2 + 1e-6, name
            assert abs(corner.y) <= LAYOUT.width_m / 2 + 1e-6, name


# ---------------------------------------------------------------------- the program


def test_other_stations_can_be_asked_for(tmp_path, capsys):
    (tmp_path / "models" / "old").mkdir(parents=True)
    (tmp_path / "models" / "old" / "model.sdf").write_text("old")
    arguments = ["--out", str(tmp_path), "--stations", "green:pillar:3", "white:wing:1"]
    assert program.main(arguments) == 0
    assert "removed models/old/model.sdf" in capsys.readouterr().out
    world = ET.parse(tmp_path / "worlds" / "docking.sdf").getroot().find("world")
    uris = [include.findtext("uri") for include in world.findall("include")]
    assert uris[:2] == [
        "model://charging_station_green_pillar_3",
        "model://charging_station_white_wing_1",
    ]
    assert (tmp_path / "models" / "charging_station_green_pillar_3" / "model.sdf").is_file()


@pytest.mark.parametrize("text", ["pink:pillar:3", "green:tower:3", "green:pillar:9", "green"])
def test_unknown_station(text):
    with pytest.raises(SimulationError, match="is unknown, expected COLOUR:SHAPE:NUMBER"):
        StationChoice.parse(text)
