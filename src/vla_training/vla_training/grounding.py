"""Learning what the words of an instruction mean in the image.

Two terms for a policy that points (see `models.vision.pointer`). Both know where the station is in
the image from its pose, which is a label, and the camera's place on the robot:

- pointing: the station's pixels have to be what the sentence points at, or "not in view".
- contrast: the sentences that name a station have to match its pixels better than those that name
  another one do, and the other way round; over all sentences and stations of a batch. InfoNCE, van
  den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018, with all the
  sentences that name the station as positives.

From actions and poses alone the meaning of a colour is hardly learned at all: where two stations
are in view, each sample tells no more than one bit about it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vla_core import keys
from vla_training.configuration import bounded
from vla_training.dataset.batch import DOCK_POSE_KNOWN, PARAPHRASES, SHARD, Batch
from vla_training.models.vision.pointer import Pointing
from vla_training.weighted_means import masked_mean

_NEAREST_M = 0.1
_LOWEST = -1e9


@dataclass(frozen=True)
class MountConfig:
    """Where the camera is and what it sees, roughly: a position is eight pixels wide.

    Attributes:
        vertical_fov_deg: Vertical field of view of the image before it is cropped.
        aspect: Width by height of that image.
        forward_m: Before base_link.
        height_m: Above the floor.
        pitch_down_deg: Of the optical axis.
    """

    vertical_fov_deg: float = bounded(78.0, 1.0, 170.0)
    aspect: float = bounded(4.0 / 3.0, 0.1, 10.0)
    forward_m: float = bounded(0.0, -5.0, 5.0)
    height_m: float = bounded(0.46, 0.0, 5.0)
    pitch_down_deg: float = bounded(20.0, -80.0, 80.0)


@dataclass(frozen=True)
class StationBoxConfig:
    """The station as a box in the frame of the docked robot.

    Attributes:
        front_m: Its front.
        back_m: Its back.
        half_width_m: To each side.
        bottom_m: Above the floor.
        top_m: Above the floor, its sign included.
    """

    front_m: float = bounded(0.33, -5.0, 5.0)
    back_m: float = bounded(0.48, -5.0, 5.0)
    half_width_m: float = bounded(0.26, 0.01, 5.0)
    bottom_m: float = bounded(0.02, 0.0, 5.0)
    top_m: float = bounded(1.05, 0.01, 5.0)


@dataclass(frozen=True)
class GroundingConfig:
    """Weights of the terms, and the geometry that they need.

    Attributes:
        pointing: Weight of the first term.
        contrast: Weight of the second.
        camera: Of the robot.
        station: Of the kind that is docked at.
    """

    pointing: float = bounded(0.0, 0.0, 100.0)
    contrast: float = bounded(0.0, 0.0, 100.0)
    camera: MountConfig = field(default_factory=MountConfig)
    station: StationBoxConfig = field(default_factory=StationBoxConfig)


def grounding_terms(pointing: Pointing, batch: Batch, config: GroundingConfig) -> dict[str, Tensor]:
    """Both terms by name.

    Args:
        pointing: Of the policy.
        batch: Of `DockingDataset.batch`. Without the paraphrases that it draws with a generator
            there is no contrast.
        config: Geometry.
    """
    known = batch[DOCK_POSE_KNOWN]
    pose = torch.where(known[:, None], batch[keys.DOCK_POSE], 0.0)
    shape = (pointing.height, pointing.width)
    pixels = station_mask(pose, config, shape, pointing.crop).flatten(1)
    seen = pixels.any(dim=1)
    target = torch.cat([pixels, ~seen[:, None]], dim=1)
    likely = pointing.scores.masked_fill(~target, _LOWEST).logsumexp(dim=1)
    terms = {"pointing": masked_mean(-likely, known)}
    if PARAPHRASES in batch:
        shard = batch.get(SHARD, known.long() * 0)
        together = shard[:, None] == shard
        terms["contrast"] = contrast(
            pointing, pixels, known & seen, sentence_matches(batch), together
        )
    return terms


def contrast(
    pointing: Pointing, pixels: Tensor, usable: Tensor, matches: Tensor, together: Tensor
) -> Tensor:
    """How badly sentences and stations of a batch find each other [nat].

    Args:
        pointing: (B, ...).
        pixels: (B, P) bool: the station of each sample.
        usable: (B,) bool: it is in view.
        matches: (B, B) bool: row, the station of a sample; column, the sentence of a sample names
            it.
        together: (B, B) bool: which samples are compared with each other.
    """
    inside = pixels.to(pointing.keys)
    stations = (inside.unsqueeze(1) @ pointing.keys).squeeze(1)
    stations = stations / inside.sum(1, keepdim=True).clamp(min=1.0)
    scores = stations @ pointing.query.T
    compared = together & usable[:, None]
    named = matches & compared
    scores = scores.masked_fill(~compared, _LOWEST)
    positive = scores.masked_fill(~named, _LOWEST)
    by_station = scores.logsumexp(1) - positive.logsumexp(1)
    by_sentence = scores.logsumexp(0) - positive.logsumexp(0)
    return masked_mean(by_station, usable) + masked_mean(by_sentence, named.any(dim=0))


def sentence_matches(batch: Batch) -> Tensor:
    """Whose station each sentence of a batch names: (B, B) bool, stations by sentences."""
    said, ways = batch[keys.INSTRUCTION], batch[PARAPHRASES]
    # Equal sentences have equal sums; others have them with a probability of about 1e-19.
    factors = torch.randint(
        -(2**62), 2**62, (said.shape[1],), generator=torch.Generator().manual_seed(1)
    ).to(said.device)
    sums, wanted = (ways * factors).sum(-1), (said * factors).sum(-1)
    matches = (sums[:, :, None] == wanted).any(dim=1)
    return matches | torch.eye(len(said), dtype=torch.bool, device=said.device)


def station_mask(
    pose: Tensor,
    config: GroundingConfig,
    shape: tuple[int, int],
    crop: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
) -> Tensor:
    """Which positions of the image show the station: the frame around its box.

    Whatever stands before it is not known; lens distortion is left out.

    Args:
        pose: (B, 3) of the station in the base frame: x [m], y [m], yaw [rad].
        config: Camera and box.
        shape: Rows and columns of the map.
        crop: Shares cut off at top, bottom, left and right.

    Returns:
        (B, h, w) bool.
    """
    box, camera = config.station, config.camera
    corners = torch.tensor(
        [
            (x, y, z)
            for x in (box.front_m, box.back_m)
            for y in (-box.half_width_m, box.half_width_m)
            for z in (box.bottom_m, box.top_m)
        ],
        device=pose.device,
    )
    x, y, yaw = (pose[:, k, None] for k in range(3))
    ahead = x + yaw.cos() * corners[:, 0] - yaw.sin() * corners[:, 1] - camera.forward_m
    left = y + yaw.sin() * corners[:, 0] + yaw.cos() * corners[:, 1]
    up = corners[:, 2] - camera.height_m
    pitch = math.radians(camera.pitch_down_deg)
    depth = ahead * math.cos(pitch) - up * math.sin(pitch)
    below = -(ahead * math.sin(pitch) + up * math.cos(pitch))
    half = math.tan(0.5 * math.radians(camera.vertical_fov_deg))
    before = (depth > _NEAREST_M).all(dim=1)
    depth = depth.clamp(min=_NEAREST_M)
    top, bottom, cut_left, cut_right = crop
    # From shares of the whole image to positions of what is left of it.
    down = (0.5 + 0.5 * below / (depth * half) - top) / (1.0 - top - bottom) * shape[0]
    across = 0.5 - 0.5 * left / (depth * half * camera.aspect)
    across = (across - cut_left) / (1.0 - cut_left - cut_right) * shape[1]
    rows = _between(down, shape[0])
    columns = _between(across, shape[1])
    return rows[:, :, None] & columns[:, None, :] & before[:, None, None]


def _between(edges: Tensor, count: int) -> Tensor:
    """Positions whose middle is between the least and the greatest of edges (B, n): (B, count)."""
    middles = torch.arange(count, device=edges.device) + 0.5
    low, high = edges.amin(dim=1, keepdim=True), edges.amax(dim=1, keepdim=True)
    return (middles >= low) & (middles <= high)
