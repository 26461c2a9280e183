"""How unlike its training an observation is, and whether the policy may still be trusted.

Two measures. Novelty: the Mahalanobis distance of the network's features from those of training
frames, by group of features (Lee et al., NeurIPS 2018). Restlessness: how far two chunks differ
about the ticks that both cover (temporal consistency, Agia et al., CoRL 2024). Each is averaged
over a window and divided by the limit that calibration found for it; the largest is the score.
"""

from __future__ import annotations

import io
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from vla_core.errors import BundleError

if TYPE_CHECKING:
    from vla_core.bundle import PolicyBundle
    from vla_core.contract_specs import ActionSpec

NOVELTY_FILE: Final = "novelty.npz"
"""The bundle's file with the statistics of training features."""

CHUNKS: Final = "chunks"
"""Name of the measure that compares chunks."""

_NS_PER_S = 1e9


@dataclass(frozen=True)
class FeatureGroup:
    """Statistics of some of the features on training frames.

    Attributes:
        name: such as "image".
        indices: (F,) int, which features.
        mean: (F,) float32.
        spread: (F,) float32, positive.
        whitening: (F, K) float32: features less their mean, by their spread, times this have
            variance 1 in training.
    """

    name: str
    indices: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]
    whitening: npt.NDArray[np.float32]

    def distances(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Root mean square of whitened features (B, F): (B,), about 1 on training frames."""
        whitened = ((features[:, self.indices] - self.mean) / self.spread) @ self.whitening
        return np.sqrt(np.square(whitened).mean(axis=1))


@dataclass(frozen=True)
class NoveltyModel:
    """What training frames look like to a policy.

    Attributes:
        groups: of features, judged apart.
    """

    groups: tuple[FeatureGroup, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the groups."""
        return tuple(group.name for group in self.groups)

    def distances(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The distance of features (B, F) from training, by group: (B, G) float32."""
        return np.stack([group.distances(features) for group in self.groups], axis=1)

    def to_bytes(self) -> bytes:
        """As the bundle holds it, the large matrices in half precision."""
        arrays: dict[str, Any] = {}
        for group in self.groups:
            arrays[f"{group.name}.indices"] = group.indices.astype(np.int32)
            arrays[f"{group.name}.mean"] = group.mean.astype(np.float32)
            arrays[f"{group.name}.spread"] = group.spread.astype(np.float32)
            arrays[f"{group.name}.whitening"] = group.whitening.astype(np.float16)
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> NoveltyModel:
        """Read what `to_bytes` wrote.

        Args:
            data: of the file.
            source: what to call it in an error.

        Raises:
            BundleError: it is no such file.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                names = [name.removesuffix(".mean") for name in file.files if ".mean" in name]
                groups = tuple(
                    FeatureGroup(
                        name,
                        file[f"{name}.indices"].astype(np.int64),
                        file[f"{name}.mean"].astype(np.float32),
                        file[f"{name}.spread"].astype(np.float32),
                        file[f"{name}.whitening"].astype(np.float32),
                    )
                    for name in names
                )
        except Exception as error:  # whatever numpy and zip raise for arbitrary bytes
            raise BundleError(
                f"{source}: {NOVELTY_FILE} holds no statistics of features ({error}); calibrate "
                "the bundle again (`vla calibrate`)"
            ) from error
        return cls(groups)


def load_novelty(bundle: PolicyBundle) -> NoveltyModel | None:
    """The statistics in a bundle; None where it has none, or for a variant of its graph.

    Variants round, which moves the features; they were calibrated on the exact graph.

    Raises:
        BundleError: the file is damaged.
    """
    if bundle.variant or NOVELTY_FILE not in bundle.manifest.files:
        return None
    path = Path(bundle.path, NOVELTY_FILE)
    return NoveltyModel.from_bytes(path.read_bytes(), f"policy bundle {bundle.path}")


@dataclass(frozen=True)
class ConfidenceLimits:
    """What calibration found, see `vla calibrate`.

    Attributes:
        names: of the groups of features, in the order of `NoveltyModel.distances`.
        limits: by name, of those groups and of `CHUNKS`: the mean over a window that counts as 1.
        window_s: length of the window.
        release: a doubt ends when the score falls below this.
        least: measurements before a score is given.
    """

    names: tuple[str, ...]
    limits: Mapping[str, float]
    window_s: float = 0.5
    release: float = 0.9
    least: int = 3

    @classmethod
    def of(cls, bundle: PolicyBundle) -> ConfidenceLimits | None:
        """Those of a bundle; None if it was not calibrated.

        Raises:
            BundleError: the manifest's entry is not well-formed.
        """
        entry = bundle.manifest.confidence
        if "limits" not in entry or bundle.variant:
            return None
        try:
            limits = {str(name): float(value) for name, value in entry["limits"].items()}
            chosen = cls(
                tuple(name for name in limits if name != CHUNKS),
                limits,
                float(entry["window_s"]),
                float(entry["release"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"policy bundle {bundle.path}: manifest.json: confidence is not well-formed "
                f"({error}); calibrate the bundle again (`vla calibrate`)"
            ) from error
        sound = all(value > 0.0 and math.isfinite(value) for value in limits.values())
        if not (limits and sound and chosen.window_s > 0.0 and 0.0 < chosen.release <= 1.0):
            raise BundleError(
                f"policy bundle {bundle.path}: manifest.json: confidence has limits {limits}, "
                f"window_s {chosen.window_s}, release {chosen.release}; expected positive limits, "
                "a positive window and a release up to 1; calibrate it again (`vla calibrate`)"
            )
        return chosen


@dataclass
class ConfidenceMonitor:
    """The score of a drive, one measurement per chunk.

    Args:
        limits: of the policy; None: the score stays NaN.
        action: of its contract.

    Attributes:
        score: 1 at the limit; NaN while there are too few measurements.
        worst: name of the measure that gives the score; empty without one.
        doubt: the score has passed 1, and has not fallen below the release since.
    """

    limits: ConfidenceLimits | None
    action: ActionSpec
    score: float = math.nan
    worst: str = ""
    doubt: bool = False
    _measured: deque[tuple[int, dict[str, float]]] = field(default_factory=deque)
    _chunk: tuple[int, npt.NDArray[np.float32]] | None = None

    def forget(self) -> None:
        """Another drive begins."""
        self._measured.clear()
        self._chunk = None
        self._judge({})
        self.doubt = False

    def update(
        self,
        stamp_ns: int,
        chunk: npt.NDArray[np.float32],
        distances: npt.NDArray[np.float32] | None,
    ) -> float:
        """Take a chunk in.

        Args:
            stamp_ns: tick of its frame. A gap longer than the window begins anew; an older one
                than before, as several inference processes may give, is left out.
            chunk: (H, A) [m/s, rad/s], as the policy gave it.
            distances: (G,) of its frame; None if the runtime gives none.

        Returns:
            The score.
        """
        limits = self.limits
        if limits is None:
            return self.score
        window_ns = round(limits.window_s * _NS_PER_S)
        if self._measured:
            newest_ns = self._measured[-1][0]
            if newest_ns - window_ns < stamp_ns <= newest_ns:
                return self.score
            if not newest_ns < stamp_ns <= newest_ns + window_ns:
                self.forget()
        self._measured.append((stamp_ns, self._measure(limits, stamp_ns, chunk, distances)))
        self._chunk = (stamp_ns, chunk)
        while self._measured[0][0] <= stamp_ns - window_ns:
            self._measured.popleft()
        self._judge(self.means() if len(self._measured) >= limits.least else {})
        return self.score

    def means(self) -> dict[str, float]:
        """Mean of each measure over the window, before it is divided by its limit."""
        values: dict[str, list[float]] = {}
        for _, measured in self._measured:
            for name, value in measured.items():
                values.setdefault(name, []).append(value)
        return {name: float(np.mean(each)) for name, each in values.items()}

    def _measure(
        self,
        limits: ConfidenceLimits,
        stamp_ns: int,
        chunk: npt.NDArray[np.float32],
        distances: npt.NDArray[np.float32] | None,
    ) -> dict[str, float]:
        measured: dict[str, float] = {}
        if distances is not None and len(distances) == len(limits.names):
            measured.update(zip(limits.names, map(float, distances), strict=True))
        if self._chunk is not None:
            difference = chunk_difference(*self._chunk, stamp_ns, chunk, self.action)
            if not math.isnan(difference):
                measured[CHUNKS] = difference
        return measured

    def _judge(self, means: Mapping[str, float]) -> None:
        limits = self.limits.limits if self.limits is not None else {}
        release = self.limits.release if self.limits is not None else 1.0
        scores = {name: means[name] / limits[name] for name in means if name in limits}
        self.worst = max(scores, key=lambda name: scores[name]) if scores else ""
        self.score = scores[self.worst] if scores else math.nan
        self.doubt = self.score > 1.0 or (self.doubt and not self.score < release)


def chunk_difference(
    old_ns: int,
    old: npt.NDArray[np.float32],
    new_ns: int,
    new: npt.NDArray[np.float32],
    action: ActionSpec,
) -> float:
    """How far two chunks differ about the ticks that both cover.

    Args:
        old_ns: tick of the older one's frame.
        old: (H, A) [m/s, rad/s].
        new_ns: tick of the newer one's frame.
        new: (H, A) [m/s, rad/s].
        action: gives period and ranges.

    Returns:
        Root mean square, as a share of the action's range; NaN if no tick is in both.
    """
    shift = round((new_ns - old_ns) / action.period_ns)
    if not 0 <= shift < len(old):
        return math.nan
    span = np.array(action.high) - np.array(action.low)
    both = (new[: len(old) - shift] - old[shift:]) / span
    return float(np.sqrt(np.square(both).mean()))
