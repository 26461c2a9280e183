"""Presets trained on the same data, evaluated on the same episodes, and laid side by side.

Every preset is trained from several seeds by the trainer of `vla train`, each training in a process
of its own, exported, and evaluated on the same held-out seeds. One training seed of all presets is
done before the next one begins, and everything that is done stays on the disk: a comparison that
is interrupted at any moment goes on, and what there is of it can already be compared.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console

from vla_core.errors import VlaError
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_simulation.suites import load_suite
from vla_training.benchmarks.markdown_page import check_docs
from vla_training.benchmarks.preset_figures import (
    latencies,
    paired_figures,
    preset_figures,
    run_figures,
)
from vla_training.benchmarks.preset_page import write_page
from vla_training.benchmarks.preset_runs import (
    BUNDLE,
    TRAINING_RECORD,
    PresetRun,
    Trials,
    read_record,
    seconds_per_step,
)
from vla_training.benchmarks.preset_training import write_record
from vla_training.configuration import preset_names
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import describe_data
from vla_training.errors import BenchmarkError, ConfigurationError
from vla_training.export import PARITY_FRAMES
from vla_training.training_checks import check_and_resolve
from vla_training.training_config import DEFAULT_PRESET, TrainingConfig, load_training_config

SUMMARY: Final = "summary.json"
LATENCIES: Final = "latencies.json"
DEFAULT_OUT: Final = Path("out/presets")

PROBE_ROUNDS: Final = 3
PROBE_STEPS: Final = 20
PROBE: Final = ("validate_every=5", "validation_samples=1", "select.suite=''", "log=none")


@dataclass(frozen=True)
class _Trainings:
    """What is trained, on what and where.

    Attributes:
        sources: Presets, names or files, by the name of their folder.
        data: Data set file.
        out: Folder of everything.
        overrides: `key=value` texts for all of them.
    """

    sources: Mapping[str, str]
    data: Path
    out: Path
    overrides: tuple[str, ...]

    def config(
        self, name: str, folder: Path, steps: int | None, seed: int, *more: str
    ) -> TrainingConfig:
        return load_training_config(
            self.data,
            folder / "training",
            preset=self.sources[name],
            overrides=[*self.overrides, *more],
            steps=steps,
            seed=seed,
        )

    def check(self, steps: int | None) -> None:
        """Tell every mistake of every preset."""
        mistakes = []
        for name in self.sources:
            try:
                check_and_resolve(self.config(name, self.out / name, steps, 0), 1)
            except ConfigurationError as error:
                mistakes += [f"{name}: {text}" for text in error.mistakes or [str(error)]]
        if mistakes:
            raise ConfigurationError(f"presets: {'; '.join(mistakes)}", mistakes)

    def steps_in(self, seconds: float, hashed: str, rounds: int) -> dict[str, int]:
        """How many steps each preset takes in a time, by short trainings that take turns."""
        taken: dict[str, list[float]] = {name: [] for name in self.sources}
        for turn in range(rounds):
            for name in self.sources:
                _say(f"{name}: time of a step ({turn + 1} of {rounds} rounds)")
                folder = self.out / name / f"probe_{turn}"
                config = self.config(name, folder, PROBE_STEPS, 0, *PROBE)
                taken[name].append(seconds_per_step(config, hashed, folder / TRAINING_RECORD))
        return {name: max(1, round(seconds / float(np.median(s)))) for name, s in taken.items()}

    def run(self, name: str, steps: int | None, seed: int, hashed: str) -> PresetRun:
        folder = self.out / name / f"seed_{seed}"
        return PresetRun(name, seed, folder, self.config(name, folder, steps, seed), hashed)


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    data: Path,
    presets: Sequence[str] | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    suite: str = "nominal",
    episodes: int | None = None,
    swap: bool = False,
    jobs: int | None = None,
    set: Sequence[str] = (),
    docs: Path | None = None,
) -> dict[str, Any]:
    """`vla bench presets`.

    Args:
        quick: One seed, 20 steps and 4 episodes, where nothing else is said.
        out: Folder that keeps the runs; `out/presets` if it is None. What it has is not done again.
        data: Data set file.
        presets: Names or YAML files; None for all that come with the package.
        seeds: How many, from 0; 3 if it is None.
        steps: Of every training, in place of the presets' own.
        minutes: In place of steps, the time that every training may take for its steps: how long a
            step takes is measured before.
        suite: Of the episodes.
        episodes: Held-out seeds; 100 if it is None.
        swap: Run every episode with another station's sentence, too.
        jobs: Processes of the episodes; None for one per core.
        set: `key=value` overrides that all presets share.
        docs: Markdown file that receives the table between its marks.

    Returns:
        What `summary.json` has: what was compared, `presets` (figures over the training seeds),
        `runs`, `against_reference` (paired with the default preset) and `failed`.

    Raises:
        BenchmarkError: If the options contradict each other, or another comparison is in `out`.
        ConfigurationError: Naming every mistake of every preset.
        SuiteError: If the suite is unknown.
    """
    seeds = (1 if quick else 3) if seeds is None else seeds
    episodes = (4 if quick else 100) if episodes is None else episodes
    if quick and minutes is None:
        steps = steps or 20
    _check_options(seeds, episodes, steps, minutes)
    load_suite(suite)
    if docs is not None:
        check_docs(docs)
    out = out or DEFAULT_OUT
    trials = Trials(suite, episodes, swap, 64 if quick else PARITY_FRAMES, jobs)
    trainings = _Trainings(_sources(presets), data, out, tuple(set))
    trainings.check(steps)
    with DatasetFile(data) as file:
        described = describe_data(Path(data).name, file.episodes)
    hashed = described.pop("episodes_sha256")
    budget: Mapping[str, int | None] = dict.fromkeys(trainings.sources, steps)
    if minutes is not None:
        budget = trainings.steps_in(60.0 * minutes, hashed, 1 if quick else PROBE_ROUNDS)
    runs = [
        trainings.run(name, budget[name], seed, hashed)
        for seed in range(seeds)
        for name in trainings.sources
    ]
    for each in runs:
        each.training()  # what does not belong here is told before anything is computed
    comparison = {
        "data": {key: value for key, value in described.items() if key != "bags"},
        "budget": {"steps": steps} if minutes is None else {"minutes": minutes},
        "overrides": list(set),
        "suite": suite,
        "episodes": episodes,
        "first_seed": FIRST_HELD_OUT_SEED,
        "swap": swap,
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "reference": DEFAULT_PRESET if DEFAULT_PRESET in trainings.sources else None,
    }
    failed: dict[str, str] = {}
    out.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(runs, 1):
        _say(f"{each.name} ({number} of {len(runs)} runs)")
        try:
            each.carry_out(trials)
        except VlaError as error:
            failed[each.name] = str(error)
            _say(f"{each.name}: {error}")
        _summarise(comparison, runs, trials, failed, out)
    _measure_latencies(runs, out, quick)
    summary = _summarise(comparison, runs, trials, failed, out)
    if docs is not None:
        write_page(summary, docs.parent, docs)
    return summary


def _say(line: str) -> None:
    Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)


def _check_options(seeds: int, episodes: int, steps: int | None, minutes: float | None) -> None:
    mistakes = [
        f"--{name} is {value}, expected at least 1"
        for name, value in (("seeds", seeds), ("episodes", episodes))
        if value < 1
    ]
    if steps is not None and minutes is not None:
        mistakes.append("--steps and --minutes are both given; choose one")
    if minutes is not None and not 0.0 < minutes < np.inf:
        mistakes.append(f"--minutes is {minutes}, expected more than 0")
    if mistakes:
        raise BenchmarkError(f"vla bench presets: {'; '.join(mistakes)}")


def _sources(presets: Sequence[str] | None) -> dict[str, str]:
    """Presets by the name of their folder."""
    sources = list(presets or preset_names())
    names = {Path(source).stem: str(source) for source in sources}
    if len(names) < len(sources):
        raise BenchmarkError(
            f"presets {', '.join(map(str, sources))} have equal names; name each once, and give "
            "files other names"
        )
    return names


def _measure_latencies(runs: Sequence[PresetRun], out: Path, quick: bool) -> None:
    """Of the first seed's policies; a comparison that is finished measures them again."""
    bundles = {
        each.preset: each.folder / BUNDLE
        for each in runs
        if each.seed == 0 and (each.folder / BUNDLE).is_dir()
    }
    if bundles:
        timings = latencies(bundles, *((3, 5) if quick else (30, 50)))
        found = {name: timing.to_dict() for name, timing in timings.items()}
        write_record(out / LATENCIES, {"load": round(os.getloadavg()[0], 2), "ms": found})


def _summarise(
    comparison: Mapping[str, Any],
    runs: Sequence[PresetRun],
    trials: Trials,
    failed: Mapping[str, str],
    out: Path,
) -> dict[str, Any]:
    """Write what there is so far."""
    found = {each.name: run_figures(each, trials) for each in runs}
    figures = {name: each for name, each in found.items() if each is not None}
    finished = [each for each in runs if each.name in figures]
    measured = read_record(out / LATENCIES) or {}
    presets = {}
    for name in dict.fromkeys(each.preset for each in finished):
        own = [each for each in finished if each.preset == name]
        latency = measured.get("ms", {}).get(name)
        presets[name] = {**preset_figures(own, figures), "latency_ms": latency}
    reference = comparison["reference"]
    summary = {
        **comparison,
        "planned": len(runs),
        "finished": len(finished),
        "presets": presets,
        "runs": figures,
        "against_reference": paired_figures(finished, reference) if reference else {},
        "failed": dict(failed),
        "load_of_latencies": measured.get("load"),
    }
    write_record(out / SUMMARY, summary)
    write_page(summary, out)
    return summary
