"""Where the figures of a run go: a file of JSON lines, and TensorBoard or MLflow if wanted."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from vla_training.errors import TrainingError

METRICS_FILE: Final = "metrics.jsonl"
TENSORBOARD_FOLDER: Final = "tensorboard"
NEEDED: Final = {"tensorboard": "tensorboard", "mlflow": "mlflow-skinny"}
"""What to install for a kind of log."""

Write = Callable[[int, Mapping[str, float]], None]


class RunLog:
    """Writes the records of a run.

    Args:
        folder: Of the run.
        kind: "none", "tensorboard" or "mlflow", besides the file.
        begin: Step of what is already in the file that this run goes on from.
        settings: The configuration by dotted key, for MLflow's parameters.

    Raises:
        TrainingError: If the folder cannot be written.
    """

    def __init__(self, folder: Path, kind: str, begin: int, settings: Mapping[str, Any]) -> None:
        self._path = folder / METRICS_FILE
        try:
            _forget_after(self._path, begin)
        except OSError as error:
            raise TrainingError(f"{self._path} cannot be written: {error}") from error
        self.close: Callable[[], None] = lambda: None
        self._write: Write = lambda step, figures: None
        if kind == "tensorboard":
            self._write, self.close = _tensorboard(folder / TENSORBOARD_FOLDER, begin)
        elif kind == "mlflow":
            self._write, self.close = _mlflow(folder, settings)

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; its `step` says when, everything else that is a number is a figure."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        self._write(record["step"], dict(_figures(record)))


def missing_package(kind: str) -> str:
    """What has to be installed for a kind of log, or empty."""
    if kind == "none" or importlib.util.find_spec(kind) is not None:
        return ""
    return NEEDED[kind]


def _figures(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and name != "step":
            yield f"{prefix}{name}", float(value)


def _forget_after(path: Path, step: int) -> None:
    """Drop what an earlier run, or the lost end of this one, has left."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except ValueError:
            break  # cut off where a run was killed
    path.write_text("".join(kept), encoding="utf-8")


def _tensorboard(folder: Path, begin: int) -> tuple[Write, Callable[[], None]]:
    from torch.utils.tensorboard import SummaryWriter

    # Readers then hide what comes after this step in earlier files.
    writer = SummaryWriter(str(folder), purge_step=begin + 1)

    def write(step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return write, writer.close


def _mlflow(folder: Path, settings: Mapping[str, Any]) -> tuple[Write, Callable[[], None]]:
    import mlflow

    # The run of an interrupted training goes on; where it is, MLFLOW_TRACKING_URI says.
    marker = folder / "mlflow_run"
    known = marker.read_text(encoding="utf-8").strip() if marker.is_file() else None
    run = mlflow.start_run(run_id=known, run_name=folder.name)
    marker.write_text(run.info.run_id + "\n", encoding="utf-8")
    if known is None:
        mlflow.log_params(dict(settings))

    def write(step: int, figures: Mapping[str, float]) -> None:
        # MLflow allows no brackets and the like in names; a slash and a dot are fine.
        mlflow.log_metrics(dict(figures), step=step)

    return write, mlflow.end_run
