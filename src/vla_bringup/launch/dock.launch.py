"""Simulator or robot, and the policy that docks it.

ros2 launch vla_bringup dock.launch.py --show-args
"""

from launch import LaunchDescription
from vla_bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description("dock")
