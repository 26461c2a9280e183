"""How much of what a policy looks at is the station that it is told to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from vla_core.contract_specs import StreamSpec
from vla_core.decoding import decode
from vla_core.readings import ImageReading
from vla_training.evaluation.bootstrap import bootstrap_interval, ratio_of_sums

_FIRST_STATION = 1

ATTENTION: Final = ("rollout", "pointed", "asked", "learned", "keypoints")
"""Which of a policy's readers is its attention, the first that it has: a transformer's own; where
its words point; what its words ask for; what it takes tokens from. Never a gradient: that explains
a policy, which does not act by it."""


def station_areas(labels: np.ndarray, goal: int, camera: StreamSpec) -> np.ndarray:
    """How much of each of the policy's pixels is station.

    The labels pass the very decoder that the camera's image passes.

    Args:
        labels: (H, W) as of `DockingEnv.render_segmentation`.
        goal: Index of the commanded station.
        camera: Stream of the policy's contract.

    Returns:
        (2, height, width) float32, 0 to 1: the commanded station, all others.
    """
    named = labels == _FIRST_STATION + goal
    others = (labels >= _FIRST_STATION) & ~named
    painted = np.stack([named, others, np.zeros_like(named)], axis=2).astype(np.uint8) * 255
    decoded = decode(camera, ImageReading(painted))[..., :2]
    return decoded.transpose(2, 0, 1).astype(np.float32) / 255.0


def attention_share(maps: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """How much of each map lies in each area.

    The areas are brought to the maps' resolution, not the other way: a position that sees half of a
    station counts half.

    Args:
        maps: (K, h, w), each of which sums to 1.
        areas: (M, H, W), 0 to 1.

    Returns:
        (K, M), 0 to 1.
    """
    height, width = maps.shape[1:]
    small = np.stack(
        [cv2.resize(area, (width, height), interpolation=cv2.INTER_AREA) for area in areas]
    )
    return np.einsum("khw,mhw->km", maps, small)


@dataclass(frozen=True)
class EpisodeShares:
    """One episode, summed over the frames in which the named station is seen while approaching.

    Attributes:
        seed: Of the episode.
        frames: Such frames.
        unseen: Frames of the approach in which it is not seen.
        pixels: (2,) share of the image's pixels: of the named station, of all others.
        attention: (K, 2) of each map likewise, by the name of the reader.
    """

    seed: int
    frames: int
    unseen: int
    pixels: np.ndarray
    attention: Mapping[str, np.ndarray]


def summarise(episodes: Sequence[EpisodeShares]) -> dict[str, Any]:
    """Figures over episodes, for JSON.

    Returns:
        episodes, frames, unseen_frames; pixel_share of the named station and of the others; by
        reader: share of the attention on them, and `times`, their ratio to the share of the
        pixels, with its 95 % interval by bootstrap over the episodes; maps: `times` of the named
        station for each of the reader's K maps. `attention` is the one figure to go by: `reader`,
        see `ATTENTION`, with its `share` and `pixel_share` of the named station and their ratio
        `times`, `low` and `high`.
    """
    seen = [episode for episode in episodes if episode.frames]
    figures: dict[str, Any] = {
        "episodes": len(seen),
        "frames": sum(episode.frames for episode in episodes),
        "unseen_frames": sum(episode.unseen for episode in episodes),
    }
    if not seen:
        return {**figures, "readers": {}}
    frames = figures["frames"]
    pixels = np.stack([episode.pixels for episode in seen])  # (E, 2)
    figures["pixel_share"] = _by_station(pixels.sum(0) / frames)
    figures["readers"] = {}
    for name in seen[0].attention:
        maps = np.stack([episode.attention[name] for episode in seen])  # (E, K, 2)
        mean = maps.mean(1)
        figures["readers"][name] = {
            "share": _by_station(mean.sum(0) / frames),
            "named": _times(mean[:, 0], pixels[:, 0]),
            "others": _times(mean[:, 1], pixels[:, 1]),
            "maps": [round(float(each), 3) for each in maps[:, :, 0].sum(0) / pixels[:, 0].sum()],
        }
    reader = attention_reader(list(figures["readers"]))
    if reader is not None:
        figures["attention"] = {
            "reader": reader,
            "share": figures["readers"][reader]["share"]["named"],
            "pixel_share": figures["pixel_share"]["named"],
            **figures["readers"][reader]["named"],
        }
    return figures


def attention_reader(readers: Sequence[str]) -> str | None:
    """The reader that is the policy's attention, by `ATTENTION`; None if it has none of these."""
    ranked = [name for kind in ATTENTION for name in readers if name.partition("_")[0] == kind]
    return ranked[0] if ranked else None


def _by_station(shares: np.ndarray) -> dict[str, float]:
    return {"named": round(float(shares[0]), 6), "others": round(float(shares[1]), 6)}


def _times(attention: np.ndarray, pixels: np.ndarray) -> dict[str, float | None]:
    """Attention (E,) over pixels (E,): the ratio of their sums, and its interval."""
    seen = pixels > 0.0
    if not seen.any():
        return {"times": None, "low": None, "high": None}
    rows = np.stack([attention, pixels], axis=1)[seen]
    low, high = bootstrap_interval(rows, ratio_of_sums())
    known = bool(np.isfinite([low, high]).all())
    return {
        "times": round(float(rows[:, 0].sum() / rows[:, 1].sum()), 3),
        "low": round(low, 3) if known else None,
        "high": round(high, 3) if known else None,
    }
