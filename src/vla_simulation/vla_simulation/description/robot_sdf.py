"""The robot as an SDFormat model: bodies of the MuJoCo model, sensors and systems of Gazebo."""

import math
import xml.etree.ElementTree as ET
from dataclasses import replace

from vla_simulation.config import SimulationConfig
from vla_simulation.description import interface as names
from vla_simulation.description.parts import Joint, Part, Shape, read_materials, read_part
from vla_simulation.description.robot_systems import rate_hz, robot_systems
from vla_simulation.description.sdf import link, pose, sdf_file
from vla_simulation.description.xml_text import element, group, numbers
from vla_simulation.environment import ACTION_HIGH
from vla_simulation.errors import SimulationError
from vla_simulation.robot import robot_model
from vla_simulation.suites import load_suite

_GREY_LEVELS = 255.0


def read_robot(config: SimulationConfig) -> Part:
    """The robot's bodies as the simulator builds them, without a payload, its tyres flat."""
    base = read_part(robot_model.robot_body(config), read_materials(robot_model.MATERIALS))
    jointed = tuple(
        replace(child, shapes=tuple(_flat_tyre(shape) for shape in child.shapes))
        for child in base.children
        if child.name != robot_model.PAYLOAD_BODY
    )
    return replace(base, children=jointed)


def _flat_tyre(shape: Shape) -> Shape:
    """A crowned tyre as a cylinder: URDF has no ellipsoid, and Gazebo makes a mesh of it."""
    if shape.kind != "ellipsoid" or shape.size[0] != shape.size[1]:
        return shape
    return replace(shape, kind="cylinder", size=(shape.size[0], shape.size[2]))


def robot_sdf(config: SimulationConfig) -> str:
    """Text of the robot's ``model.sdf``."""
    base = read_robot(config)
    model = element("model", name=names.ROBOT, canonical_link=names.BASE_FRAME)
    model.append(link(base, names.BASE_FRAME, *_base_sensors(config)))
    model.extend(_mounts(config))
    for child in base.children:
        sensors = [_contact_sensor(child.name)] if child.name.endswith("_pin") else []
        name = names.link_name(child.name)
        model.append(link(child, name, *sensors, relative_to=names.BASE_FRAME))
        if child.joint is None:
            raise SimulationError(
                f"body '{child.name}' of the MuJoCo robot hangs on {names.BASE_FRAME} without a "
                "joint, expected a hinge or a slide; teach vla_simulation.description.robot_sdf"
            )
        model.append(_joint(child.joint, name, config))
    model.extend(robot_systems(config))
    return sdf_file(model)


def _mounts(config: SimulationConfig) -> list[ET.Element]:
    """Frames of the sensors, x forward; Gazebo's camera looks along x of its frame."""
    camera, scanner = config.camera, config.scanner
    return [
        element(
            "frame",
            pose((camera.x_m, 0.0, camera.z_m), (0.0, camera.pitch_down_rad, 0.0)),
            name=names.CAMERA_FRAME,
            attached_to=names.BASE_FRAME,
        ),
        element(
            "frame",
            pose((scanner.x_m, 0.0, scanner.z_m)),
            name=names.SCANNER_FRAME,
            attached_to=names.BASE_FRAME,
        ),
    ]


def _joint(joint: Joint, child: str, config: SimulationConfig) -> ET.Element:
    robot = config.robot
    revolute = joint.kind == "hinge"
    limit: dict[str, str | float] = {}
    if joint.limits is not None:
        limit |= {"lower": joint.limits[0], "upper": joint.limits[1]}
    if revolute:
        fastest = float(ACTION_HIGH[0]) + float(ACTION_HIGH[1]) * robot.track_width_m / 2
        limit |= {"effort": robot.motor_torque_limit_nm}
        limit |= {"velocity": fastest / robot.wheel_radius_m}
    dynamics = {
        "damping": joint.damping,
        "friction": joint.friction,
        "spring_reference": joint.spring_reference,
        "spring_stiffness": joint.stiffness,
    }
    return element(
        "joint",
        element("parent", names.BASE_FRAME),
        element("child", child),
        element(
            "axis",
            element("xyz", numbers(*joint.axis)),
            group("limit", limit),
            group("dynamics", dynamics),
        ),
        name=names.joint_name(joint.name),
        type="revolute" if revolute else "prismatic",
    )


def _base_sensors(config: SimulationConfig) -> list[ET.Element]:
    noise = load_suite("nominal").randomization.sensors
    return [
        # Gazebo's noise does not grow with the light: that of a middle grey.
        _camera(
            config,
            math.hypot(_middle(noise.read_noise), _middle(noise.shot_noise) * math.sqrt(0.5))
            / _GREY_LEVELS,
        ),
        _scanner(config, _middle(noise.scan_noise_m)),
        _contact_sensor("bumper", collision="robot_bumper"),
    ]


def _camera(config: SimulationConfig, noise: float) -> ET.Element:
    camera = config.camera
    return element(
        "sensor",
        pose((0.0, 0.0, 0.0), relative_to=names.CAMERA_FRAME),
        element("topic", names.IMAGE_TOPIC),
        element("update_rate", rate_hz(config.camera.period_steps)),
        element(
            "camera",
            element("camera_info_topic", names.CAMERA_INFO_TOPIC),
            element("optical_frame_id", names.OPTICAL_FRAME),
            element("horizontal_fov", camera.horizontal_fov_rad),
            group(
                "image",
                {"width": camera.width_px, "height": camera.height_px, "format": "R8G8B8"},
            ),
            group("clip", {"near": 0.02, "far": 30.0}),
            group("noise", {"type": "gaussian", "mean": 0.0, "stddev": noise}),
            _distortion(config),
            _lens(config),
        ),
        name="camera",
        type="camera",
    )


def _distortion(config: SimulationConfig) -> ET.Element:
    """Coefficients of the plumb-bob model about the image's centre."""
    k1, k2, p1, p2, k3 = config.camera.distortion
    values: dict[str, str | float] = {"k1": k1, "k2": k2, "k3": k3, "p1": p1, "p2": p2}
    return group("distortion", {**values, "center": "0.5 0.5"})


def _lens(config: SimulationConfig) -> ET.Element:
    """What ``camera_info`` says: square pixels, OpenCV's origin in the first pixel's middle."""
    (focal, _, cx), (_, _, cy), _ = config.camera.matrix
    projection = {"p_fx": focal, "p_fy": focal, "p_cx": cx, "p_cy": cy, "tx": 0.0, "ty": 0.0}
    return element(
        "lens",
        group("intrinsics", {"fx": focal, "fy": focal, "cx": cx, "cy": cy, "s": 0.0}),
        group("projection", projection),
    )


def _scanner(config: SimulationConfig, noise_m: float) -> ET.Element:
    scanner = config.scanner
    horizontal: dict[str, str | float] = {
        "samples": scanner.beams,
        "resolution": 1,
        "min_angle": scanner.angle_min_rad,
        "max_angle": scanner.angle_max_rad,
    }
    limits = {"min": scanner.range_min_m, "max": scanner.range_max_m, "resolution": 0.001}
    return element(
        "sensor",
        pose((0.0, 0.0, 0.0), relative_to=names.SCANNER_FRAME),
        # Gazebo would else name the frame after the sensor, with the model's name before it. The
        # schema does not know the element; Gazebo's sensors read it.
        element("gz_frame_id", names.SCANNER_FRAME),
        element("topic", names.SCAN_TOPIC),
        element("update_rate", rate_hz(config.scanner.period_steps)),
        element(
            "lidar",
            element("scan", group("horizontal", horizontal)),
            group("range", limits),
            group("noise", {"type": "gaussian", "mean": 0.0, "stddev": noise_m}),
        ),
        name="scanner",
        type="gpu_lidar",
    )


def _contact_sensor(part: str, collision: str = "") -> ET.Element:
    return element(
        "sensor",
        element("always_on", True),
        element("update_rate", 50),
        group("contact", {"collision": collision or part, "topic": names.contact_topic(part)}),
        name=f"{part}_contact",
        type="contact",
    )


def _middle(bounds: tuple[float, float]) -> float:
    return math.fsum(bounds) / 2
