"""Observations that a policy was never trained on, to measure whether its score tells.

Some spoil the frames of an episode from a moment on, some are scenes from the beginning on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np

from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder, ScanDecoder
from vla_core.frames import Frame
from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, SCAN
from vla_simulation.environment import DockingEnv

FOREIGN_SENTENCE: Final = "bitte zur orangen ladestation fahren"

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Anomaly:
    """One kind of what was never trained on.

    Attributes:
        key: Of the stream that is spoilt; empty: none.
        change: What becomes of its array, given random numbers of the episode.
        frozen: The stream stays as it was when it began.
        sentence: What the policy is told instead; empty: as drawn.
        suite: Of the scenes; empty: that of the calibration.
        facing_away: The robot starts with its back to the station.
    """

    key: str = ""
    change: Change | None = None
    frozen: bool = False
    sentence: str = ""
    suite: str = ""
    facing_away: bool = False

    @property
    def is_scene(self) -> bool:
        """Whether it is there from the beginning."""
        return bool(self.suite) or self.facing_away

    def spoiler(self) -> Callable[[Frame, int], Frame]:
        """Spoils the frames of one episode."""
        held: dict[str, np.ndarray] = {}

        def spoil(frame: Frame, seed: int) -> Frame:
            if not self.key:
                return frame
            array = frame.arrays[self.key]
            if self.frozen:
                array = held.setdefault(self.key, array)
            if self.change is not None:
                random = np.random.default_rng((seed, frame.tick_ns))
                array = np.ascontiguousarray(self.change(array, random))
            return replace(frame, arrays={**frame.arrays, self.key: array})

        return spoil

    def options(self, env: DockingEnv) -> dict[str, Any]:
        """Options of the reset that begins the episode; `env` was reset with its seed."""
        if not self.facing_away:
            return {}
        dock, base = env.truth.world_from_dock, env.truth.world_from_base
        away = math.atan2(base.y - dock.y, base.x - dock.x)
        return {"start": Pose2D(base.x, base.y, away)}


def anomalies(contract: Contract) -> Mapping[str, Anomaly]:
    """All kinds that a contract's streams allow, by name."""
    found: dict[str, Anomaly] = {}
    for stream in contract.streams:
        if stream.key == IMAGE and isinstance(stream.decoder, ImageDecoder):
            found |= {name: Anomaly(IMAGE, change) for name, change in _IMAGES.items()}
            found["image frozen"] = Anomaly(IMAGE, frozen=True)
        if stream.key == SCAN and isinstance(stream.decoder, ScanDecoder):
            found |= _scans(stream.decoder)
    found["sentence in German"] = Anomaly(sentence=FOREIGN_SENTENCE)
    found["robot faces away"] = Anomaly(facing_away=True)
    found["station of unseen shape"] = Anomaly(suite="new_station")
    return found


def _scans(decoder: ScanDecoder) -> dict[str, Anomaly]:
    per_rad = decoder.beams / (decoder.angle_max_rad - decoder.angle_min_rad)
    return {
        "scan mirrored": Anomaly(SCAN, lambda scan, _: scan[::-1]),
        "scan turned 90 deg": Anomaly(SCAN, _turned(math.pi / 2, per_rad)),
        "scan turned 10 deg": Anomaly(SCAN, _turned(math.radians(10), per_rad)),
        "scan sees nothing": Anomaly(SCAN, lambda scan, _: np.full_like(scan, decoder.range_max_m)),
    }


def _turned(angle_rad: float, beams_per_rad: float) -> Change:
    shift = max(1, round(angle_rad * beams_per_rad))
    return lambda scan, _: np.roll(scan, shift)


def _rotated(image: np.ndarray, angle_deg: float) -> np.ndarray:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE))


def _occluded(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    image = image.copy()
    image[height // 4 :, width // 4 : 3 * width // 4] = 40
    return image


def _scaled(factor: float) -> Change:
    return lambda image, _: np.clip(image * factor, 0, 255).astype(np.uint8)


_IMAGES: Final[Mapping[str, Change]] = {
    "camera covered, black": lambda image, random: random.integers(0, 8, image.shape, np.uint8),
    "camera covered, grey": lambda image, _: np.full_like(image, 128),
    "image upside down": lambda image, _: image[::-1, ::-1],
    "image mirrored": lambda image, _: image[:, ::-1],
    "red and blue exchanged": lambda image, _: image[..., ::-1],
    "camera turned 15 deg": lambda image, _: _rotated(image, 15.0),
    "half of the view covered": _occluded,
    "image 7 times darker": _scaled(0.15),
    "image overexposed 2.5 times": _scaled(2.5),
}
