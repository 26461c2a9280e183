"""How often a policy docks, over many simulated starts: `vla evaluate` as a launch file.

ros2 launch vla_bringup evaluate.launch.py --show-args
"""

from launch import LaunchDescription
from vla_bringup.launch_description import evaluation_description


def generate_launch_description() -> LaunchDescription:
    return evaluation_description()
