"""A time-indexed buffer between a policy that infers now and then and a loop that ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np


class ExecutionMode(str, Enum):
    """How overlapping chunks become one action.

    OPEN_LOOP: a chunk is used to its end before the next one.
    RECEDING_HORIZON: the newest chunk takes over at once.
    TEMPORAL_ENSEMBLE: all chunks that know the moment are averaged (Zhao et al. 2023, "Learning
        Fine-Grained Bimanual Manipulation with Low-Cost Hardware", ACT).
    """

    OPEN_LOOP = "open_loop"
    RECEDING_HORIZON = "receding_horizon"
    TEMPORAL_ENSEMBLE = "temporal_ensemble"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class _Chunk:
    stamp_ns: int
    actions: np.ndarray  # (H, A) float64

    def end_ns(self, period_ns: int) -> int:
        return self.stamp_ns + len(self.actions) * period_ns

    def covers(self, now_ns: int, period_ns: int) -> bool:
        return self.stamp_ns <= now_ns < self.end_ns(period_ns)

    def at(self, now_ns: int, period_ns: int) -> np.ndarray:
        return self.actions[(now_ns - self.stamp_ns) // period_ns]


class ActionChunkBuffer:
    """Holds chunks and gives the action for a moment.

    Action i of a chunk stamped s is for [s + i * period, s + (i + 1) * period). Actions whose time
    has passed are skipped and nothing is made up beyond the end of a chunk, so the latency of
    inference is compensated rather than added, and a policy that stops answering starves the
    buffer. Between actions nothing is interpolated.

    Not thread-safe.
    """

    def __init__(
        self,
        period_ns: int,
        mode: ExecutionMode | str = ExecutionMode.RECEDING_HORIZON,
        ensemble_decay: float = 0.01,
        replan_steps: int = 1,
        lead_ns: int = 0,
    ) -> None:
        """Start empty.

        Args:
            period_ns: time between two actions of a chunk, above 0 [ns].
            mode: how overlapping chunks become one action.
            ensemble_decay: m of TEMPORAL_ENSEMBLE. A chunk i periods newer than the oldest one
                that knows the moment weighs exp(-m * i), as in ACT: older predictions count more
                for m above 0.
            replan_steps: periods after the newest chunk's stamp when the next inference is due
                (RECEDING_HORIZON and TEMPORAL_ENSEMBLE).
            lead_ns: how long before the end of its chunk OPEN_LOOP asks for the next one; the
                inference latency, so that the buffer does not run dry between chunks [ns].

        Raises:
            ValueError: if a value is out of range.
        """
        if period_ns < 1 or replan_steps < 1 or lead_ns < 0 or not math.isfinite(ensemble_decay):
            raise ValueError(
                f"got period_ns {period_ns}, replan_steps {replan_steps}, lead_ns {lead_ns}, "
                f"ensemble_decay {ensemble_decay}; expected at least 1, 1, 0 and a finite number"
            )
        self.period_ns = int(period_ns)
        self.mode = ExecutionMode(mode)
        self.ensemble_decay = float(ensemble_decay)
        self.replan_steps = int(replan_steps)
        self.lead_ns = int(lead_ns)
        self._chunks: list[_Chunk] = []  # ascending stamps, all different

    def clear(self) -> None:
        """Forget all chunks, at the start of an episode."""
        self._chunks.clear()

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest chunk held [ns]."""
        return self._chunks[-1].stamp_ns if self._chunks else None

    def add(self, stamp_ns: int, actions: np.ndarray) -> None:
        """Take a chunk.

        A chunk with the stamp of one that is held replaces it. One that ends before the newest
        begins means that the clock was set back: all held chunks are forgotten.

        Args:
            stamp_ns: time of the observation that it was computed from [ns].
            actions: (H, A), copied; row i is for `stamp_ns + i * period_ns`.

        Raises:
            ValueError: if `actions` is no matrix, or as wide as no chunk before.
        """
        actions = np.array(actions, np.float64)
        if actions.ndim != 2 or actions.size == 0:
            raise ValueError(f"got actions of shape {actions.shape}, expected (H, A)")
        if self._chunks and self._chunks[-1].actions.shape[1] != actions.shape[1]:
            width = self._chunks[-1].actions.shape[1]
            raise ValueError(f"got actions of shape {actions.shape}, expected (H, {width})")
        actions.flags.writeable = False
        chunk = _Chunk(int(stamp_ns), actions)
        if self._chunks and chunk.end_ns(self.period_ns) <= self._chunks[-1].stamp_ns:
            self._chunks.clear()
        # Now is at or after the newest observation, so what ended before it is never asked for.
        newest_ns = max([chunk.stamp_ns, *(held.stamp_ns for held in self._chunks)])
        self._chunks = [
            held
            for held in self._chunks
            if held.end_ns(self.period_ns) > newest_ns and held.stamp_ns != chunk.stamp_ns
        ]
        self._chunks.append(chunk)
        self._chunks.sort(key=lambda held: held.stamp_ns)
        if self.mode is ExecutionMode.OPEN_LOOP:
            # The chunk in use and its successor; what is in between would never be used in full.
            del self._chunks[1:-1]

    def action_at(self, now_ns: int) -> np.ndarray | None:
        """The action for a moment.

        Args:
            now_ns: the moment [ns].

        Returns:
            (A,) float64, the caller's own copy; None where no chunk knows the moment (starved).
        """
        chunks = self._covering(now_ns)
        if not chunks:
            return None
        if self.mode is ExecutionMode.OPEN_LOOP:
            return chunks[0].at(now_ns, self.period_ns).copy()
        if self.mode is ExecutionMode.RECEDING_HORIZON:
            return chunks[-1].at(now_ns, self.period_ns).copy()
        # Relative to the oldest chunk, or to the newest for a negative decay: at most exp(0).
        reference_ns = chunks[0 if self.ensemble_decay >= 0.0 else -1].stamp_ns
        ages = np.array([(chunk.stamp_ns - reference_ns) / self.period_ns for chunk in chunks])
        weights = np.exp(-self.ensemble_decay * ages)
        weights /= weights.sum()
        return weights @ np.stack([chunk.at(now_ns, self.period_ns) for chunk in chunks])

    def depth(self, now_ns: int) -> int:
        """For how many ticks from now on there is an action, this tick included."""
        remaining_ns = [
            chunk.end_ns(self.period_ns) - int(now_ns) for chunk in self._covering(now_ns)
        ]
        return -(-max(remaining_ns, default=0) // self.period_ns)

    def needs_inference(self, now_ns: int) -> bool:
        """Whether a new chunk should be computed from the observation of this moment.

        OPEN_LOOP: when less than `lead_ns` is left; the other modes: when `replan_steps` periods
        have passed since the observation of the newest chunk. It says nothing about an inference
        that is already under way.
        """
        chunks = self._covering(now_ns)
        if not chunks:
            return True
        if self.mode is ExecutionMode.OPEN_LOOP:
            end_ns = max(chunk.end_ns(self.period_ns) for chunk in chunks)
            return end_ns - int(now_ns) <= self.lead_ns
        return int(now_ns) - chunks[-1].stamp_ns >= self.replan_steps * self.period_ns

    def _covering(self, now_ns: int) -> list[_Chunk]:
        """Chunks with an action for the moment, oldest first."""
        return [chunk for chunk in self._chunks if chunk.covers(int(now_ns), self.period_ns)]
