"""Velocity commands as messages of the type that a contract says."""

from __future__ import annotations

from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped

from vla_core.contract import Contract
from vla_core.contract_specs import TWIST_STAMPED_TYPE


def command_type(contract: Contract) -> type:
    """The message class of the contract's command."""
    return TwistStamped if contract.action.type == TWIST_STAMPED_TYPE else Twist


def command_message(contract: Contract, values: np.ndarray, stamp: Time) -> Any:
    """A command.

    Args:
        contract: its type, its fields and the frame of the base.
        values: (A,) [m/s, rad/s].
        stamp: for a type that has one.
    """
    twist = Twist()
    for field, value in zip(contract.action.fields, values, strict=True):
        vector, _, axis = field.partition(".")
        setattr(getattr(twist, vector), axis, float(value))
    if contract.action.type != TWIST_STAMPED_TYPE:
        return twist
    message = TwistStamped(twist=twist)
    message.header.stamp = stamp
    message.header.frame_id = contract.base_frame
    return message


def command_values(contract: Contract, message: Any) -> np.ndarray:
    """(A,) float64: the contract's components of a command [m/s, rad/s]."""
    twist = message.twist if contract.action.type == TWIST_STAMPED_TYPE else message
    parts = (field.partition(".") for field in contract.action.fields)
    return np.array([getattr(getattr(twist, vector), axis) for vector, _, axis in parts])
