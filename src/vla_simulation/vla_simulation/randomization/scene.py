"""What is drawn of the surroundings, the start and the sentence."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class SceneRandomization:
    """Room, stations, clutter, surfaces and light."""

    room_length_m: tuple[float, float] = (6.5, 11.0)
    room_width_m: tuple[float, float] = (5.5, 9.0)
    station_count_shares: tuple[float, float, float] = (0.2, 0.5, 0.3)
    """Share of the scenes with one, two and three stations."""
    station_spacing_m: tuple[float, float] = (0.95, 1.6)
    """From one docked pose to the next, along the wall."""
    station_gap_to_wall_m: tuple[float, float] = (0.03, 0.5)
    """Of the whole bay."""
    station_depth_m: tuple[float, float] = (0.0, 0.12)
    """How much further into the room each of its stations stands."""
    station_yaw_rad: tuple[float, float] = (-0.12, 0.12)
    equal_colour_share: float = 0.3
    """Of the scenes with several stations whose sentence does not name a colour: the share in
    which two stations may have the same one."""
    held_out_looks: bool = False
    """Colours and shapes that no training suite shows."""
    clutter_count: tuple[int, int] = (10, 20)
    occluder_count: tuple[int, int] = (0, 0)
    """People and other slender things in the bay itself, where they hide parts of the stations."""
    overhead_count: tuple[int, int] = (0, 0)
    """Things that hang in front of the stations, above the robot."""
    wall_decoration_count: tuple[int, int] = (5, 11)
    """Doors, windows, pipes and signs; fewer where they would overlap."""
    floor_decoration_count: tuple[int, int] = (2, 6)
    """Lanes, arrows, stains and tyre marks."""
    light_ambient: tuple[float, float] = (0.44, 0.62)
    light_diffuse: tuple[float, float] = (0.32, 0.54)
    light_fill: tuple[float, float] = (0.10, 0.25)
    light_slope: tuple[float, float] = (0.3, 0.8)
    """Tangent of the stronger light's angle from the vertical."""
    light_tint: tuple[float, float] = (0.0, 0.04)
    """Strength of a random hue, beside the colour temperature."""
    corner_shade: tuple[float, float] = (0.4, 0.7)
    """Darkness of the room's corners, 0 to 1."""
    glow: tuple[float, float] = (0.5, 0.9)
    """Brightness of windows, open doors and lamps, 0 to 1."""


@dataclass(frozen=True)
class StartConfig:
    """Where an episode starts, in the frame of the bay: the mean of all docked poses."""

    min_distance_m: float = 1.0
    max_distance_m: float = 2.5
    """To the nearest docked pose."""
    max_bearing_rad: float = math.radians(25.0)
    """Off the bay's axis, to either side."""
    max_heading_rad: float = math.radians(20.0)
    """Off the direction to the bay, to either side."""
    clearance_m: float = 0.15
    """Around the robot on the expert's path to each of the stations."""
    max_drive_s: float = 25.0
    """What the expert may need to any of the stations."""


@dataclass(frozen=True)
class LanguageConfig:
    """Which sentences are said."""

    naming_shares: tuple[float, float, float] = (0.5, 0.3, 0.2)
    """Share of the sentences that name the station by its colour, its side and its number. A lone
    station has no side: the sentence calls it just the charger instead."""
    korean_share: float = 0.3
    held_out_phrasings: bool = False
    """Phrasings that no training suite uses."""
