"""The parameters of what the node shows to people."""

from __future__ import annotations

from dataclasses import dataclass

from vla_policy_node.parameter_field import ReadAt, parameter

_CONFIGURE = ReadAt.CONFIGURE


@dataclass(frozen=True)
class ObservabilityParameters:
    """Where the camera is, to draw the predicted path into its picture, and how wide the robot."""

    camera_x_m: float = parameter(
        0.0, "Camera forward of the base", at=_CONFIGURE, unit="m", low=-5.0, high=5.0
    )
    camera_z_m: float = parameter(
        0.46, "Camera above the floor", at=_CONFIGURE, unit="m", low=0.01, high=5.0
    )
    camera_pitch_rad: float = parameter(
        0.349,
        "How far the camera looks down",
        at=_CONFIGURE,
        unit="rad",
        low=-1.5,
        high=1.5,
    )
    camera_horizontal_fov_rad: float = parameter(
        1.647,
        "Horizontal field of view of the camera",
        at=_CONFIGURE,
        unit="rad",
        low=0.1,
        high=3.0,
    )
    robot_half_width_m: float = parameter(
        0.2,
        "Half the width of the robot, where the contract has no footprint",
        at=_CONFIGURE,
        unit="m",
        low=0.01,
        high=5.0,
    )
    debug_image_rate_hz: float = parameter(
        5.0, "Most annotated images per second", at=_CONFIGURE, unit="1/s", low=0.1, high=30.0
    )
