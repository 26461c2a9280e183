"""Does a scene tell which station is meant? It must not: only the sentence may.

Two probes that together see everything but the sentence are trained to name the goal and tested on
scenes that they have not seen: one sees image and scan, one the start and the true poses and looks
of all stations (a third, of both together, would lose the few numbers among the many features). If
one does better than chance, so could a policy, which would then learn to ignore the sentence. The
same probes are also trained to name the station that the robot faces, which their inputs do tell:
that they learn this shows that they would have found a leak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vla_core.keys import IMAGE, SCAN
from vla_simulation.environment import DockingEnv
from vla_simulation.scenes.scene import Scene
from vla_training.evaluation.intervals import wilson_interval

MOST_STATIONS: Final = 3
Probe = Literal["sensors", "state"]
PROBES: Final[tuple[Probe, ...]] = ("sensors", "state")
_FIRST_SEED: Final = 500_000
_FOLDS: Final = 5
_STEPS: Final = 150
_BATCH: Final = 64
_RANGE_M: Final = 8.0


@dataclass(frozen=True)
class StartViews:
    """What is known at the start of N episodes with more than one station.

    Attributes:
        images: (N, 3, h, w) float32, 0 to 1, at half the camera's resolution.
        scans: (N, beams) float32, share of the longest range.
        states: (N, F) float32: start, and pose, colour, shape and number of every station.
        counts: (N,) stations of the scene.
        goals: (N,) commanded station, counted from the left.
        faced: (N,) station nearest to the robot's line of sight.
    """

    images: np.ndarray
    scans: np.ndarray
    states: np.ndarray
    counts: np.ndarray
    goals: np.ndarray
    faced: np.ndarray

    @classmethod
    def draw(cls, episodes: int, suite: str = "nominal", seed: int = _FIRST_SEED) -> StartViews:
        """Begin episodes from `seed` on until enough of them have more than one station."""
        rows: list[tuple[np.ndarray, np.ndarray, np.ndarray, int, int, int]] = []
        env = DockingEnv(suite)
        try:
            while len(rows) < episodes:
                observation, _ = env.reset(seed=seed)
                seed += 1
                scene = env.scene
                if len(scene.stations) < 2:
                    continue
                image = observation[IMAGE][::2, ::2].transpose(2, 0, 1) / np.float32(255)
                scan = np.minimum(observation[SCAN], _RANGE_M) / _RANGE_M
                bearings = _bearings(env, scene)
                rows.append(
                    (
                        image,
                        scan.astype(np.float32),
                        _state(env, scene),
                        len(scene.stations),
                        scene.goal,
                        int(np.argmin(np.abs(bearings))),
                    )
                )
        finally:
            env.close()
        images, scans, states, counts, goals, faced = zip(*rows, strict=True)
        return cls(
            np.stack(images),
            np.stack(scans),
            np.stack(states),
            np.array(counts),
            np.array(goals),
            np.array(faced),
        )


def _bearings(env: DockingEnv, scene: Scene) -> np.ndarray:
    base = env.truth.world_from_base
    seen = [station.world_from_dock.relative_to(base) for station in scene.stations]
    return np.array([math.atan2(pose.y, pose.x) for pose in seen])


def _state(env: DockingEnv, scene: Scene) -> np.ndarray:
    base = env.truth.world_from_base
    values = [base.x, base.y, math.sin(base.yaw), math.cos(base.yaw)]
    for index in range(MOST_STATIONS):
        if index >= len(scene.stations):
            values += [0.0] * 9
            continue
        station = scene.stations[index]
        pose = station.world_from_dock.relative_to(base)
        look = station.look
        shape = float(sum(map(ord, look.shape)) % 7) / 7
        values += [1.0, pose.x, pose.y, pose.yaw, *look.rgb, shape, look.number / MOST_STATIONS]
    return np.array(values, np.float32)


class _SensorProbe(nn.Module):
    """Names a station from image and scan."""

    def __init__(self, views: StartViews) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((2, 8)),
            nn.Flatten(),
        )
        self.head = _head(32 * 16 + views.scans.shape[1])

    def forward(self, image: Tensor, scan: Tensor) -> Tensor:
        return self.head(torch.cat([self.image(image), scan], dim=1))


def _head(features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(0.2), nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, MOST_STATIONS)
    )


def _inputs(views: StartViews, probe: Probe) -> list[Tensor]:
    if probe == "sensors":
        return [torch.from_numpy(views.images), torch.from_numpy(views.scans)]
    spread = views.states.std(0) + 1e-6
    return [torch.from_numpy((views.states - views.states.mean(0)) / spread)]


def probe_accuracy(views: StartViews, labels: np.ndarray, probe: Probe, seed: int = 0) -> int:
    """How many labels a probe names right in scenes that it was not trained on.

    Args:
        views: What is known.
        labels: (N,) station that it shall name.
        probe: What it sees: "sensors" (image, scan) or "state".
        seed: Of the folds, the weights and the order of training.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    inputs, targets = _inputs(views, probe), torch.from_numpy(labels)
    absent = torch.arange(MOST_STATIONS) >= torch.from_numpy(views.counts).unsqueeze(1)
    right = 0
    for held_out in np.array_split(rng.permutation(len(labels)), _FOLDS):
        known = np.setdiff1d(np.arange(len(labels)), held_out)
        model = _SensorProbe(views) if probe == "sensors" else _head(views.states.shape[1])
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
        for _ in range(_STEPS):
            batch = rng.choice(known, min(_BATCH, len(known)), replace=False)
            optimizer.zero_grad()
            logits = model(*(values[batch] for values in inputs)).masked_fill(absent[batch], -1e9)
            nn.functional.cross_entropy(logits, targets[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(*(values[held_out] for values in inputs))
            answers = logits.masked_fill(absent[held_out], -1e9).argmax(1)
        right += int((answers == targets[held_out]).sum())
    return right


def compare_with_chance(right: int, counts: np.ndarray) -> dict[str, Any]:
    """Hold right answers against guessing one of the stations of each scene.

    Args:
        right: Right answers.
        counts: (N,) stations of each scene.

    Returns:
        Accuracy with its Wilson 95 % interval, the expected accuracy of guessing, and the
        one-sided p value of at least this many right answers by guessing (normal approximation
        of a sum of independent draws, with continuity correction).
    """
    chances = 1.0 / counts
    mean, spread = chances.sum(), math.sqrt((chances * (1 - chances)).sum())
    low, high = wilson_interval(right, len(counts))
    return {
        "accuracy": round(right / len(counts), 4),
        "wilson_low": round(low, 4),
        "wilson_high": round(high, 4),
        "chance": round(mean / len(counts), 4),
        "p_value": round(0.5 * math.erfc((right - 0.5 - mean) / spread / math.sqrt(2)), 4),
    }


def run(quick: bool = False, out: Path | None = None) -> dict[str, Any]:
    """`vla bench leak`: 1,000 starts, 200 with `quick`.

    Returns:
        Of each probe, `goal` (must not be above chance) and `faced_station` (must be).
    """
    del out  # leaves no files
    views = StartViews.draw(200 if quick else 1000)
    result: dict[str, Any] = {"starts": len(views.goals)}
    for probe in PROBES:
        for name, labels in (("goal", views.goals), ("faced_station", views.faced)):
            right = probe_accuracy(views, labels, probe)
            result[f"{probe}: {name}"] = compare_with_chance(right, views.counts)
    return result
