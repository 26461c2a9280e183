"""How long one inference takes on one thread: ONNX Runtime, and PyTorch with the same weights.

Every preset is exported with random weights (or checkpoints with theirs), and the runtimes take
turns on the same frames, one at a time as on a robot: the graph on ONNX Runtime, the module in
PyTorch eager and compiled, and the graph on OpenVINO where it is installed.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from vla_core import keys
from vla_core.contract import Contract
from vla_training.benchmarks.untrained import random_batch, untrained_policy, vocabulary
from vla_training.checkpoints import load_checkpoint
from vla_training.configuration import preset_names
from vla_training.dataset.batch import Batch
from vla_training.errors import BenchmarkError
from vla_training.latency import Timing, time_in_turns
from vla_training.models import Policy
from vla_training.onnx_graph import export_onnx, input_names, parity_error
from vla_training.onnx_session import make_runner
from vla_training.training_config import load_training_config

MAX_RATIO: Final = 0.5
"""What ONNX Runtime may take, in units of PyTorch eager."""

MAX_MS: Final = 25.0
"""What one inference of the preset `docking` may take on one core."""

_FRAMES: Final = 32

Call = Callable[[int], Any]


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    contract: Path | None = None,
    presets: Sequence[str] | None = None,
    checkpoints: Sequence[Path] | None = None,
    no_compile: bool = False,
) -> dict[str, Any]:
    """`vla bench infer`.

    Args:
        quick: Fewer inferences, and nothing compiled.
        out: Folder for the graphs; None for a temporary one.
        contract: Of the robot; needed for presets.
        presets: Names or YAML files; None for all that come with the package, unless checkpoints
            are given.
        checkpoints: Trained policies to measure as well.
        no_compile: Leave out `torch.compile`, which takes a minute or more a policy.

    Returns:
        By policy: `parameters`, `graph_mb`, `parity_error` [m/s, rad/s]; by runtime p50, p99 and
        the lowest and highest median of a round [ms]; `ratio_to_eager` by runtime (median, lowest
        and highest over the rounds), `not_measured` with the reason, and `within_limits`.

    Raises:
        BenchmarkError: If presets are to be measured and no contract is given.
        ExportError: If a policy cannot be exported.
        ConfigurationError: If a preset is unknown or does not fit the contract.
        TrainingError: If a checkpoint cannot be used.
    """
    rounds, per_round = (5, 10) if quick else (30, 50)
    names = list(presets) if presets else [] if checkpoints else list(preset_names())
    policies = {Path(name).stem: (lambda name=name: _untrained(name, contract)) for name in names}
    for path in checkpoints or ():
        policies[str(path)] = lambda path=path: _trained(path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(dir=out) as folder:
            return {
                name: _measure(
                    *make(),
                    Path(folder) / f"{index}.onnx",
                    rounds=rounds,
                    per_round=per_round,
                    compiled=not (quick or no_compile),
                )
                for index, (name, make) in enumerate(policies.items())
            }
    finally:
        torch.set_num_threads(threads)


def _untrained(preset: str, contract: Path | None) -> tuple[Policy, Contract, int]:
    if contract is None:
        raise BenchmarkError("vla bench infer needs the robot's contract to make a preset for")
    robot = Contract.load(contract)
    policy = untrained_policy(load_training_config("", "", preset=preset), robot).eval()
    return policy, robot, vocabulary().size


def _trained(path: Path) -> tuple[Policy, Contract, int]:
    state = load_checkpoint(path)
    return state.policy(), state.contract, state.vocabulary.size


def _measure(
    policy: Policy,
    contract: Contract,
    words: int,
    graph: Path,
    *,
    rounds: int,
    per_round: int,
    compiled: bool,
) -> dict[str, Any]:
    batch = random_batch(contract, _FRAMES)
    # A trained policy may know less words than the made-up sentences have.
    numbers = batch[keys.INSTRUCTION].clamp_(max=words - 1)
    batch[keys.INSTRUCTION] = policy.language.deployed(numbers)
    export_onnx(policy, batch, graph)
    calls, missing = _calls(policy, graph, batch, compiled)
    with torch.inference_mode():
        timings = time_in_turns(calls, rounds, per_round)
    ratios = {
        name: timing.ratio_to(timings["eager"])
        for name, timing in timings.items()
        if name != "eager"
    }
    return {
        "parameters": sum(parameter.numel() for parameter in policy.parameters()),
        "graph_mb": round(graph.stat().st_size / 1e6, 2),
        "parity_error": float(parity_error(policy, graph, batch).max()),
        "inferences": rounds * per_round,
        "ms": {name: timing.to_dict() for name, timing in timings.items()},
        "ratio_to_eager": ratios,
        "not_measured": missing,
        "within_limits": _within_limits(timings, ratios),
    }


def _within_limits(
    timings: Mapping[str, Timing], ratios: Mapping[str, Mapping[str, float]]
) -> dict[str, bool]:
    return {
        "ratio": ratios["onnxruntime"]["median"] <= MAX_RATIO,
        "ms": timings["onnxruntime"].to_dict()["p50"] < MAX_MS,
    }


def _calls(
    policy: Policy, graph: Path, batch: Batch, compiled: bool
) -> tuple[dict[str, Call], dict[str, str]]:
    """One inference by runtime, and why others are not there."""
    names = input_names(policy)
    inputs = [tuple(batch[name][i : i + 1] for name in names) for i in range(_FRAMES)]
    feeds = [
        {name: value.numpy() for name, value in zip(names, frame, strict=True)} for frame in inputs
    ]
    runner = make_runner(graph)
    calls: dict[str, Call] = {
        "onnxruntime": lambda index: runner(feeds[index % _FRAMES]),
        "eager": lambda index: policy(*inputs[index % _FRAMES]),
    }
    missing: dict[str, str] = {}
    if compiled:
        faster = torch.compile(policy)
        try:
            with torch.inference_mode():
                faster(*inputs[0])
            calls["compiled"] = lambda index: faster(*inputs[index % _FRAMES])
        except Exception as error:
            # Whatever the compiler and the C++ compiler behind it raise.
            missing["compiled"] = str(error).strip().splitlines()[0]
    else:
        missing["compiled"] = "left out"
    if importlib.util.find_spec("openvino"):
        request = _openvino(graph)
        calls["openvino"] = lambda index: request(feeds[index % _FRAMES])
    else:
        missing["openvino"] = "not installed"
    return calls, missing


def _openvino(graph: Path) -> Callable[[Mapping[str, np.ndarray]], Any]:
    import openvino

    options = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    return openvino.Core().compile_model(str(graph), "CPU", options)
