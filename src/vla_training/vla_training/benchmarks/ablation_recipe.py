"""How a variant of an ablation is made: its data, its training, its evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from vla_training.benchmarks.ablation_data import DEMONSTRATIONS, VISITED, AblationData
from vla_training.benchmarks.ablation_variants import REFERENCE, Variant
from vla_training.benchmarks.preset_runs import (
    BUNDLE,
    TRAINING_RECORD,
    PresetRun,
    Trials,
    read_record,
    seconds_per_step,
)
from vla_training.benchmarks.preset_training import write_record
from vla_training.benchmarks.presets import PROBE, PROBE_STEPS
from vla_training.errors import ConfigurationError
from vla_training.pretraining import pretrain
from vla_training.pretraining_config import load_pretraining_config
from vla_training.run_keeper import CHECKPOINT_FILE
from vla_training.training_checks import check_and_resolve
from vla_training.training_config import TrainingConfig, load_training_config

BUDGET: Final = "budget.json"
PRETRAINING: Final = "pretraining"


@dataclass(frozen=True)
class AblationRecipe:
    """How every variant is made.

    Attributes:
        out: Folder of everything.
        data: Its data sets.
        preset: That all variants change.
        overrides: That all of them share.
        trials: Of the reference.
    """

    out: Path
    data: AblationData
    preset: str
    overrides: tuple[str, ...]
    trials: Trials

    def trials_of(self, variant: Variant) -> Trials:
        """How a variant is evaluated."""
        return replace(self.trials, options=variant.options)

    def config(
        self, variant: Variant, folder: Path, steps: int | None, seed: int, *more: str
    ) -> TrainingConfig:
        """Of a training, or of the reference's that a variant goes by."""
        overrides = variant.overrides if variant.trained else ()
        initial = f"initial={self.out / PRETRAINING / CHECKPOINT_FILE}"
        return load_training_config(
            self.data.path(variant.data),
            folder / "training",
            preset=self.preset,
            overrides=[
                *self.overrides,
                *overrides,
                *([initial] if variant.pretrained else []),
                *more,
            ],
            steps=steps,
            seed=seed,
        )

    def check(self, variants: Sequence[Variant], *, by_data: bool) -> None:
        """Tell every mistake of every variant.

        Args:
            variants: To be trained.
            by_data: With the reference's data, which are there.
        """
        mistakes = []
        for variant in variants:
            asked = Variant(variant.name, variant.says, overrides=variant.overrides)
            try:
                config = self.config(asked, self.out / variant.name, None, 0)
                if by_data:
                    check_and_resolve(config, 1)
            except ConfigurationError as error:
                mistakes += [f"{variant.name}: {text}" for text in error.mistakes or [str(error)]]
        if mistakes:
            raise ConfigurationError(f"ablations: {'; '.join(mistakes)}", mistakes)

    def steps_in(self, minutes: float, rounds: int) -> int:
        """How many steps the reference takes in a time; kept, so that all runs have the same."""
        kept = read_record(self.out / BUDGET)
        if kept is not None and kept["minutes"] == minutes:
            return int(kept["steps"])
        hashed = self.data.described(DEMONSTRATIONS)["episodes_sha256"]
        taken = []
        for turn in range(rounds):
            folder = self.out / "probes" / f"probe_{turn}"
            reference = Variant(REFERENCE, "")
            config = self.config(reference, folder, PROBE_STEPS, 0, *PROBE)
            taken.append(seconds_per_step(config, hashed, folder / TRAINING_RECORD))
        steps = max(1, round(60.0 * minutes / float(np.median(taken))))
        write_record(self.out / BUDGET, {"minutes": minutes, "steps": steps})
        return steps

    def run(self, variant: Variant, steps: int | None, seed: int) -> PresetRun:
        """One training and evaluation of a variant; its data are made, if they are missing.

        Raises:
            VlaError: If they cannot be made.
        """
        folder = self.out / variant.name / f"seed_{seed}"
        reference = self.out / REFERENCE / f"seed_{seed}"
        visitor = self.out / REFERENCE / "seed_0" / BUNDLE
        self.data.make(variant.data, visitor if variant.data == VISITED else None)
        if variant.pretrained:
            self._pretrain(steps)
        hashed = self.data.described(variant.data)["episodes_sha256"]
        config = self.config(variant, folder if variant.trained else reference, steps, seed)
        trained_in = None if variant.trained else reference
        return PresetRun(variant.name, seed, folder, config, hashed, trained_in)

    def _pretrain(self, steps: int | None) -> None:
        """As many steps on the reference's frames as a training has."""
        folder = self.out / PRETRAINING
        if (folder / CHECKPOINT_FILE).is_file():
            return
        config = load_pretraining_config(
            self.data.path(DEMONSTRATIONS),
            folder,
            preset=self.preset,
            overrides=[each for each in self.overrides if each.startswith("model.")],
            steps=steps,
        )
        pretrain(config)
