"""The camera's picture with what the policy means to do drawn into it. No ROS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vla_core.geometry import Pose2D
from vla_core.opencv import cv2
from vla_policy_node.observability.geometry import PinholeCamera, swath

_PATH_RGB = (40, 220, 90)
_STOPPED_RGB = (240, 60, 50)
_TEXT_RGB = (255, 255, 255)
_SHADE = 0.45
_LINE_PX = 13
_SMALLEST_HEIGHT_PX = 240


def annotate(
    rgb: npt.NDArray[np.uint8],
    path: Sequence[Pose2D],
    half_width_m: float,
    camera: PinholeCamera,
    lines: Sequence[str],
    stopped: bool,
) -> npt.NDArray[np.uint8]:
    """Draw a path and lines of text into a copy of a picture.

    Args:
        rgb: (H, W, 3) uint8; small ones are enlarged, so that the text can be read.
        path: poses of the base; see `predicted_path`.
        half_width_m: of the robot.
        camera: that took the picture.
        lines: of text.
        stopped: whether the safety envelope holds the robot; the path is red then.

    Returns:
        (H', W', 3) uint8.
    """
    scale = max(1, -(-_SMALLEST_HEIGHT_PX // rgb.shape[0]))
    picture = np.ascontiguousarray(np.repeat(np.repeat(rgb, scale, axis=0), scale, axis=1))
    height, width = picture.shape[:2]
    colour = _STOPPED_RGB if stopped else _PATH_RGB
    if len(path) > 1:
        for edge in swath(path, half_width_m):
            _polyline(picture, camera.project(edge, width, height), colour, 2)
        middle = np.array([(pose.x, pose.y) for pose in path])
        _polyline(picture, camera.project(middle, width, height), colour, 1)
    banner = picture[: _LINE_PX * len(lines) + 4]
    banner[:] = (banner * _SHADE).astype(np.uint8)
    for index, line in enumerate(lines):
        place = (4, _LINE_PX * (index + 1) - 1)
        cv2.putText(picture, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, _TEXT_RGB, 1, cv2.LINE_AA)
    return picture


def _polyline(
    picture: npt.NDArray[np.uint8],
    pixels: npt.NDArray[np.float64],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    limit = 4 * max(picture.shape)
    near = np.isfinite(pixels).all(axis=1)
    near &= (np.abs(np.nan_to_num(pixels)) < limit).all(axis=1)
    drawn = near[:-1] & near[1:]
    for start, end in zip(pixels[:-1][drawn], pixels[1:][drawn], strict=True):
        ends = [tuple(int(value) for value in np.rint(point)) for point in (start, end)]
        cv2.line(picture, ends[0], ends[1], colour, width, cv2.LINE_AA)
