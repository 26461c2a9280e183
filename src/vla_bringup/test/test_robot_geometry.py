"""The contract of the simulated robot says what that robot is."""

import yaml

from vla_bringup.resources import default_contract, simulation_share
from vla_core.contract import Contract
from vla_simulation.config import SimulationConfig
from vla_training.evaluation.drivers import obstacles_of


def test_the_contract_knows_the_outline_of_the_simulated_robot():
    obstacles = Contract.load(default_contract()).safety.obstacles
    simulated = obstacles_of(SimulationConfig())
    for side in ("front_m", "rear_m", "half_width_m"):
        told, real = getattr(obstacles.footprint, side), getattr(simulated.footprint, side)
        assert real <= told <= real + 0.005
    assert obstacles.base_from_scanner == simulated.base_from_scanner
    assert obstacles.corridor == simulated.corridor
    assert obstacles.stop_distance_m == simulated.stop_distance_m
    assert obstacles.reaction_s == simulated.reaction_s


def test_gazebo_s_bridge_speaks_the_contract():
    """Every stream comes out of Gazebo and the action goes in, by name, type and direction."""
    contract = Contract.load(default_contract())
    file = simulation_share() / "config" / "ros_gz_bridge.yaml"
    bridged = {
        entry["ros_topic_name"]: (entry["ros_type_name"], entry["direction"])
        for entry in yaml.safe_load(file.read_text())
    }
    for stream in contract.streams:
        assert bridged[stream.topic] == (stream.type, "GZ_TO_ROS")
    assert bridged[contract.action.topic] == (contract.action.type, "ROS_TO_GZ")
    commanded = [topic for topic, (_, way) in bridged.items() if way != "GZ_TO_ROS"]
    assert commanded == [contract.action.topic]
