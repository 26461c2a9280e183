"""Commands and dock poses as ROS messages, those of rclpy and those of rosbags alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vla_core.contract_specs import TWIST_STAMPED_TYPE, ActionSpec
from vla_core.errors import DecodeError
from vla_core.geometry import Pose2D
from vla_core.readings import MAX_VELOCITY


def action_from_message(action: ActionSpec, message: Any) -> np.ndarray:
    """The command in a Twist or TwistStamped.

    Args:
        action: the contract's action.
        message: of either type, by rclpy or by rosbags.

    Returns:
        (A,) float32 [m/s, rad/s], not limited.

    Raises:
        DecodeError: if a component is missing or not finite.
    """
    try:
        twist = getattr(message, "twist", message)
        values = [float(_component(twist, field)) for field in action.fields]
    except (AttributeError, TypeError, ValueError) as error:
        raise DecodeError(
            f"action: got {type(message).__name__} ({error}), expected Twist or TwistStamped"
        ) from error
    return _checked(action, values)


def action_from_values(action: ActionSpec, vectors: Mapping[str, Sequence[float]]) -> np.ndarray:
    """The command in the vectors "linear" and "angular" (x, y, z each) of a twist.

    Returns:
        (A,) float32 [m/s, rad/s], not limited.

    Raises:
        DecodeError: if a component is not finite.
    """
    parts = (field.split(".") for field in action.fields)
    return _checked(action, [vectors[vector]["xyz".index(axis)] for vector, axis in parts])


def _checked(action: ActionSpec, values: list[float]) -> np.ndarray:
    if not all(abs(value) <= MAX_VELOCITY for value in values):  # also true for NaN
        raise DecodeError(
            f"action: got {dict(zip(action.fields, values, strict=True))}, expected finite values"
        )
    return np.array(values, np.float32)


def _component(twist: Any, field: str) -> Any:
    vector, axis = field.split(".")
    return getattr(getattr(twist, vector), axis)


def fill_action_message(action: ActionSpec, values: np.ndarray, message: Any) -> None:
    """Write a command into a fresh message of the contract's action type (header left alone).

    Args:
        action: the contract's action.
        values: (A,) [m/s, rad/s].
        message: a Twist or TwistStamped, as `action.type` says.
    """
    twist = message.twist if action.type == TWIST_STAMPED_TYPE else message
    for field, value in zip(action.fields, values, strict=True):
        vector, axis = field.split(".")
        setattr(getattr(twist, vector), axis, float(value))


def dock_pose_from_message(message: Any) -> Pose2D:
    """`base_from_dock` of a geometry_msgs/PoseStamped in the base frame.

    Raises:
        DecodeError: if it is no pose, or one that is not finite.
    """
    try:
        return Pose2D.from_message(message.pose)
    except (AttributeError, TypeError, ValueError) as error:
        raise DecodeError(
            f"dock pose: got {type(message).__name__} ({error}), expected "
            "geometry_msgs/msg/PoseStamped"
        ) from error
