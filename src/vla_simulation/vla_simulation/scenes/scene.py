"""Draws a scene: room, stations, clutter, surfaces and light; the goal is drawn last."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from vla_core.geometry import Pose2D
from vla_simulation.config import StationConfig
from vla_simulation.randomization import LanguageConfig, SceneRandomization
from vla_simulation.scenes.footprints import Footprint
from vla_simulation.scenes.instructions import (
    NAMINGS,
    TRAINING_PHRASINGS,
    Naming,
    Phrasing,
    sample_phrasing,
)
from vla_simulation.scenes.stations import (
    Station,
    StationLook,
    bay_frame,
    pick,
    sample_station_count,
    sample_stations,
)
from vla_simulation.scenes.surroundings import (
    Lighting,
    PlacedProp,
    Surfaces,
    sample_clutter,
    sample_decoration,
    sample_lighting,
    sample_occluders,
    sample_overhead,
    sample_surfaces,
)
from vla_simulation.seeds import random_stream

__all__ = ["Lighting", "PlacedProp", "Scene", "Station", "StationLook", "Surfaces", "sample_scene"]

_FREE_AHEAD_M = 1.0
_FREE_BESIDE_M = 0.35
_FREE_BESIDE_OCCLUDERS_M = 0.12


@dataclass(frozen=True)
class Scene:
    """Everything that stands still during an episode. The world's origin is the room's centre.

    Attributes:
        room_length_m: along the world's x axis.
        room_width_m: along the world's y axis.
        stations: left to right, for a robot that faces them.
        goal: index of the commanded station.
        naming: how the sentence names it.
        phrasing: the sentence with a gap for the station's name.
        clutter: what stands in the room and collides.
        decoration: what is only drawn.
        surfaces: of floor and walls.
        lighting: of the room.
        markers: whether the stations carry fiducial markers.
    """

    room_length_m: float
    room_width_m: float
    stations: tuple[Station, ...]
    goal: int
    naming: Naming
    phrasing: Phrasing
    clutter: tuple[PlacedProp, ...]
    decoration: tuple[PlacedProp, ...]
    surfaces: Surfaces
    lighting: Lighting
    markers: bool = False

    @property
    def goal_station(self) -> Station:
        """The commanded station."""
        return self.stations[self.goal]

    @property
    def world_from_dock(self) -> Pose2D:
        """Pose of the robot when docked at the commanded station."""
        return self.goal_station.world_from_dock

    @property
    def instruction(self) -> str:
        """The sentence that names the commanded station."""
        station = self.goal_station
        return self.phrasing.sentence(station.look.colour, station.side, station.look.number)

    @property
    def paraphrases(self) -> tuple[str, ...]:
        """Every training sentence that names the commanded station and no other of this scene."""
        station = self.goal_station
        namings: list[Naming] = ["number", "none" if station.side == "only" else "side"]
        if sum(other.look.colour == station.look.colour for other in self.stations) == 1:
            namings.append("colour")
        sentences = (
            phrasing.sentence(station.look.colour, station.side, station.look.number)
            for phrasing in TRAINING_PHRASINGS
            if phrasing.naming in namings
        )
        return tuple(dict.fromkeys(sentences))

    @property
    def world_from_bay(self) -> Pose2D:
        """The mean of all docked poses."""
        return bay_frame(self.stations)

    def with_goal(self, goal: int) -> "Scene":
        """The same scene with another station commanded, in the same phrasing."""
        return dataclasses.replace(self, goal=goal)

    def wall_pose(self, index: int) -> Pose2D:
        """Pose of a wall's inner face: 0 at +x, 1 at +y, 2 at -x, 3 at -y; x into the room."""
        yaw = index * math.pi / 2
        half = self.room_length_m / 2 if index % 2 == 0 else self.room_width_m / 2
        return Pose2D(half * math.cos(yaw), half * math.sin(yaw), yaw + math.pi)


def sample_scene(
    seed: int,
    randomization: SceneRandomization,
    language: LanguageConfig,
    config: StationConfig,
    attempt: int = 0,
) -> Scene:
    """Draw a scene. Nothing in it depends on the goal but the goal and its sentence.

    Args:
        seed: of the episode.
        randomization: bounds of what is drawn.
        language: which sentences are said.
        config: dimensions of a station.
        attempt: counts the scenes of this seed that were given up before.
    """

    def stream(name: str) -> np.random.Generator:
        return random_stream(seed, name, attempt)

    room_rng = stream("room")
    room = (
        room_rng.uniform(*randomization.room_length_m),
        room_rng.uniform(*randomization.room_width_m),
    )
    # Not drawn again with the scene, or scenes with few stations would prevail.
    count = sample_station_count(random_stream(seed, "station count"), randomization)
    naming_rng = random_stream(seed, "naming")
    naming = _sample_naming(naming_rng, language, count)
    stations = sample_stations(
        stream("bay"), stream("looks"), randomization, config, room, count, naming
    )
    clutter = sample_clutter(
        stream("clutter"), randomization, room, _keep_clear(stations, config, _FREE_BESIDE_M)
    )
    docks = [station.world_from_dock for station in stations]
    occluders = sample_occluders(
        stream("occluders"),
        randomization,
        docks,
        _keep_clear(stations, config, _FREE_BESIDE_OCCLUDERS_M),
        clutter,
        attempt,
    )
    return Scene(
        room_length_m=room[0],
        room_width_m=room[1],
        stations=stations,
        goal=int(random_stream(seed, "goal").integers(count)),
        naming=naming,
        phrasing=sample_phrasing(naming_rng, naming, language),
        clutter=clutter + occluders,
        decoration=sample_decoration(stream("decoration"), randomization, room)
        + sample_overhead(stream("overhead"), randomization, docks),
        surfaces=sample_surfaces(stream("surfaces")),
        lighting=sample_lighting(stream("light"), randomization),
    )


def _sample_naming(rng: np.random.Generator, language: LanguageConfig, count: int) -> Naming:
    naming = NAMINGS[pick(rng, language.naming_shares)]
    return "none" if naming == "side" and count == 1 else naming


def _keep_clear(
    stations: tuple[Station, ...], config: StationConfig, beside_m: float
) -> tuple[Footprint, ...]:
    """The floor that each station covers, and the floor in front of it."""
    back = config.panel_front_m + config.panel_thickness_m
    middle, half_length = (back - _FREE_AHEAD_M) / 2, (back + _FREE_AHEAD_M) / 2
    half_width = config.panel_half_width_m + beside_m
    return tuple(
        Footprint(station.world_from_dock @ Pose2D(middle, 0.0, 0.0), half_length, half_width)
        for station in stations
    )
