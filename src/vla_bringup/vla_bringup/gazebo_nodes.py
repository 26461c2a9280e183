"""The nodes that take the simulator's place with ``sim:=gazebo``."""

from __future__ import annotations

import os

from vla_bringup.graph_arguments import GraphError, GraphOptions
from vla_bringup.node_spec import NodeSpec
from vla_bringup.resources import simulation_share


def gazebo_nodes(options: GraphOptions) -> list[NodeSpec]:
    """Gazebo's server, the bridge to its topics and the publisher of fixed frames.

    Raises:
        GraphError: an argument is of no use with Gazebo.
    """
    if options.sim != "gazebo":
        return []
    if options.namespace or options.robots:
        raise GraphError(
            "sim:=gazebo has one robot without a namespace: the bridge carries Gazebo's topics as "
            "they are; leave namespace and robots out, or use sim:=mujoco"
        )
    share = simulation_share()
    resources = [str(share / "models"), os.environ.get("GZ_SIM_RESOURCE_PATH", "")]
    server = NodeSpec(
        package="ros_gz_sim",
        executable="gzserver",
        name="gzserver",
        parameters={"world_sdf_file": str(share / "worlds" / "docking.sdf")},
        environment={"GZ_SIM_RESOURCE_PATH": os.pathsep.join(filter(None, resources))},
        log_level=options.log_level,
    )
    bridge = NodeSpec(
        package="ros_gz_bridge",
        executable="parameter_bridge",
        name="ros_gz_bridge",
        parameters={
            "use_sim_time": True,
            "config_file": str(share / "config" / "ros_gz_bridge.yaml"),
        },
        log_level=options.log_level,
    )
    frames = NodeSpec(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        name="robot_state_publisher",
        parameters={"use_sim_time": True},
        arguments=(str(share / "urdf" / "docking_robot.urdf"),),
        log_level=options.log_level,
    )
    return [server, bridge, frames]
