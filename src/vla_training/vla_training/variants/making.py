"""The variants of one export: made, measured, and those worth it chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vla_core import keys
from vla_core.bundle import write_bundle
from vla_training.checkpoints import Checkpoint
from vla_training.dataset.batch import Batch
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import EvaluationError, ExportError
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.figures import disturbance_figures
from vla_training.models import Policy
from vla_training.onnx_graph import export_onnx, input_names
from vla_training.onnx_session import make_runner
from vla_training.variants.building import Source, build_variant
from vla_training.variants.quantization_aware import fine_tune
from vla_training.variants.selection import (
    VariantOptions,
    choose,
    describe_file,
    file_name,
    measure_variants,
)


@dataclass(frozen=True)
class Variants:
    """What came of the variants of an export.

    Attributes:
        entries: Of the manifest, by name; kept or not.
        files: Graphs to put into the bundle, by their name there.
    """

    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def make_variants(
    state: Checkpoint,
    policy: Policy,
    model: Path,
    frames: Batch,
    dataset: str | Path,
    options: VariantOptions,
    *,
    progress: bool = True,
    extra_files: Mapping[str, Path] | None = None,
) -> Variants:
    """Make variants beside an exported graph and choose among them.

    Args:
        state: The checkpoint.
        policy: Its policy, in evaluation mode.
        model: Its exact graph; variants are written into the same folder.
        frames: To measure with, as the graph takes them.
        dataset: Whose training frames calibrate, and fine-tune for `int8-qat`.
        options: Which variants, and how they are chosen.
        progress: Whether to show bars.
        extra_files: Files that a bundle of the policy needs, by name.

    Raises:
        ExportError: If fine-tuning fails, or the exact graph never docks in the episodes.
        DatasetError: If the data set cannot be used.
        EvaluationError: If an episode cannot run.
    """
    if not options.names:
        return Variants()
    data = DockingDataset(dataset, "training", state.vocabulary, storage="mapped")
    names = input_names(policy)
    count = min(options.calibration_frames, len(data))
    chosen = data.batch(torch.linspace(0, len(data) - 1, count).round().long())
    chosen[keys.INSTRUCTION] = policy.language.deployed(chosen[keys.INSTRUCTION])
    aware = None
    if "int8-qat" in options.names:
        tuned = fine_tune(
            policy, data, options.qat_steps, seed=state.config.seed, progress=progress
        )
        aware = model.with_name("aware.onnx")
        export_onnx(tuned, frames, aware)
    source = Source(model, aware, {name: chosen[name].numpy() for name in names})
    paths: dict[str, Path] = {}
    failed: dict[str, dict[str, Any]] = {}
    for name in options.names:
        path = model.with_name(file_name(name))
        try:
            build_variant(name, source, path)
            make_runner(path)
            paths[name] = path
        except (ExportError, EvaluationError) as error:
            # The exact graph is good all the same; the manifest says what became of this one.
            failed[name] = {"kept": False, "reason": str(error)}
    feeds = {name: frames[name].numpy() for name in names}
    exact, measured = measure_variants(model, paths, feeds, state.contract.action)
    costs = (
        _costs(state, model, paths, options, progress, extra_files or {})
        if options.episodes
        else None
    )
    entries = choose(exact, measured, costs)
    for name, entry in entries.items():
        entry.update(describe_file(paths[name]))
        if entry["kept"]:
            entry["file"] = file_name(name)
    kept = {file_name(name): paths[name] for name, entry in entries.items() if entry["kept"]}
    return Variants({**entries, **failed}, kept)


def _costs(
    state: Checkpoint,
    model: Path,
    paths: Mapping[str, Path],
    options: VariantOptions,
    progress: bool,
    extra_files: Mapping[str, Path],
) -> Callable[[Sequence[str]], dict[str, dict[str, Any]]]:
    """What variants cost in episodes of the same seeds."""

    def costs(names: Sequence[str]) -> dict[str, dict[str, Any]]:
        tried = {name: {"kept": True, "file": file_name(name)} for name in names}
        bundle = write_bundle(
            model.with_name("candidates"),
            model,
            state.contract,
            state.statistics,
            state.vocabulary,
            {"variants": tried},
            {**extra_files, **{file_name(name): paths[name] for name in names}},
        )
        results = {
            name: evaluate(
                bundle.path,
                options.suite,
                options.episodes,
                options.seed,
                variant=name,
                jobs=options.jobs,
                progress=progress,
            ).results
            for name in ("", *names)
        }
        if not any(result.success for result in results[""]):
            raise ExportError(
                f"the exact graph docks in none of {options.episodes} episodes of suite "
                f"{options.suite}: nothing to compare variants by; train longer, or leave the "
                "episodes out"
            )
        return {
            name: {
                "suite": options.suite,
                "first_seed": options.seed,
                **disturbance_figures(results[""], results[name]),
            }
            for name in names
        }

    return costs
