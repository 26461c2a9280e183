"""One episode in the simulator, driven to its end."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vla_simulation.environment import DockingEnv
from vla_training.evaluation.drivers import Driver


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode went. Errors are those at its end, with their signs.

    Attributes:
        seed: Of scene, start and noise.
        success: Docked at the commanded station, in time and without a collision.
        outcome: "docked", "collision" or "timeout".
        instruction: The sentence.
        time_s: Duration; of a success, until it was docked.
        longitudinal_error_mm: Base in the dock frame, x.
        lateral_error_mm: Base in the dock frame, y.
        yaw_error_deg: Base in the dock frame, heading.
        precise: Docked within the tight tolerance.
        mated: Both charging contacts closed.
        contact_speed_mps: When they first closed; None if they never did.
        wrong_station: Docked at a station that the sentence does not name.
        start_distance_m: From the docked pose.
        start_bearing_deg: Of the start, off the approach axis.
        start_heading_deg: Of the robot, off the approach axis.
        inferences: How often the policy was asked.
        interventions: Ticks by reason for which the safety envelope changed the command.
    """

    seed: int
    success: bool
    outcome: str
    instruction: str
    time_s: float
    longitudinal_error_mm: float
    lateral_error_mm: float
    yaw_error_deg: float
    precise: bool
    mated: bool
    contact_speed_mps: float | None
    wrong_station: bool
    start_distance_m: float
    start_bearing_deg: float
    start_heading_deg: float
    inferences: int
    interventions: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it, rounded to what means something."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def run_episode(env: DockingEnv, driver: Driver, seed: int) -> EpisodeResult:
    """Drive one episode until the robot is docked, has collided, or time is up."""
    env.reset(seed=seed)
    driver.reset()
    start = env.truth.dock_from_base
    terminated = truncated = False
    info: dict[str, Any] = {}
    while not (terminated or truncated):
        _, _, terminated, truncated, info = env.step(np.asarray(driver.command(env), np.float32))
    truth = env.truth
    error = truth.dock_from_base
    outcome = "docked" if truth.docked else "collision" if truth.collision else "timeout"
    contact = truth.contact_speed_mps
    return EpisodeResult(
        seed=seed,
        success=truth.docked,
        outcome=outcome,
        instruction=env.instruction,
        time_s=truth.time_s,
        longitudinal_error_mm=error.x * 1e3,
        lateral_error_mm=error.y * 1e3,
        yaw_error_deg=math.degrees(error.yaw),
        precise=truth.precise,
        mated=truth.mated,
        contact_speed_mps=None if math.isnan(contact) else contact,
        # Scenes with one station have no wrong one, and their info does not speak of it.
        wrong_station=bool(info.get("wrong_station", False)),
        start_distance_m=start.distance,
        start_bearing_deg=math.degrees(math.atan2(start.y, -start.x)),
        start_heading_deg=math.degrees(start.yaw),
        inferences=driver.inferences,
        interventions=dict(driver.interventions),
    )
