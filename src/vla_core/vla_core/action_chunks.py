"""A time-indexed buffer between a policy that infers now and then and a loop that ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import numpy as np


class ExecutionMode(str, Enum):
    """How overlapping chunks become one action.

    OPEN_LOOP: a chunk is used to its end before the next one.
    RECEDING_HORIZON: the newest chunk takes over at once.
    TEMPORAL_ENSEMBLE: all chunks that know the moment are averaged (Zhao et al. 2023, "Learning
        Fine-Grained Bimanual Manipulation with Low-Cost Hardware", ACT).
    REAL_TIME_CHUNKING: the newest chunk takes over step by step from what was planned before it,
        beginning where the robot is when it arrives. The idea is that of Black, Galliker and Levine
        2025, "Real-Time Execution of Action Chunking Flow Policies": what is executed while a
        chunk is computed is frozen, and the overlap after it is drawn to the old plan with
        decaying weight. There the sampling of a flow policy is guided; a policy that gives one
        answer is blended with the old plan instead. The weight falls linearly, which for an
        overlap of given length makes the largest step of the blend smallest.
    """

    OPEN_LOOP = "open_loop"
    RECEDING_HORIZON = "receding_horizon"
    TEMPORAL_ENSEMBLE = "temporal_ensemble"
    REAL_TIME_CHUNKING = "real_time_chunking"

    def __str__(self) -> str:
        return self.value


EXECUTION_MODES: Final = tuple(mode.value for mode in ExecutionMode)
"""Names of all modes."""

DEFAULT_EXECUTION_MODE: Final = ExecutionMode.REAL_TIME_CHUNKING
"""Of the policy node, and of everything that tells how a policy does there."""


@dataclass(frozen=True)
class _Chunk:
    stamp_ns: int
    actions: np.ndarray  # (H, A) float64
    # REAL_TIME_CHUNKING: up to `blend_from_ns` the plan before this chunk counts alone, from
    # `blend_to_ns` on this chunk.
    blend_from_ns: int = 0
    blend_to_ns: int = 0

    def end_ns(self, period_ns: int) -> int:
        return self.stamp_ns + len(self.actions) * period_ns

    def covers(self, now_ns: int, period_ns: int) -> bool:
        return self.stamp_ns <= now_ns < self.end_ns(period_ns)

    def at(self, now_ns: int, period_ns: int) -> np.ndarray:
        return self.actions[(now_ns - self.stamp_ns) // period_ns]

    def share_of_older(self, now_ns: int) -> float:
        if now_ns >= self.blend_to_ns:
            return 0.0
        return min(1.0, (self.blend_to_ns - now_ns) / (self.blend_to_ns - self.blend_from_ns))


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
        mode: ExecutionMode | str = DEFAULT_EXECUTION_MODE,
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
                (all modes but OPEN_LOOP).
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
        self._taken_ns: int | None = None

    def clear(self) -> None:
        """Forget all chunks, at the start of an episode."""
        self._chunks.clear()
        self._taken_ns = None

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest chunk held [ns]."""
        return self._chunks[-1].stamp_ns if self._chunks else None

    def add(self, stamp_ns: int, actions: np.ndarray) -> None:
        """Take a chunk.

        A chunk with the stamp of one that is held replaces it. One that ends before the newest
        begins means that the clock was set back: all held chunks are forgotten. In
        REAL_TIME_CHUNKING one that is older than the newest comes too late and is left out.

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
            self.clear()
        if self.mode is ExecutionMode.REAL_TIME_CHUNKING:
            if self._chunks and chunk.stamp_ns < self._chunks[-1].stamp_ns:
                return
            chunk = self._blended(chunk)
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

    def _blended(self, chunk: _Chunk) -> _Chunk:
        """The chunk, told from when to when it takes over from what is planned without it."""
        planned = [held for held in self._chunks if held.stamp_ns != chunk.stamp_ns]
        planned_to_ns = max((held.end_ns(self.period_ns) for held in planned), default=0)
        taken_ns = self._taken_ns
        if taken_ns is None or planned_to_ns <= taken_ns:
            return chunk  # nothing of the old plan is being executed
        return replace(chunk, blend_from_ns=taken_ns, blend_to_ns=planned_to_ns)

    def take(self, now_ns: int) -> np.ndarray | None:
        """The action for a moment, to be executed now: as `action_at`, and remembered.

        What was taken last is where REAL_TIME_CHUNKING begins to blend the next chunk in.
        """
        action = self.action_at(now_ns)
        if action is not None:
            self._taken_ns = int(now_ns)
        return action

    def source_ns(self, now_ns: int) -> int | None:
        """Stamp of the newest chunk that has a say in the action for a moment; None if none has."""
        chunks = self._covering(now_ns)
        if not chunks:
            return None
        return chunks[0 if self.mode is ExecutionMode.OPEN_LOOP else -1].stamp_ns

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
        if self.mode is ExecutionMode.REAL_TIME_CHUNKING:
            action = chunks[0].at(now_ns, self.period_ns).copy()
            for chunk in chunks[1:]:
                share = chunk.share_of_older(int(now_ns))
                newer = chunk.at(now_ns, self.period_ns)
                # Where it counts for nothing, the older plan may also be no number.
                action = share * action + (1.0 - share) * newer if share else newer.copy()
            return action
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
