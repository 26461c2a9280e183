"""Rotations of shapes: MuJoCo says quaternions, SDFormat and URDF roll, pitch and yaw."""

import math

import numpy as np

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

IDENTITY: Quaternion = (1.0, 0.0, 0.0, 0.0)


def rpy_of(quaternion: Quaternion) -> Vector:
    """Roll, pitch, yaw [rad] (fixed axes x, y, z) of a unit quaternion w, x, y, z."""
    w, x, y, z = quaternion
    sine = 2.0 * (w * y - z * x)
    if abs(sine) > 1.0 - 1e-9:  # gimbal lock: roll and yaw turn about one axis, yaw gets it all
        return 0.0, math.copysign(math.pi / 2, sine), -math.copysign(2.0, sine) * math.atan2(x, w)
    return (
        math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y)),
        math.asin(sine),
        math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)),
    )


def rotation_of(quaternion: Quaternion) -> np.ndarray:
    """(3, 3) rotation matrix of a unit quaternion w, x, y, z."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
