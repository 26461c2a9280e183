"""Asks the simulator of a running graph for another episode: behind ``vla reset``."""

from __future__ import annotations

import random
from typing import Final

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from vla_msgs.srv import ResetSimulation

from vla_bringup.graph import SIMULATOR
from vla_bringup.preflight import current_domain_id
from vla_bringup.waiting import WaitTimeout, wait_for_result, wait_for_service
from vla_core.errors import VlaError
from vla_simulation.seeds import FIRST_HELD_OUT_SEED

SERVICE_TIMEOUT_S: Final = 10.0
RETRY_TIMEOUT_S: Final = 3.0
MAX_SEED: Final = 2**62


class ResetError(VlaError):
    """The simulator began no episode."""


def draw_seed() -> int:
    """A seed that demonstrations may use: none that is held out for evaluation."""
    return random.randrange(FIRST_HELD_OUT_SEED)


def begin_episode(
    seed: int, *, suite: str = "", goal: int = -1, namespace: str = ""
) -> ResetSimulation.Response:
    """Reset the simulator.

    Args:
        seed: of scene and start.
        suite: that they are drawn from; empty: as before.
        goal: index of the commanded station; -1: as drawn.
        namespace: of the simulator.

    Raises:
        ResetError: there is no simulator, or it refuses.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ResetError(f"--seed is {seed}, expected 0 to {MAX_SEED}")
    if not -1 <= goal < 2**31:
        raise ResetError(f"--goal is {goal}, expected the index of a station, from 0")
    domain_id = current_domain_id()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("vla_reset", namespace=namespace or None, start_parameter_services=False)
    try:
        client = node.create_client(ResetSimulation, f"{SIMULATOR}/reset")
        try:
            wait_for_service(node, client, SERVICE_TIMEOUT_S)
        except WaitTimeout:
            raise ResetError(
                f"no simulator answers on {client.srv_name} in ROS_DOMAIN_ID {domain_id}; start "
                "one with `vla up record driver:=none` or `vla up sim`"
            ) from None
        request = ResetSimulation.Request(seed=seed, suite=suite, goal=goal)
        answer = None
        # A first reply can get lost; asking again does no harm.
        for timeout_s in (RETRY_TIMEOUT_S, SERVICE_TIMEOUT_S):
            try:
                answer = wait_for_result(node, client.call_async(request), timeout_s)
                break
            except WaitTimeout:
                continue
        if answer is None:
            raise ResetError("the simulator does not answer; is the machine overloaded?")
        if not answer.success:
            raise ResetError(f"the simulator refused seed {seed}: {answer.message}")
        return answer
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
