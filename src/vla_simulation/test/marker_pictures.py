"""Pictures of a marker on a wall, traced ray by ray: independent of the simulator's renderer."""

import cv2
import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.controllers.camera_model import CameraModel
from vla_simulation.controllers.markers import Marker

_SUPERSAMPLING = 3


def picture(
    camera: CameraModel, marker: Marker, dock_from_base: Pose2D, size: tuple[int, int]
) -> np.ndarray:
    """(H, W, 3) uint8 of a marker with a white margin on a grey wall.

    Args:
        camera: calibration.
        marker: on the wall.
        dock_from_base: where the robot stands.
        size: width and height in pixels.
    """
    width, height = size
    base_in_dock = np.eye(4)
    cos, sin = np.cos(dock_from_base.yaw), np.sin(dock_from_base.yaw)
    base_in_dock[:2, :2] = [[cos, -sin], [sin, cos]]
    base_in_dock[:2, 3] = dock_from_base.x, dock_from_base.y
    marker_from_optical = (
        np.linalg.inv(marker.dock_from_marker) @ base_in_dock @ camera.base_from_optical
    )
    grey = np.full((height, width), 90, np.uint8)
    left, top, right, bottom = _bounds(camera, marker, marker_from_optical, size)
    if left < right and top < bottom:
        pixels = _pixels(left, top, right, bottom)
        rays = cv2.undistortPoints(pixels, camera.matrix, camera.distortion).reshape(-1, 2)
        values = _shade(rays, marker, marker_from_optical)
        fine = _SUPERSAMPLING
        values = values.reshape(bottom - top, fine, right - left, fine).mean(axis=(1, 3))
        grey[top:bottom, left:right] = np.rint(values)
    return np.repeat(grey[..., None], 3, axis=2)


def _bounds(camera, marker, marker_from_optical, size):
    """The pixels that marker and margin can touch: left, top, right, bottom."""
    outline = 1.4 * marker.corners
    optical = (np.linalg.inv(marker_from_optical) @ np.c_[outline, np.ones(4)].T)[:3].T
    if (optical[:, 2] < 0.05).any():
        return 0, 0, 0, 0
    corners = cv2.projectPoints(
        optical, np.zeros(3), np.zeros(3), camera.matrix, camera.distortion
    )[0].reshape(4, 2)
    low = np.clip(np.floor(corners.min(axis=0)) - 2, 0, size).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 3, 0, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _pixels(left, top, right, bottom):
    fine = _SUPERSAMPLING
    columns = left + (np.arange((right - left) * fine) + 0.5) / fine - 0.5
    rows = top + (np.arange((bottom - top) * fine) + 0.5) / fine - 0.5
    return np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 1, 2)


def _shade(rays, marker, marker_from_optical):
    directions = np.c_[rays, np.ones(len(rays))] @ marker_from_optical[:3, :3].T
    origin = marker_from_optical[:3, 3]
    with np.errstate(divide="ignore"):
        reach = -origin[2] / directions[:, 2]
    hit = origin[:2] + reach[:, None] * directions[:, :2]
    modules = 6
    code = cv2.aruco.generateImageMarker(
        cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50), marker.number, modules
    )
    cells = np.floor((hit / marker.size_m + 0.5) * modules)
    column, row = cells[:, 0], modules - 1 - cells[:, 1]
    inside = (reach > 0) & (column >= 0) & (column < modules) & (row >= 0) & (row < modules)
    margin = (reach > 0) & (np.abs(hit) <= 0.65 * marker.size_m).all(axis=1)
    grey = np.where(margin, 230.0, 90.0)
    grey[inside] = code[row[inside].astype(int), column[inside].astype(int)] * (210 / 255) + 20
    return grey
