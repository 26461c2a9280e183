"""Mistakes of a configuration that only its data, its machine or its processes show.

All are found before the first step, and told together.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from vla_core.errors import VlaError
from vla_simulation.suites import load_suite
from vla_training.checkpoints import load_checkpoint
from vla_training.dataset.file import DatasetFile
from vla_training.errors import ConfigurationError
from vla_training.run_log import missing_package
from vla_training.selection import FIRST_SELECTION_SEED, taken_seeds
from vla_training.training_config import TrainingConfig


def check_and_resolve(config: TrainingConfig, processes: int) -> TrainingConfig:
    """Check a configuration, and fill in what depends on the number of processes.

    Args:
        config: Valid in itself.
        processes: How many train together.

    Raises:
        ConfigurationError: Naming every mistake.
    """
    mistakes = [
        *_batch_mistakes(config, processes),
        *_machine_mistakes(config, processes),
        *_file_mistakes(config),
    ]
    if mistakes:
        raise ConfigurationError(
            f"configuration of {config.output}: {'; '.join(mistakes)} "
            f"({len(mistakes)} {'mistake' if len(mistakes) == 1 else 'mistakes'})",
            mistakes,
        )
    return dataclasses.replace(config, shards=config.shards or processes * config.accumulate)


def _batch_mistakes(config: TrainingConfig, processes: int) -> Iterator[str]:
    micro_batches = processes * config.accumulate
    shards = config.shards or micro_batches
    if shards % micro_batches:
        yield (
            f"shards is {shards}, which {processes} processes with {config.accumulate} "
            f"micro-batches each cannot share; choose a multiple of {micro_batches}"
        )
    if config.batch_size % shards:
        yield (
            f"batch_size is {config.batch_size}, which cannot be cut into {shards} shards of equal "
            f"size; choose a multiple of {shards}"
        )


def _machine_mistakes(config: TrainingConfig, processes: int) -> Iterator[str]:
    package = missing_package(config.log)
    if package:
        yield f"log is {config.log!r}, which is not installed; pip install {package}"
    if config.precision == "fp16" and config.strategy == "fsdp" and processes > 1:
        yield "precision fp16 scales gradients, which strategy fsdp does not; use bf16 or ddp"
    compiler = os.environ.get("CXX", "g++")
    if config.compile and not torch.cuda.is_available() and shutil.which(compiler) is None:
        yield f"compile needs a C++ compiler, and there is no {compiler}; install one, or set CXX"


def _file_mistakes(config: TrainingConfig) -> Iterator[str]:
    if Path(config.output).exists() and not Path(config.output).is_dir():
        yield f"output {config.output} is a file; name a folder"
    seeds: list[int] = []
    try:
        with DatasetFile(config.dataset) as file:
            seeds = [record.seed for record in file.episodes]
    except VlaError as error:
        yield f"dataset: {error}"
    for key, path in (
        ("initial", config.initial),
        ("loss.reference", config.loss.reference),
        ("loss.teacher", config.loss.teacher),
    ):
        if path:
            try:
                load_checkpoint(path)
            except VlaError as error:
                yield f"{key}: {error}"
    if not config.select.suite:
        return
    try:
        if load_suite(config.select.suite).evaluation_only:
            yield (
                f"select.suite {config.select.suite!r} is for evaluation only: a policy chosen by "
                "it would no longer be new to it; choose by another suite"
            )
    except VlaError as error:
        yield f"select.suite: {error}"
    taken = taken_seeds(seeds)
    if taken:
        yield (
            f"select: the data set has {len(taken)} episodes with seeds that choose among "
            f"checkpoints, such as {taken[0]}; record training episodes with seeds below "
            f"{FIRST_SELECTION_SEED}"
        )
