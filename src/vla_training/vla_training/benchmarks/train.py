"""How fast a policy trains: preset `act` against LeRobot's ACT, step by step in turns.

Both take optimizer steps on a batch in memory, with equal image size, batch, chunk, precision,
threads and optimizer (AdamW with clipped gradients), LeRobot by the function of its own training
script. Reading and augmenting data is not part of it (`vla bench load` compares that), and neither
is what LeRobot does to a batch before its policy sees it; our step normalises in the network and
keeps the moving average of the weights.

LeRobot's ACT has its default sizes. Ours is measured with equal sizes (backbone, transformers and
latent), with an equal backbone and the preset's smaller transformers, and as shipped, where the
backbone has group norms and is told the instruction. Where the difference comes from is measured
by taking parts of it away from our step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder
from vla_training.benchmarks.lerobot_environment import lerobot_python
from vla_training.benchmarks.lerobot_process import LEROBOT_SIZES, lerobot_act, stream_shape
from vla_training.benchmarks.training_step import WITHOUT, OurStep
from vla_training.errors import BenchmarkError
from vla_training.latency import Timing, time_in_turns
from vla_training.optimization import keep_freed_memory
from vla_training.training_config import TrainingConfig, load_training_config

MIN_RATIO: Final = 2.0
"""How many times LeRobot's throughput ours has to be, with an equal backbone."""

EQUAL_BACKBONE: Final = (
    "model.vision.film=false",
    "model.vision.resnet.channels=[64, 128, 256, 512]",
    "model.vision.resnet.blocks=[2, 2, 2, 2]",
    "model.vision.resnet.norm=affine",
)
"""What makes the backbone of preset `act` ResNet-18 with frozen batch norms, and nothing else."""

EQUAL_SIZES: Final = (
    *EQUAL_BACKBONE,
    "model.width=512",
    "model.fusion.heads=8",
    "model.fusion.feedforward=3200",
    "model.fusion.layers=4",
    "model.fusion.decoder_layers=1",
    "model.fusion.dropout=0.1",
    # LeRobot's autocast covers its transformers as well.
    "model.fusion.half=true",
    # Its layers are narrower inside (1024 for 3200): eight have the parameters of LeRobot's four.
    "model.head.cvae.layers=8",
    "model.head.cvae.heads=8",
    "model.head.cvae.latent=32",
)
"""What makes preset `act` as large as LeRobot's ACT, part by part."""

SIZES: Final[Mapping[str, tuple[str, ...]]] = {
    "equal_sizes": EQUAL_SIZES,
    "equal_backbone": EQUAL_BACKBONE,
    "as_shipped": (),
}
"""Changes to preset `act` by comparison."""

_PRESET: Final = "act"


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    contract: Path | None = None,
    peer: Path | None = None,
    no_peer: bool = False,
    batch_size: int = 32,
    threads: int = 0,
) -> dict[str, Any]:
    """`vla bench train`.

    Args:
        quick: Few steps of small batches, one precision, and with LeRobot nothing taken away.
        out: Not used: nothing is written.
        contract: Of the robot.
        peer: Environment with LeRobot, see `lerobot_environment.lerobot_python`; made there if
            need be (8 GB).
        no_peer: Leave LeRobot out.
        batch_size: Samples of a step.
        threads: Of either side; 0 for one per core.

    Returns:
        By precision: `samples_per_s` of each of `SIZES` and `lerobot`, `times_lerobot` of each of
        `SIZES`, and `share_without`, the throughput that is left without each of `WITHOUT`: median,
        lowest and highest of the rounds each; `parameters` by name and `versions`. Besides, the
        sizes, and `within_limits` by precision. Without LeRobot what is about it is missing.

    Raises:
        BenchmarkError: If no contract is given, or LeRobot cannot be used.
        ConfigurationError: If the preset does not fit the contract.
    """
    if contract is None:
        raise BenchmarkError("vla bench train needs the robot's contract to make a preset for")
    robot = Contract.load(contract)
    python = None if no_peer else lerobot_python(peer)
    threads = threads or len(os.sched_getaffinity(0))
    batch_size = 4 if quick else batch_size
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        figures = {
            precision: _compare(robot, python, precision, batch_size, threads, quick)
            for precision in (("float32",) if quick else ("bf16", "float32"))
        }
    finally:
        torch.set_num_threads(before)
    return {
        "batch_size": batch_size,
        "threads": threads,
        "image": list(stream_shape(robot, ImageDecoder)),
        "chunk": robot.action.chunk_length,
        "lerobot_sizes": dict(LEROBOT_SIZES),
        "our_sizes": {name: list(changes) for name, changes in SIZES.items()},
        **figures,
        "within_limits": {
            precision: found["times_lerobot"]["equal_backbone"]["median"] >= MIN_RATIO
            for precision, found in figures.items()
            if found["times_lerobot"]
        },
    }


def _compare(
    contract: Contract,
    python: Path | None,
    precision: str,
    batch_size: int,
    threads: int,
    quick: bool,
) -> dict[str, Any]:
    configs = {name: _config(precision, batch_size, sizes) for name, sizes in SIZES.items()}
    steps = {name: OurStep(config, contract) for name, config in configs.items()}
    equal = configs["equal_sizes"]
    if not quick or python is None:
        steps |= {f"without_{part}": OurStep(equal, contract, without=part) for part in WITHOUT}
    calls: dict[str, Callable[[int], Any]] = {**steps}
    hello: dict[str, Any] = {}
    with ExitStack() as stack:
        if python is not None:
            lerobot = stack.enter_context(lerobot_act(python, contract, equal, threads))
            calls["lerobot"], hello = lerobot, lerobot.hello
        rounds, per_round = (2 if python else 4, 1) if quick else (8, 3)
        timings = time_in_turns(calls, rounds, per_round, warm_up=1)
    ours, peer = timings["equal_sizes"], timings.get("lerobot")
    versions = {"torch": torch.__version__}
    parameters = {name: steps[name].parameters for name in SIZES}
    if peer is not None:
        versions |= {"lerobot": hello["version"], "lerobot_torch": hello["torch"]}
        parameters["lerobot"] = hello["parameters"]
    return {
        "samples_per_s": {
            name: _rate(timings[name], batch_size)
            for name in (*SIZES, "lerobot")
            if name in timings
        },
        "times_lerobot": {name: peer.ratio_to(timings[name]) for name in SIZES} if peer else {},
        "share_without": {
            name.removeprefix("without_"): ours.ratio_to(timing)
            for name, timing in timings.items()
            if name.startswith("without_")
        },
        "parameters": parameters,
        "versions": versions,
    }


def _rate(timing: Timing, batch_size: int) -> dict[str, float]:
    per_round = 1e3 * batch_size / timing.round_medians_ms
    figures = {
        "median": np.median(per_round),
        "lowest": per_round.min(),
        "highest": per_round.max(),
    }
    return {name: round(float(value), 2) for name, value in figures.items()}


def _config(precision: str, batch_size: int, sizes: tuple[str, ...]) -> TrainingConfig:
    overrides = (*sizes, f"precision={precision}", f"batch_size={batch_size}")
    return load_training_config("", "", preset=_PRESET, overrides=overrides)
