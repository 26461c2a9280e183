"""What is known of the robot's camera: calibration and mounting."""

import math
from dataclasses import dataclass

import numpy as np

from vla_simulation.config import CameraConfig


@dataclass(frozen=True)
class CameraModel:
    """What `camera_info` and the static transforms tell about a camera.

    Attributes:
        matrix: (3, 3) K: pixels from normalised coordinates.
        distortion: (5,) D of the plumb_bob model: k1, k2, p1, p2, k3.
        base_from_optical: (4, 4), REP-103 optical frame: x right, y down, z forward.
    """

    matrix: np.ndarray
    distortion: np.ndarray
    base_from_optical: np.ndarray

    @classmethod
    def of(cls, config: CameraConfig) -> "CameraModel":
        """The calibration that the simulated robot publishes."""
        matrix, distortion = np.array(config.matrix), np.array(config.distortion)
        return cls(matrix, distortion, mounted_camera(config))


def mounted_camera(config: CameraConfig) -> np.ndarray:
    """(4, 4) base_from_optical of a camera that is pitched down."""
    sin, cos = math.sin(config.pitch_down_rad), math.cos(config.pitch_down_rad)
    transform = np.eye(4)
    transform[:3, :3] = np.array([[0.0, -sin, cos], [-1.0, 0.0, 0.0], [0.0, -cos, -sin]])
    transform[:3, 3] = (config.x_m, 0.0, config.z_m)
    return transform
