"""One episode in the simulator, driven to its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vla_simulation.environment import DockingEnv
from vla_simulation.truth import Truth
from vla_training.evaluation.drivers import Driver
from vla_training.evaluation.live import LiveFacts


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode went. Errors are those at its end, with their signs.

    Attributes:
        seed: Of scene, start and noise.
        swapped: Commanded to another station than the drawn one, all else as drawn.
        disturbance: What spoilt the policy's observations, see `disturbance`; empty: nothing.
        confidence_score: Highest score of the episode, 1 at the limit of calibration; None without
            one.
        success: Docked at the commanded station, in time and without a collision.
        outcome: "docked", "wrong_station", "collision" or "timeout".
        instruction: The sentence.
        naming: How the sentence names the station.
        station_count: How many stations there were.
        goal: Number of the commanded station from the left, from 0.
        docked_station: Number of the station at which the robot docked; None: at none.
        time_s: Duration; of a success, until it was docked.
        longitudinal_error_mm: Base in the dock frame, x.
        lateral_error_mm: Base in the dock frame, y.
        yaw_error_deg: Base in the dock frame, heading.
        precise: Docked within the tight tolerance.
        mated: Both charging contacts closed.
        contact_speed_mps: When they first closed; None if they never did.
        wrong_station: Docked at a station that the sentence does not name.
        collision_with: The two bodies of the first collision, or empty.
        start_distance_m: From the docked pose.
        start_bearing_deg: Of the start, off the approach axis.
        start_heading_deg: Of the robot, off the approach axis.
        inferences: How often the policy was asked.
        interventions: Ticks by reason for which the safety envelope changed the command.
        live: What the docking action said, of an episode through the live graph.
    """

    seed: int
    swapped: bool
    success: bool
    outcome: str
    instruction: str
    naming: str
    station_count: int
    goal: int
    docked_station: int | None
    time_s: float
    longitudinal_error_mm: float
    lateral_error_mm: float
    yaw_error_deg: float
    precise: bool
    mated: bool
    contact_speed_mps: float | None
    wrong_station: bool
    collision_with: str
    start_distance_m: float
    start_bearing_deg: float
    start_heading_deg: float
    inferences: int
    interventions: dict[str, int]
    disturbance: str = ""
    confidence_score: float | None = None
    live: LiveFacts | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it, rounded to what means something."""
        fields = _rounded(asdict(self))
        if self.live is None:
            del fields["live"]
        else:
            fields["live"] = _rounded(fields["live"])
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> EpisodeResult:
        """What `to_dict` gave.

        Raises:
            TypeError: If a field is missing or unknown.
        """
        live = fields.get("live")
        return cls(**{**fields, "live": None if live is None else LiveFacts(**live)})


def run_episode(
    env: DockingEnv,
    driver: Driver,
    seed: int,
    *,
    swapped: bool = False,
    watch: Callable[[], None] | None = None,
) -> EpisodeResult:
    """Drive one episode until the robot is docked, has collided, or time is up.

    Args:
        env: Made for the driver's needs.
        driver: Who drives.
        seed: Of the episode.
        swapped: Command the station after the drawn one.
        watch: Called at every control period, when its command is known, and at the end.

    Raises:
        SimulationError: If `swapped` is set and there is only one station.
    """
    goal = {"goal": "swap"} if swapped else {}
    env.reset(seed=seed, options={**driver.options, **goal})
    driver.reset(env)
    start = env.truth.dock_from_base
    # Sensing is most of the time; who knows the truth needs none.
    move = env.step if driver.streams else env.advance
    truth = env.truth
    while not is_over(truth, env.suite.time_limit_s):
        command = np.asarray(driver.command(env), np.float32)
        if watch is not None:
            watch()
        move(command)
        truth = env.truth
    if watch is not None:
        watch()
    error = truth.dock_from_base
    contact = truth.contact_speed_mps
    scene = env.scene
    return EpisodeResult(
        seed=seed,
        swapped=swapped,
        success=truth.docked,
        outcome=outcome_of(truth),
        instruction=env.instruction,
        naming=scene.naming,
        station_count=len(scene.stations),
        goal=scene.goal,
        docked_station=truth.docked_station,
        time_s=truth.time_s,
        longitudinal_error_mm=error.x * 1e3,
        lateral_error_mm=error.y * 1e3,
        yaw_error_deg=math.degrees(error.yaw),
        precise=truth.precise,
        mated=truth.mated,
        contact_speed_mps=None if math.isnan(contact) else contact,
        wrong_station=outcome_of(truth) == "wrong_station",
        collision_with=truth.collision_with,
        start_distance_m=start.distance,
        start_bearing_deg=math.degrees(math.atan2(start.y, -start.x)),
        start_heading_deg=math.degrees(start.yaw),
        inferences=driver.inferences,
        interventions=dict(driver.interventions),
        confidence_score=getattr(driver, "highest_score", None),
    )


def _rounded(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in fields.items()
    }


def is_over(truth: Truth, time_limit_s: float) -> bool:
    """Whether an episode has ended: the same conditions as those of `DockingEnv.step`."""
    ended = truth.docked_station is not None or truth.collision
    return ended or truth.time_s >= time_limit_s - 1e-9


def outcome_of(truth: Truth) -> str:
    """How an episode that is over went, see `EpisodeResult`."""
    if truth.docked:
        return "docked"
    if truth.docked_station is not None:
        return "wrong_station"
    return "collision" if truth.collision else "timeout"
