"""Trainings side by side that differ in a few values, and the table of how they did."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vla_core.errors import VlaError
from vla_training.errors import ConfigurationError, TrainingError
from vla_training.executors import Work, executor
from vla_training.progress import progress_bar
from vla_training.sweep_config import SUCCESSES, SweepConfig
from vla_training.trainer import train
from vla_training.training_checks import check_and_resolve
from vla_training.training_config import TrainingConfig

TABLE_FILE: Final = "sweep.json"
RESULT_FILE: Final = "result.json"

_WORK: Final = Work(
    error=TrainingError,
    name="training",
    remedy=": what is done is kept",
    single_threaded=True,
)


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        number: From 0.
        values: What it has of its own, by key.
        config: All of it.
        metric: What is compared.
    """

    number: int
    values: dict[str, Any]
    config: TrainingConfig
    metric: str


def sweep(
    config: SweepConfig,
    dataset: Path,
    output: Path,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Run the trials that are not done yet.

    Args:
        config: What to try.
        dataset: Data set file; workers on other machines need it at the same place.
        output: Folder; trials are in `trials/`, the table in `sweep.json`. A sweep that was
            interrupted goes on, and one with more trials keeps those that it has.
        jobs: Trainings at a time on this machine.
        scheduler: Address of a Dask scheduler, whose workers train instead.
        progress: Whether to show a bar.

    Returns:
        The table: `metric`, `keys`, `trials` (one record each, the best first) and `best`, the
        first of them that succeeded.

    Raises:
        ConfigurationError: Naming every mistake of every trial, before the first one begins.
        TrainingError: If another sweep is in the folder, or processes or the cluster fail.
    """
    trials = _trials(config, dataset, output)
    output.mkdir(parents=True, exist_ok=True)
    records = []
    run: Callable[..., Any] = executor(_WORK, jobs, scheduler)
    with progress_bar("sweeping", len(trials), progress) as bar:
        for record in run(run_trial, trials):
            records.append(record)
            bar.advance()
            bar.say(f"trial {record['number']}: {_shown(record, config.metric)}")
    sign = -1.0 if config.metric == SUCCESSES else 1.0
    records.sort(key=lambda r: (math.inf if r["value"] is None else sign * r["value"], r["number"]))
    table = {
        "metric": config.metric,
        "keys": list(config.values),
        "trials": records,
        "best": next((r for r in records if r["value"] is not None), None),
    }
    (output / TABLE_FILE).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return table


def run_trial(trial: Trial) -> dict[str, Any]:
    """Train, or take what an earlier sweep has found; a training that fails is a result, too."""
    folder = Path(trial.config.output)
    path = folder / RESULT_FILE
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    record = {"number": trial.number, "values": trial.values, "folder": str(folder), "value": None}
    try:
        result = train(trial.config, resume=True, progress=False)
        figures = {**result.metrics, SUCCESSES: result.selection.get(SUCCESSES)}
        if figures.get(trial.metric) is None:
            known = ", ".join(name for name, value in figures.items() if value is not None)
            raise TrainingError(f"metric {trial.metric} is none of those of the run: {known}")
        record |= {
            "value": figures[trial.metric],
            "steps": result.steps,
            "duration_s": round(result.duration_s, 1),
            "metrics": result.metrics,
            "selection": result.selection,
        }
    except VlaError as error:
        record["error"] = str(error)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
    return record


def table_lines(table: dict[str, Any]) -> list[str]:
    """The table as text, the best trial first."""
    keys = table["keys"]
    rows = [["trial", table["metric"], *keys, "steps", "s"]]
    for record in table["trials"]:
        value = record["value"]
        rows.append(
            [
                str(record["number"]),
                "failed" if value is None else f"{value:.6g}",
                *(str(record["values"][key]) for key in keys),
                str(record.get("steps", "-")),
                str(record.get("duration_s", "-")),
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]


def _trials(config: SweepConfig, dataset: Path, output: Path) -> list[Trial]:
    trials, mistakes = [], []
    for number, values in enumerate(config.overrides()):
        folder = output / "trials" / f"{number:04d}"
        try:
            training = config.training(number, dataset, folder)
            check_and_resolve(training, 1)
            trials.append(Trial(number, values, training, config.metric))
            if config.metric == SUCCESSES and not training.select.suite:
                raise ConfigurationError(
                    "metric successes needs closed-loop evaluations; set select.suite"
                )
        except ConfigurationError as error:
            mistakes += [f"trial {number}: {text}" for text in error.mistakes or [str(error)]]
    if mistakes:
        raise ConfigurationError(f"sweep: {'; '.join(mistakes)}", mistakes)
    for trial in trials:
        _check_same(trial, Path(trial.config.output) / RESULT_FILE)
    return trials


def _check_same(trial: Trial, path: Path) -> None:
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))["values"]
        if known != trial.values:
            raise TrainingError(
                f"{path.parent} has another trial ({known}, expected {trial.values}); use another "
                "output folder for another sweep"
            )


def _shown(record: dict[str, Any], metric: str) -> str:
    values = ", ".join(f"{key} {value}" for key, value in record["values"].items())
    outcome = record.get("error") or f"{metric} {record['value']:.6g}"
    return f"{values}: {outcome}"
