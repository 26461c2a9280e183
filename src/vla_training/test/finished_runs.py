"""Runs of a comparison that are finished, as far as their evaluations go."""

from pathlib import Path

from vla_training.benchmarks.preset_runs import PresetRun
from vla_training.benchmarks.preset_training import write_record


def made_up(folder: Path, outcomes: dict[str, list[list[int]]]) -> list[PresetRun]:
    """Finished runs: successes by preset, training seed and episode."""
    runs = []
    for preset, seeds in outcomes.items():
        for seed, successes in enumerate(seeds):
            run = PresetRun(preset, seed, folder / preset / str(seed), None, "hash")
            run.folder.mkdir(parents=True)
            still = ("time_s", "longitudinal_error_mm", "lateral_error_mm", "yaw_error_deg")
            starts = ("start_distance_m", "start_bearing_deg", "start_heading_deg")
            records = [
                {"seed": 1_000_000 + i, "swapped": False, "success": bool(success),
                 **dict.fromkeys((*still, *starts), 1.0)}
                for i, success in enumerate(successes)
            ]  # fmt: skip
            write_record(
                run.folder / "evaluation.json",
                {"policy": preset, "suite": "nominal", "held_out": True, "mode": "m",
                 "latency_ticks": 1, "replan_steps": 2, "records": records},
            )  # fmt: skip
            runs.append(run)
    return runs
