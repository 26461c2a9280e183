"""The contract of the simulated robot says what that robot is."""

from vla_bringup.resources import default_contract
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
