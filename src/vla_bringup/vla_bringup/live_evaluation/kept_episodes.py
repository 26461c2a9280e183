"""The episodes that an evaluation has run so far, on the disk: it goes on after an interruption."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_bringup.live_evaluation.options import LiveEvaluationError
from vla_training.evaluation.rollouts import EpisodeResult
from vla_training.evaluation.traces import Trace

Key = tuple[str, int, bool]
"""Suite, seed, and whether another station's sentence was said."""


@dataclass(frozen=True)
class KeptEpisode:
    """One episode.

    Attributes:
        suite: that it was drawn from.
        result: how it went.
        trace: its way.
        wall_s: how long it took.
    """

    suite: str
    result: EpisodeResult
    trace: Trace
    wall_s: float

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.suite, self.result.seed, self.result.swapped

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "suite": self.suite,
            "result": self.result.to_dict(),
            "poses": np.round(self.trace.poses, 5).tolist(),
            "plans": [np.round(plan, 5).tolist() for plan in self.trace.plans],
            "wall_s": round(self.wall_s, 2),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> KeptEpisode:
        """What `to_dict` gave."""
        result = EpisodeResult.from_dict(fields["result"])
        poses = np.array(fields["poses"], np.float32).reshape(-1, 3)
        plans = tuple(np.array(plan, np.float32) for plan in fields["plans"])
        return cls(fields["suite"], result, Trace(result.seed, poses, plans), fields["wall_s"])


class KeptEpisodes:
    """A file of JSON lines: the settings, then one episode each.

    Args:
        path: of the file; None keeps nothing beyond this process.
        settings: that every episode depends on, as JSON can say them.

    Attributes:
        found: episodes by their key.

    Raises:
        LiveEvaluationError: the file cannot be used, or has episodes of other settings.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self.path = path
        self.found: dict[Key, KeptEpisode] = {}
        if path is None:
            return
        try:
            text = path.read_text("utf-8") if path.is_file() else ""
            whole, _, torn = text.rpartition("\n")
            if whole:
                self._read(whole.splitlines(), settings)
                if torn:  # its writer was killed; that episode runs again
                    path.write_text(f"{whole}\n", "utf-8")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(settings) + "\n", "utf-8")
        except OSError as error:
            raise LiveEvaluationError(f"{path} cannot be used: {error.strerror}") from error

    def _read(self, lines: list[str], settings: dict[str, Any]) -> None:
        try:
            kept, *rows = [json.loads(line) for line in lines]
            episodes = [KeptEpisode.from_dict(row) for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise LiveEvaluationError(
                f"{self.path} is damaged ({error}); delete it to begin anew"
            ) from error
        differing = [name for name in settings if kept.get(name) != settings[name]]
        if differing:
            told = ", ".join(f"{n} {kept.get(n)} (now {settings[n]})" for n in differing)
            raise LiveEvaluationError(
                f"{self.path} has episodes of another evaluation: {told}; give another --json, or "
                "delete that file to begin anew"
            )
        self.found = {episode.key: episode for episode in episodes}

    def add(self, episode: KeptEpisode) -> None:
        """Keep one more."""
        self.found[episode.key] = episode
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(episode.to_dict()) + "\n")

    def forget(self) -> None:
        """Delete the file: what it has is now elsewhere."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
