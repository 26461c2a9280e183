"""Velocity commands as ROS messages, with no more imports than the control process needs."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped

from vla_core.action_messages import fill_action_message
from vla_core.contract import Contract
from vla_core.contract_specs import TWIST_STAMPED_TYPE

_NS_PER_S = 1_000_000_000


def message_class(type_name: str) -> Any:
    """The class of a message type such as "sensor_msgs/msg/Image"."""
    package, namespace, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.{namespace}"), name)


def time_message(time_ns: int) -> Time:
    """Nanoseconds as a time message."""
    return Time(sec=time_ns // _NS_PER_S, nanosec=time_ns % _NS_PER_S)


def command_message(contract: Contract, values: np.ndarray, now_ns: int) -> Twist | TwistStamped:
    """A command in the contract's message type, (A,) [m/s, rad/s]."""
    if contract.action.type == TWIST_STAMPED_TYPE:
        message = TwistStamped()
        message.header.stamp = time_message(now_ns)
        message.header.frame_id = contract.base_frame
    else:
        message = Twist()
    fill_action_message(contract.action, values, message)
    return message
