"""Which variants of a graph are worth keeping: faster here, and as good."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.contract_specs import ActionSpec
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_training.errors import ExportError
from vla_training.latency import Timing, time_in_turns
from vla_training.onnx_session import make_runner
from vla_training.variants.building import check_names

MIN_GAIN: Final = 0.05
"""Share of the exact graph's time that a variant has to save; less than that is noise."""

MAX_ACTION_ERROR: Final = 0.02
"""Largest 99th percentile of the difference from the exact graph's actions, as a share of their
range, where no episodes decide."""

MAX_COST_POINTS: Final = 2.0
"""Points of success that a variant may lose in paired episodes."""

_ROUNDS: Final = 15
_CALLS: Final = 20


@dataclass(frozen=True)
class VariantOptions:
    """Which variants to try, and how.

    Attributes:
        names: Of `building.VARIANTS`.
        episodes: Closed-loop episodes that each faster one is compared with the exact graph in;
            0 for none: then the difference of the actions decides.
        suite: Of these episodes.
        seed: First of these episodes; not held out, so that no choice is made on seeds that final
            figures are measured with.
        calibration_frames: Training frames that INT8 finds the ranges of activations with.
        qat_steps: Steps of fine-tuning for `int8-qat`.
        jobs: Processes of the episodes; None for one per core.

    Raises:
        ExportError: If a name is unknown or a number too small.
    """

    names: tuple[str, ...] = ()
    episodes: int = 0
    suite: str = "nominal"
    seed: int = FIRST_HELD_OUT_SEED // 2
    calibration_frames: int = 256
    qat_steps: int = 300
    jobs: int | None = None

    def __post_init__(self) -> None:
        check_names(self.names)
        lowest = {"episodes": 0, "calibration_frames": 1, "qat_steps": 1}
        mistakes = [
            f"{name} is {getattr(self, name)}, expected at least {low}"
            for name, low in lowest.items()
            if getattr(self, name) < low
        ]
        if mistakes:
            raise ExportError(f"variants: {'; '.join(mistakes)}")


@dataclass(frozen=True)
class Measurement:
    """What was measured of a variant.

    Attributes:
        timing: Of one inference.
        error: (frames, H, A) absolute difference from the exact graph's actions, as a share of
            their range.
    """

    timing: Timing
    error: np.ndarray


def measure_variants(
    exact: Path, variants: Mapping[str, Path], frames: Mapping[str, np.ndarray], action: ActionSpec
) -> tuple[Timing, dict[str, Measurement]]:
    """Times and action differences of variants, on one thread, one frame at a time.

    Args:
        exact: The graph that they are made of.
        variants: Their graphs by name.
        frames: Inputs (N, …) by name.
        action: Whose range differences are shares of.

    Returns:
        Times of the exact graph, and the measurements by name of variant.

    Raises:
        EvaluationError: If ONNX Runtime cannot load a graph.
    """
    runs = {"": make_runner(exact), **{name: make_runner(path) for name, path in variants.items()}}
    count = len(next(iter(frames.values())))
    single = [{name: value[i : i + 1] for name, value in frames.items()} for i in range(count)]

    def call(run: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Callable[[int], np.ndarray]:
        return lambda index: run(single[index % count])

    timings = time_in_turns({name: call(run) for name, run in runs.items()}, _ROUNDS, _CALLS)
    span = np.array(action.high) - np.array(action.low)
    wanted = np.concatenate([runs[""](feeds) for feeds in single])
    found = {}
    for name in variants:
        given = np.concatenate([runs[name](feeds) for feeds in single])
        found[name] = Measurement(timings[name], np.abs(given - wanted) / span)
    return timings[""], found


def choose(
    exact: Timing,
    measured: Mapping[str, Measurement],
    costs: Callable[[Sequence[str]], Mapping[str, dict[str, Any]]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Decide which variants to keep.

    Args:
        exact: Times of the exact graph.
        measured: Measurements by name.
        costs: From the names of the variants that are fast enough to what each costs in paired
            episodes, as `figures.disturbance_figures` gives it; None to decide by the actions.

    Returns:
        By name the entry of the manifest, but for the file: `kept`, `reason`, `latency_ms`,
        `latency_ratio`, `action_error` (shares of the range), `decided_by`, perhaps `episodes`.
    """
    ratios = {name: item.timing.ratio_to(exact) for name, item in measured.items()}
    fast = [name for name in measured if ratios[name]["median"] <= 1.0 - MIN_GAIN]
    paired = costs(fast) if costs and fast else {}
    entries = {}
    for name, item in measured.items():
        if name not in fast:
            reason = f"takes {ratios[name]['median']:.2f} of the exact graph's time"
        elif costs:
            reason = _cost_reason(paired[name])
        else:
            reason = _error_reason(item.error)
        entries[name] = {
            "kept": not reason,
            "reason": reason,
            "latency_ms": item.timing.to_dict(),
            "exact_latency_ms": exact.to_dict(),
            "latency_ratio": ratios[name],
            "action_error": error_figures(item.error),
            "decided_by": "paired episodes" if costs else "action error",
            **({"episodes": paired[name]} if name in paired else {}),
        }
    return entries


def _cost_reason(cost: Mapping[str, Any]) -> str:
    if cost["cost_points"] <= MAX_COST_POINTS:
        return ""
    return f"costs {cost['cost_points']:.1f} points of success in {cost['episodes']} episodes"


def _error_reason(error: np.ndarray) -> str:
    p99 = float(np.percentile(error, 99))
    if p99 <= MAX_ACTION_ERROR:
        return ""
    return f"99th percentile of the action's difference is {100 * p99:.1f} % of the range"


def error_figures(error: np.ndarray) -> dict[str, float]:
    """Mean, 99th percentile and largest value, over frames, steps and components."""
    figures = {"mean": error.mean(), "p99": np.percentile(error, 99), "max": error.max()}
    return {name: round(float(value), 7) for name, value in figures.items()}


def file_name(variant: str) -> str:
    """Of a variant's graph in a bundle."""
    return f"policy_{variant.replace('-', '_')}.onnx"


def describe_file(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a graph."""
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
