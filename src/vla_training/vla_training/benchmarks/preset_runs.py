"""One run of a comparison of presets: trained, exported and evaluated, or taken from the disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vla_core.bundle import MANIFEST_FILE
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_training.benchmarks.preset_training import write_record
from vla_training.configuration import flatten, to_dict
from vla_training.errors import BenchmarkError
from vla_training.evaluation.evaluate import evaluate
from vla_training.export import PARITY_FRAMES, export_bundle
from vla_training.run_keeper import BEST_FILE, CHECKPOINT_FILE
from vla_training.run_log import METRICS_FILE
from vla_training.training_config import TrainingConfig

TRAINING_RECORD: Final = "training.json"
EVALUATION_RECORD: Final = "evaluation.json"
BUNDLE: Final = "bundle"

_SHOWN_DIFFERENCES: Final = 3


@dataclass(frozen=True)
class Trials:
    """How every policy is evaluated.

    Attributes:
        suite: Of the episodes.
        episodes: Held-out seeds, the same for all policies.
        swap: Also with another station's sentence.
        parity_frames: On which a graph is compared with PyTorch.
        jobs: Processes of the episodes; None for one per core.
        options: Further ones of `evaluate`.
    """

    suite: str = "nominal"
    episodes: int = 100
    swap: bool = False
    parity_frames: int = PARITY_FRAMES
    jobs: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PresetRun:
    """A preset trained from one seed.

    Attributes:
        preset: Name.
        seed: Of the training.
        folder: Of everything that is kept of the run.
        config: Of the training.
        data: Hash of the episodes that it trains on.
        trained_in: Folder of the run whose policy it evaluates; None for its own.
    """

    preset: str
    seed: int
    folder: Path
    config: TrainingConfig
    data: str
    trained_in: Path | None = None

    @property
    def training_folder(self) -> Path:
        """Where its policy comes from."""
        return self.trained_in or self.folder

    @property
    def bundle(self) -> Path:
        """Its policy."""
        return self.training_folder / BUNDLE

    @property
    def name(self) -> str:
        """For messages and records."""
        return f"{self.preset}, seed {self.seed}"

    def training(self) -> dict[str, Any] | None:
        """What the training found; None if there is none yet.

        Raises:
            BenchmarkError: If another training is in the folder.
        """
        return known_training(self.config, self.data, self.training_folder / TRAINING_RECORD)

    def evaluation(self, trials: Trials) -> dict[str, Any] | None:
        """What these episodes found; None if they have not run."""
        found = read_record(self.folder / EVALUATION_RECORD)
        wanted = (trials.suite, trials.episodes, FIRST_HELD_OUT_SEED, trials.swap)
        if found is None or wanted != (
            found["suite"],
            found["episodes"],
            found["first_seed"],
            "swap_pairs" in found,
        ):
            return None
        return found

    def carry_out(self, trials: Trials) -> None:
        """Do what is not done yet.

        Raises:
            BenchmarkError: If the training fails, or another one is in the folder.
            VlaError: If export or evaluation fails.
        """
        train_apart(self.config, self.data, self.training_folder / TRAINING_RECORD)
        bundle = self.bundle
        if not (bundle / MANIFEST_FILE).is_file():
            best = Path(self.config.output, BEST_FILE)
            export_bundle(
                best if best.is_file() else self.config.output,
                bundle,
                dataset=self.config.dataset,
                parity_frames=trials.parity_frames,
            )
        if self.evaluation(trials) is None:
            report = evaluate(
                bundle,
                trials.suite,
                trials.episodes,
                swap=trials.swap,
                jobs=trials.jobs,
                **trials.options,
            )
            self.folder.mkdir(parents=True, exist_ok=True)
            write_record(self.folder / EVALUATION_RECORD, report.to_dict())


def train_apart(config: TrainingConfig, data: str, path: Path) -> dict[str, Any]:
    """Train in a process of its own, unless that is done.

    Args:
        config: Of the training; one that was interrupted goes on.
        data: Hash of the episodes that it trains on.
        path: Of the record.

    Returns:
        The record: `config`, `data`, `steps`, `samples`, `training_s`, `samples_per_s`,
        `parameters`, `metrics`, `peak_memory_mb` and `load`, before and after.

    Raises:
        BenchmarkError: If it fails, or another training is in the folder.
    """
    known = known_training(config, data, path)
    if known is not None:
        return known
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of a failure
    wanted = path.with_suffix(".wanted.json")
    write_record(wanted, {"config": to_dict(config), "data": data})
    command = [sys.executable, "-m", "vla_training.benchmarks.preset_training"]
    # Its standard input ends with this process, and so does it, however this one is ended.
    with subprocess.Popen([*command, str(wanted), str(path)], stdin=subprocess.PIPE) as process:
        code = process.wait()
    record = read_record(path) or {}
    if code or "error" in record:
        reason = record.get("error") or f"its process ended with code {code} (out of memory?)"
        raise BenchmarkError(f"training {path.parent} failed: {reason}; the next call goes on")
    wanted.unlink()
    return record


def known_training(config: TrainingConfig, data: str, path: Path) -> dict[str, Any] | None:
    """The record of a training that is done; None if there is none.

    Raises:
        BenchmarkError: If it is that of another configuration or other data.
    """
    record = read_record(path)
    if record is None or "error" in record:
        return None
    wanted, found = _flat(to_dict(config)), _flat(record["config"])
    differences = [
        f"{key} was {found.get(key)!r} and is {wanted.get(key)!r}"
        for key in sorted(wanted.keys() | found.keys())
        if found.get(key) != wanted.get(key)
    ]
    if record["data"] != data:
        differences.insert(0, "the data set has other episodes")
    if differences:
        shown = "; ".join(differences[:_SHOWN_DIFFERENCES])
        raise BenchmarkError(
            f"{path} is of another training: {shown}; use another --out for another comparison"
        )
    return record


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """By dotted key, without where files are."""
    # JSON knows no tuples.
    flat = flatten(json.loads(json.dumps(config)))
    return {key: value for key, value in flat.items() if key not in ("dataset", "output")}


def read_record(path: Path) -> dict[str, Any] | None:
    """A JSON file; None if there is none.

    Raises:
        BenchmarkError: If it is damaged.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no mapping")
        return found
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"record {path} is damaged ({error}); delete it") from error


def seconds_per_step(config: TrainingConfig, data: str, path: Path) -> float:
    """How long a step of a short training takes here, the first ones left out.

    Args:
        config: Of the short training, with at least two validations.
        data: Hash of the episodes that it trains on.
        path: Of its record.

    Raises:
        BenchmarkError: If it fails.
    """
    train_apart(config, data, path)
    folder = Path(config.output)
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    lines = (folder / METRICS_FILE).read_text("utf-8").splitlines()
    first, *_, last = [json.loads(line) for line in lines]
    return (last["training_s"] - first["training_s"]) / (last["step"] - first["step"])
