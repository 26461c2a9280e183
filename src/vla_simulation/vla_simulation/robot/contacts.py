"""Watches what the robot touches: charging contacts and collisions."""

import math

import numpy as np

from vla_simulation.config import StationConfig
from vla_simulation.opengl import mujoco
from vla_simulation.world import WorldIndex


class ContactWatch:
    """Keeps book of the contacts of an episode.

    Attributes:
        collision: the robot touched anything but floor, plates and buffers.
        collision_with: the two bodies of the first collision, for people.
        mated_station: index of the station onto whose plates both pins are pressed now, or None.
        contact_speed_mps: speed at the first mating; NaN before.
    """

    def __init__(self, model: mujoco.MjModel, index: WorldIndex, station: StationConfig) -> None:
        self._model = model
        self._forbidden = ~index.allowed_contact
        self._contacts = index.charging_contacts
        self._pins = {contact.pin_qpos for station in self._contacts for contact in station}
        self._compression_m = station.mated_compression_m
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self.collision = False
        self.collision_with = ""
        self.mated_station: int | None = None
        self.contact_speed_mps = math.nan

    def update(self, data: mujoco.MjData, speed_mps: float) -> None:
        """Take the contacts of one physics step."""
        qpos = data.qpos
        pressed = all(-qpos.item(pin) >= self._compression_m for pin in self._pins)
        if self.collision and not pressed:
            self.mated_station = None
            return
        pairs = data.contact.geom  # (contacts, 2)
        if not self.collision:
            forbidden = self._forbidden[pairs[:, 0], pairs[:, 1]]
            if forbidden.any():
                self.collision = True
                self.collision_with = self._names(pairs[forbidden][0])
        self.mated_station = self._touched(pairs) if pressed else None
        if self.mated and math.isnan(self.contact_speed_mps):
            self.contact_speed_mps = speed_mps

    @property
    def mated(self) -> bool:
        """Whether both pins are pressed onto the plates of one station now."""
        return self.mated_station is not None

    def _touched(self, pairs: np.ndarray) -> int | None:
        """The station both of whose plates are touched by their pins."""
        for number, station in enumerate(self._contacts):
            if all(_touch(pairs, contact.pin_geom, contact.plate_geom) for contact in station):
                return number
        return None

    def _names(self, pair: np.ndarray) -> str:
        bodies = (self._model.body(self._model.geom_bodyid[geom]).name for geom in pair)
        return " and ".join(sorted(bodies))


def _touch(pairs: np.ndarray, geom: int, other: int) -> bool:
    first, second = pairs[:, 0], pairs[:, 1]
    return bool(
        np.any(((first == geom) & (second == other)) | ((first == other) & (second == geom)))
    )
