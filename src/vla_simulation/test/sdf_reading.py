"""Reads SDFormat and URDF back, without the code that writes them."""

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

PACKAGE = Path(__file__).resolve().parents[1]
MODELS = PACKAGE / "models"
ROBOT_SDF = MODELS / "docking_robot" / "model.sdf"
WORLD_SDF = PACKAGE / "worlds" / "docking.sdf"
URDF = PACKAGE / "urdf" / "docking_robot.urdf"
XACRO = PACKAGE / "urdf" / "docking_robot.urdf.xacro"
BRIDGE = PACKAGE / "config" / "ros_gz_bridge.yaml"
SDF_FILES = sorted([*MODELS.glob("*/model.sdf"), *PACKAGE.glob("worlds/*.sdf")])


def floats(text):
    return np.array([float(value) for value in (text or "").split()])


def transform(position, rpy):
    """(4, 4) from translation and fixed-axis roll, pitch, yaw."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    result = np.eye(4)
    result[:3, :3] = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )
    result[:3, 3] = position
    return result


def sdf_pose(element):
    """Pose of an element in the frame that it is given in."""
    pose = element.find("pose")
    values = floats(pose.text) if pose is not None else np.zeros(6)
    return transform(values[:3], values[3:])


def sdf_model(path):
    return ET.parse(path).getroot().find("model")


def sdf_size(geometry):
    """Kind and size as MuJoCo says them."""
    (shape,) = geometry
    if shape.tag == "box":
        return "box", floats(shape.findtext("size")) / 2
    if shape.tag == "cylinder":
        size = [float(shape.findtext("radius")), float(shape.findtext("length")) / 2]
        return "cylinder", np.array(size)
    if shape.tag == "sphere":
        return "sphere", np.array([float(shape.findtext("radius"))])
    raise AssertionError(f"<{shape.tag}> is not expected here")


def urdf_origin(element):
    origin = element.find("origin")
    if origin is None:
        return np.eye(4)
    return transform(floats(origin.get("xyz")), floats(origin.get("rpy")))


def obj_mesh(path):
    """Vertices, texture coordinates (v downwards) and normals of every corner of every face."""
    rows = {"v": [], "vt": [], "vn": []}
    corners = []
    for line in path.read_text().splitlines():
        letter, *values = line.split()
        if letter in rows:
            rows[letter].append([float(value) for value in values])
        elif letter == "f":
            corners += [[int(part) - 1 for part in corner.split("/")] for corner in values]
    index = np.array(corners)
    v, vt, vn = (np.array(rows[letter])[index[:, k]] for k, letter in enumerate(rows))
    return v, np.stack([vt[:, 0], 1.0 - vt[:, 1]], axis=1), vn


def right_angles(rotation):
    """Whether a rotation only swaps axes."""
    return bool(np.allclose(np.abs(rotation).max(axis=0), 1.0, atol=1e-6))


def same_up_to_symmetry(kind, expected, found):
    """Whether two orientations of a shape show the same: a cylinder's axis, any of a sphere."""
    if kind == "sphere":
        return True
    if kind == "cylinder":
        return math.isclose(abs(expected[:, 2] @ found[:, 2]), 1.0, abs_tol=1e-6)
    return bool(np.allclose(expected, found, atol=1e-6))
