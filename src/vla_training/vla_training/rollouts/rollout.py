"""Episodes in the simulator to a data set."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from vla_simulation.suite_mix import seed_mistakes
from vla_training import __version__
from vla_training.dataset.head import SplitChoice
from vla_training.dataset.index import write_index
from vla_training.dataset.layout import SPLITS, EpisodeRecord, parts_folder
from vla_training.dataset.parts import PartRecord
from vla_training.errors import RolloutError
from vla_training.executors import Work, executor
from vla_training.progress import progress_bar
from vla_training.rollouts.options import RolloutOptions
from vla_training.rollouts.scene_job import SceneJob, SceneResult, drive_scene
from vla_training.selection import FIRST_SELECTION_SEED, taken_seeds

DRIVING: Final = Work(RolloutError, "driving", ": what is done is kept", single_threaded=True)


@dataclass(frozen=True)
class RolloutSummary:
    """What a rollout did.

    Attributes:
        path: The data set.
        scenes: Seeds in it.
        reused: Of these, seeds whose rows were there already.
        episodes: Episodes in it.
        split_episodes: Of these, episodes of each split by name.
        frames: Rows in it.
        new_frames: Of these, rows that were driven now.
        reasons: How often episodes ended in which way, those that were left out included.
        wall_s: Duration.
    """

    path: Path
    scenes: int
    reused: int
    episodes: int
    split_episodes: Mapping[str, int]
    frames: int
    new_frames: int
    reasons: Mapping[str, int]
    wall_s: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        rate = self.new_frames / self.wall_s if self.wall_s > 0.0 else 0.0
        return {
            "path": str(self.path),
            "scenes": self.scenes,
            "reused": self.reused,
            "episodes": self.episodes,
            "split_episodes": dict(self.split_episodes),
            "frames": self.frames,
            "new_frames": self.new_frames,
            "reasons": dict(self.reasons),
            "wall_s": round(self.wall_s, 3),
            "ticks_per_s": round(rate, 1),
        }


def rollout(
    out: Path,
    seeds: Sequence[int],
    options: RolloutOptions,
    *,
    split: SplitChoice | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> RolloutSummary:
    """Drive episodes and make a data set of them.

    Seeds whose rows are in the folder of parts already, from an earlier call with the same
    options, are not driven again, whether that call was finished or not.

    Args:
        out: The HDF5 file to make; it appears whole or not at all. Its rows are in a folder
            beside it, see `layout.parts_folder`.
        seeds: Of the scenes, each once, none of them held out.
        options: What decides the rows.
        split: How to split the episodes; those of one seed stay together.
        workers: Processes; None for as many as there are cores, at most one per seed.
        progress: Whether to show a bar.

    Raises:
        VlaError: If the policy cannot be loaded.
        RolloutError: If a value is out of range, no episode gave a row or a process died.
        DatasetError: If a file cannot be written.
    """
    started = time.monotonic()
    _check(seeds, workers)
    folder = parts_folder(out.absolute())
    jobs = [SceneJob(seed, folder, options) for seed in seeds]
    processes = max(1, min(workers or os.cpu_count() or 1, len(jobs)))
    results: dict[int, SceneResult] = {}
    frames = 0
    with progress_bar("driving", len(jobs), progress) as bar:
        for result in executor(DRIVING, processes)(drive_scene, jobs):
            results[result.seed] = result
            if result.is_new and result.part is not None:
                frames += result.part.rows
            bar.advance(f"{frames / (time.monotonic() - started):.0f} ticks/s")
    ordered = [results[seed] for seed in seeds]
    parts = [result.part for result in ordered if result.part is not None]
    if not parts:
        raise RolloutError(
            f"rollout: none of {len(jobs)} seeds gave a row ({_reasons(ordered)}), expected some; "
            "take other seeds or longer episodes"
        )
    split = split or SplitChoice()
    episodes = write_index(out, options.contract, parts, split, _provenance(options, parts))
    _tidy(folder, options.key)
    return _summary(out, ordered, parts, episodes, time.monotonic() - started)


def _check(seeds: Sequence[int], workers: int | None) -> None:
    if not seeds:
        raise RolloutError("rollout: 0 seeds, expected 1 or more")
    mistakes = seed_mistakes(min(seeds), max(seeds) - min(seeds) + 1)
    if len(set(seeds)) != len(seeds):
        mistakes.append("a seed is there twice, expected each once")
    if reserved := taken_seeds(list(seeds)):
        mistakes.append(
            f"seeds {reserved[0]} to {reserved[-1]} are reserved for choosing among policies (from "
            f"{FIRST_SELECTION_SEED} on), expected smaller ones"
        )
    if workers is not None and workers < 1:
        mistakes.append(f"workers is {workers}, expected 1 or more")
    if mistakes:
        raise RolloutError(f"rollout: {'; '.join(mistakes)}")


def _tidy(folder: Path, key: str) -> None:
    """Remove what no later call can use: unfinished files, and parts of other options."""
    for path in folder.glob("*.h5"):
        if not path.stem.endswith(key[:16]):
            path.unlink(missing_ok=True)
    for path in folder.glob(".*.partial"):
        path.unlink(missing_ok=True)


def _reasons(results: Sequence[SceneResult]) -> dict[str, int]:
    return dict(Counter(episode["reason"] for r in results for episode in r.episodes))


def _provenance(options: RolloutOptions, parts: Sequence[PartRecord]) -> dict[str, Any]:
    return {
        "bags": [
            {"path": part.head.bag, "sha256": part.head.bag_sha256, "part": part.path.name}
            for part in parts
        ],
        "options": options.described(),
        "software": {
            "vla_training": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "h5py": h5py.__version__,
        },
    }


def _summary(
    out: Path,
    results: Sequence[SceneResult],
    parts: Sequence[PartRecord],
    episodes: Sequence[EpisodeRecord],
    wall_s: float,
) -> RolloutSummary:
    splits = [episode.split for episode in episodes]
    new = [result.part for result in results if result.is_new and result.part is not None]
    return RolloutSummary(
        path=out,
        scenes=len(parts),
        reused=len(parts) - len(new),
        episodes=len(episodes),
        split_episodes={name: splits.count(number) for name, number in SPLITS.items()},
        frames=sum(episode.length for episode in episodes),
        new_frames=sum(part.rows for part in new),
        reasons=_reasons(results),
        wall_s=wall_s,
    )
