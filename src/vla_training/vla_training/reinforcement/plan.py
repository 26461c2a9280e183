"""Which episodes an iteration drives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from vla_training.reinforcement.config import FinetuneConfig
from vla_training.reinforcement.driving import EpisodeJob, Trajectory

_STREAM: Final = 0x9EF
_FAILED: Final = ("wrong_station", "collision", "timeout")


def plan_iteration(
    config: FinetuneConfig, checkpoint: Path, iteration: int, failures: Sequence[int]
) -> list[EpisodeJob]:
    """The episodes of an iteration; equal arguments give equal episodes.

    Args:
        config: Of the run.
        checkpoint: Of the policy that drives.
        iteration: Its number, from 0.
        failures: Seeds of scenes at which the policy has failed.
    """
    drive = config.drive
    rng = np.random.default_rng([config.seed, iteration, _STREAM])
    first = drive.first_seed + iteration * drive.episodes
    seeds = np.arange(first, first + drive.episodes)
    again = min(round(drive.failure_share * drive.episodes), len(failures))
    if again:
        seeds[:again] = rng.choice(np.array(failures), again, replace=False)
    at_dock = np.arange(drive.episodes) < round(drive.dock_share * drive.episodes)
    rng.shuffle(at_dock)
    return [
        EpisodeJob(config, checkpoint, iteration, number, int(seed), bool(near))
        for number, (seed, near) in enumerate(zip(seeds, at_dock, strict=True))
    ]


def remember_failures(
    failures: Sequence[int], trajectories: Sequence[Trajectory], most: int
) -> list[int]:
    """The newest scenes at which the policy has failed; those that it passes now are left out.

    Args:
        failures: Those known so far, the newest last.
        trajectories: What was driven since.
        most: How many to remember.
    """
    driven = {each.seed for each in trajectories}
    failed = {each.seed for each in trajectories if each.outcome in _FAILED}
    known = [seed for seed in failures if seed not in driven]
    return [*known, *sorted(failed)][-most:] if most else []
