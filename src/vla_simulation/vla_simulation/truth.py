"""What only a simulator knows."""

import math
from dataclasses import dataclass
from typing import Any

from vla_core.geometry import Pose2D


@dataclass(frozen=True)
class Truth:
    """True state of an episode.

    Attributes:
        time_s: since the reset.
        world_from_base: pose of the robot.
        world_from_dock: pose of the robot when docked at the commanded station.
        dock_from_base: the error: x negative while still in front, y left, yaw.
        speed_mps: of the base, without sign.
        goal: index of the commanded station.
        station_count: how many stations there are.
        docked: at the commanded station, within tolerance and at rest for the settling time,
            without a collision before.
        docked_station: index of the station at which the robot is docked, or None.
        precise: docked, and within the tight tolerance.
        mated: both charging pins are pressed onto the plates of a station, whichever it is.
        charging: mated for long enough that the charger switched on.
        collision: the robot touched anything but floor, plates and buffers since the reset.
        collision_with: the two bodies of the first collision, or empty.
        contact_speed_mps: when the pins first mated; NaN before.
    """

    time_s: float
    world_from_base: Pose2D
    world_from_dock: Pose2D
    dock_from_base: Pose2D
    speed_mps: float
    goal: int
    station_count: int
    docked: bool
    docked_station: int | None
    precise: bool
    mated: bool
    charging: bool
    collision: bool
    collision_with: str
    contact_speed_mps: float

    @property
    def wrong_station(self) -> bool:
        """Docked, but not at the commanded station."""
        return self.docked_station is not None and self.docked_station != self.goal

    def info(self) -> dict[str, Any]:
        """What the environment hands out at every step; no speed of a contact not yet made."""
        info = {
            "time_s": self.time_s,
            "dock_from_base": self.dock_from_base,
            "speed_mps": self.speed_mps,
            "goal": self.goal,
            "station_count": self.station_count,
            "docked": self.docked,
            "docked_station": self.docked_station,
            "wrong_station": self.wrong_station,
            "precise": self.precise,
            "contact": self.mated,
            "charging": self.charging,
            "collision": self.collision,
            "collision_with": self.collision_with,
        }
        if not math.isnan(self.contact_speed_mps):
            info["contact_speed_mps"] = self.contact_speed_mps
        return info
