"""What each part of the recipe is worth: policies that lack one, against one that has them all.

Demonstrations are driven here, in as many variants as there are ablations of the data; training,
export and evaluation are those of `vla bench presets`. One training seed of all variants is done
before the next one begins, and everything that is done stays on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console

from vla_core.contract import Contract
from vla_core.errors import VlaError
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_simulation.suites import load_suite
from vla_training.benchmarks.ablation_data import DEMONSTRATIONS, AblationData
from vla_training.benchmarks.ablation_figures import effects
from vla_training.benchmarks.ablation_page import write_page
from vla_training.benchmarks.ablation_recipe import AblationRecipe
from vla_training.benchmarks.ablation_variants import (
    REFERENCE,
    SENTENCE,
    SIZES,
    Variant,
    all_variants,
    choose,
)
from vla_training.benchmarks.markdown_page import check_docs
from vla_training.benchmarks.preset_figures import preset_figures, run_figures
from vla_training.benchmarks.preset_runs import PresetRun, Trials
from vla_training.benchmarks.preset_training import write_record
from vla_training.benchmarks.presets import PROBE_ROUNDS, PROBE_STEPS
from vla_training.errors import BenchmarkError
from vla_training.export import PARITY_FRAMES
from vla_training.training_config import DEFAULT_PRESET

SUMMARY: Final = "summary.json"
DEFAULT_OUT: Final = Path("out/ablations")


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    contract: Path,
    preset: str = DEFAULT_PRESET,
    only: Sequence[str] | None = None,
    demonstrations: int | None = None,
    sizes: Sequence[int] = SIZES,
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
    """`vla bench ablations`.

    Args:
        quick: One seed, 20 steps, 4 episodes and 8 demonstrations, where nothing else is said.
        out: Folder that keeps everything; `out/ablations` if it is None.
        contract: Of the simulated robot.
        preset: That every variant changes.
        only: Names of variants; None for all.
        demonstrations: That the reference is trained from; 200 if it is None.
        sizes: Other numbers of demonstrations.
        seeds: Trainings of each, from seed 0; 3 if it is None.
        steps: Of every training, in place of the preset's own.
        minutes: In place of steps: as many as the reference takes in this time.
        suite: Of the episodes.
        episodes: Held-out seeds; 100 if it is None.
        swap: Run every episode with another station's sentence, too.
        jobs: Processes that drive; None for one per core.
        set: `key=value` overrides that all variants share.
        docs: Markdown file that receives the tables between its marks.

    Returns:
        What `summary.json` has: what was compared, `variants` (figures over the trainings),
        `effects` (against the reference), `runs` and `failed`.

    Raises:
        BenchmarkError: If the options contradict each other, or other runs are in `out`.
        ConfigurationError: Naming every mistake of every variant.
        VlaError: If data cannot be made.
    """
    seeds = (1 if quick else 3) if seeds is None else seeds
    episodes = (4 if quick else 100) if episodes is None else episodes
    demonstrations = (8 if quick else 200) if demonstrations is None else demonstrations
    if quick and minutes is None:
        steps = steps or PROBE_STEPS
    _check_options(seeds, episodes, demonstrations, steps, minutes)
    load_suite(suite)
    if docs is not None:
        check_docs(docs)
    out = (out or DEFAULT_OUT).absolute()
    variants = choose(all_variants(demonstrations, sizes), only)
    recipe = AblationRecipe(
        out,
        AblationData(out / "data", Contract.load(contract), demonstrations, SENTENCE, jobs),
        preset,
        tuple(set),
        Trials(suite, episodes, swap, 64 if quick else PARITY_FRAMES, jobs),
    )
    recipe.check(variants, by_data=False)
    out.mkdir(parents=True, exist_ok=True)
    recipe.data.make(DEMONSTRATIONS)
    recipe.check(variants, by_data=True)
    if minutes is not None:
        steps = recipe.steps_in(minutes, 1 if quick else PROBE_ROUNDS)
    summary = _Summary(
        recipe,
        {
            "preset": preset,
            "budget": {"steps": steps, **({} if minutes is None else {"minutes": minutes})},
            "overrides": list(set),
            "suite": suite,
            "episodes": episodes,
            "first_seed": FIRST_HELD_OUT_SEED,
            "swap": swap,
            "cores": len(os.sched_getaffinity(0)),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "planned": seeds * len(variants),
        },
    )
    for number, (seed, variant) in enumerate(
        ((seed, variant) for seed in range(seeds) for variant in variants), 1
    ):
        _say(f"{variant.name}, seed {seed} ({number} of {seeds * len(variants)} runs)")
        try:
            each = recipe.run(variant, steps, seed)
            each.carry_out(recipe.trials_of(variant))
            summary.add(variant, each)
        except VlaError as error:
            summary.failed[f"{variant.name}, seed {seed}"] = str(error)
            _say(f"{variant.name}, seed {seed}: {error}")
        found = summary.write()
    if docs is not None:
        write_page(found, docs.parent, docs)
    return found


class _Summary:
    """What there is so far."""

    def __init__(self, recipe: AblationRecipe, comparison: Mapping[str, Any]) -> None:
        self._recipe, self._comparison = recipe, comparison
        self._runs: list[tuple[Variant, PresetRun]] = []
        self.failed: dict[str, str] = {}

    def add(self, variant: Variant, run: PresetRun) -> None:
        """One more run is finished."""
        self._runs.append((variant, run))

    def write(self) -> dict[str, Any]:
        """Write what there is so far."""
        found = {}
        for variant, run in self._runs:
            figures = run_figures(run, self._recipe.trials_of(variant))
            if figures is not None:
                found[run.name] = figures
        runs = [run for _, run in self._runs if run.name in found]
        variants = {}
        for variant in {each.name: each for each, _ in self._runs}.values():
            own = [run for run in runs if run.preset == variant.name]
            variants[variant.name] = {
                "says": variant.says,
                "data": self._recipe.data.described(variant.data),
                **preset_figures(own, found),
            }
        summary = {
            **self._comparison,
            "finished": len(runs),
            "variants": variants,
            "effects": effects(runs, found, REFERENCE),
            "runs": found,
            "failed": dict(self.failed),
        }
        write_record(self._recipe.out / SUMMARY, summary)
        write_page(summary, self._recipe.out)
        return summary


def _say(line: str) -> None:
    Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)


def _check_options(
    seeds: int, episodes: int, demonstrations: int, steps: int | None, minutes: float | None
) -> None:
    mistakes = [
        f"--{name} is {value}, expected at least {low}"
        for name, value, low in (
            ("seeds", seeds, 1),
            ("episodes", episodes, 1),
            ("demonstrations", demonstrations, 4),
        )
        if value < low
    ]
    if steps is not None and minutes is not None:
        mistakes.append("--steps and --minutes are both given; choose one")
    if minutes is not None and not 0.0 < minutes < np.inf:
        mistakes.append(f"--minutes is {minutes}, expected more than 0")
    if mistakes:
        raise BenchmarkError(f"vla bench ablations: {'; '.join(mistakes)}")
