"""LeRobot's ACT trained on the same demonstrations for a given time, then driven in closed loop.

Every part stays on the disk: the data set as LeRobot reads it, the training, the episodes. A
comparison that was interrupted goes on.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from vla_simulation.suites import load_suite
from vla_training.benchmarks import lerobot_training
from vla_training.benchmarks.lerobot_environment import environment, lerobot_python
from vla_training.benchmarks.preset_runs import read_record
from vla_training.benchmarks.preset_training import write_record
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import contract_text, describe_data, observation
from vla_training.errors import BenchmarkError
from vla_training.evaluation.compare import compare
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.lerobot_policy import DESCRIPTION, PREFIX, stream_keys
from vla_training.lerobot import layout
from vla_training.lerobot.exporting import export_dataset

DATA: Final = "dataset"
POLICY: Final = "act"
LOG: Final = "training.log"
THEIRS: Final = "lerobot.json"
OURS: Final = "ours.json"
DEFAULT_OUT: Final = Path("out/lerobot_act")
QUICK_STEPS: Final = 20


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    data: Path,
    peer: Path | None = None,
    policy: str | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    learning_rate: float = 1e-4,
    pretrained: bool = False,
    seed: int = 0,
    workers: int = 0,
    suite: str = "nominal",
    episodes: int | None = None,
    swap: bool = False,
    jobs: int | None = None,
) -> dict[str, Any]:
    """`vla bench lerobot`.

    Args:
        quick: 20 steps and 4 episodes, where nothing else is said.
        out: Folder that keeps everything; `out/lerobot_act` if it is None.
        data: Data set file; LeRobot trains on its training split.
        peer: Environment with LeRobot; None for the one that benchmarks install.
        policy: Of ours, that drives the same episodes; None for none.
        minutes: Time of LeRobot's training steps, its reading of data included.
        steps: In place of a time.
        batch_size: Samples of a step.
        learning_rate: Of all weights; LeRobot's 1e-5 is meant for a backbone that knows ImageNet
            and for 100,000 steps.
        pretrained: Begin with ImageNet's weights, which LeRobot downloads.
        seed: Of weights and order.
        workers: Processes that read data; 0 for none.
        suite: Of the episodes.
        episodes: Held-out seeds; 100 if it is None.
        swap: Run every episode with another station's sentence, too.
        jobs: Processes of the episodes; None for one per core.

    Returns:
        `training`, `lerobot` and, with a policy, `ours` (the head of a report) and
        `comparison`, see `SuiteComparison.to_dict`; A is LeRobot.

    Raises:
        BenchmarkError: If the options contradict each other, LeRobot is missing, the training
            fails or `out` has another one.
        VlaError: If data, suite or policy cannot be used.
    """
    if quick and minutes is None and steps is None:
        steps = QUICK_STEPS
    episodes = (4 if quick else 100) if episodes is None else episodes
    if (minutes is None) == (steps is None):
        raise BenchmarkError("vla bench lerobot: give --minutes or --steps, one of them")
    load_suite(suite)
    out = out or DEFAULT_OUT
    python = lerobot_python(peer)
    described, hashed = _describe(data, out)
    settings = {
        **described,
        "budget": {"steps": steps} if minutes is None else {"minutes": minutes},
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "pretrained": pretrained,
        "seed": seed,
    }
    training = _train(python, out, settings, hashed, workers)
    options = {"swap": swap, "jobs": jobs}
    report = evaluate(
        f"{PREFIX}{out / POLICY}",
        suite,
        episodes,
        peer=str(python.parent.parent),
        **options,  # type: ignore[arg-type]
    )
    report.write_json(out / THEIRS)
    found = {"training": training, "lerobot": _headline(report.to_dict())}
    if policy is not None:
        ours = evaluate(policy, suite, episodes, **options)  # type: ignore[arg-type]
        ours.write_json(out / OURS)
        found["ours"] = _headline(ours.to_dict())
        (paired,) = compare(out / THEIRS, out / OURS)
        found["comparison"] = paired.to_dict()
    return found


def _describe(data: Path, out: Path) -> tuple[dict[str, Any], str]:
    """What LeRobot's training needs to know of the data set, and the hash of its episodes."""
    with DatasetFile(data) as file:
        contract = file.contract
        described = describe_data(data.name, file.episodes)
        text = contract_text(contract)
    if not (out / DATA).is_dir():
        out.mkdir(parents=True, exist_ok=True)
        export_dataset(data, out / DATA)
    arrays = json.loads((out / DATA / layout.OURS).read_text("utf-8"))["arrays"]
    names = {array: feature for feature, array in arrays.items()}
    features = {name: names[observation(key)] for name, key in stream_keys(contract).items()}
    return {
        "contract": text,
        "features": features,
        "episodes": described["training_episodes"],
        "horizon": contract.action.chunk_length,
    }, described["episodes_sha256"]


def _train(
    python: Path, out: Path, settings: dict[str, Any], hashed: str, workers: int
) -> dict[str, Any]:
    """Train, or go on, unless it is done; what was found."""
    folder = out / POLICY
    known = read_record(folder / DESCRIPTION)
    wanted = {**settings, "data": hashed}
    if known is not None:
        differing = [name for name, value in wanted.items() if known.get(name) != value]
        if differing:
            raise BenchmarkError(
                f"{folder} has another training: {', '.join(differing)} differ; use another --out"
            )
        if "training" in known:
            return dict(known["training"])
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / DESCRIPTION, wanted)
    budget = settings["budget"]
    asked = {
        **{key: value for key, value in settings.items() if key not in ("contract", "budget")},
        "root": str((out / DATA).absolute()),
        "out": str(folder.absolute()),
        "workers": workers,
        "threads": 0,
        "precision": "bf16",
        "steps": budget.get("steps"),
        "seconds": 60.0 * budget["minutes"] if "minutes" in budget else None,
    }
    log = out / LOG
    with log.open("w") as errors:
        done = subprocess.run(
            [str(python), str(Path(lerobot_training.__file__))],
            input=json.dumps(asked),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(python),
            check=False,
        )
    if done.returncode:
        last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise BenchmarkError(f"LeRobot's training failed: {last} ({log}); the next call goes on")
    training = json.loads(done.stdout.strip().splitlines()[-1])
    write_record(folder / DESCRIPTION, {**wanted, "training": training})
    return dict(training)


def _headline(report: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in report.items()
        if not key.endswith("records") and not key.startswith("by_")
    }
