"""How fast a policy trains: preset `act` against LeRobot's ACT, step by step in turns.

Both take optimizer steps on a batch in memory, with equal image size, batch, chunk, precision,
threads and optimizer (AdamW with clipped gradients), LeRobot by the function of its own training
script. Reading and augmenting data is not part of it (`vla bench load` compares that), and neither
is what LeRobot does to a batch before its policy sees it; our step normalises in the network and
keeps the moving average of the weights.

Two comparisons: with equal sizes (the backbone, the transformers and the latent of LeRobot's
defaults in both), and as shipped (our preset's sizes against LeRobot's defaults). Where the
difference comes from is measured by taking parts of it away from our step.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, ScanDecoder
from vla_training.benchmarks.lerobot_environment import environment, lerobot_python
from vla_training.benchmarks.untrained import random_batch, untrained_policy
from vla_training.errors import BenchmarkError
from vla_training.latency import Timing, time_in_turns
from vla_training.models.layers import FrozenNormConv2d
from vla_training.optimization import WeightAverage, keep_freed_memory, make_optimizer
from vla_training.training_config import TrainingConfig, load_training_config
from vla_training.training_step import TrainingStep

MIN_RATIO: Final = 2.0
"""How many times LeRobot's throughput ours has to be, with equal sizes."""

LEROBOT_SIZES: Final[Mapping[str, Any]] = {
    "vision_backbone": "resnet18",
    "dim_model": 512,
    "n_heads": 8,
    "dim_feedforward": 3200,
    "n_encoder_layers": 4,
    "n_decoder_layers": 1,
    "n_vae_encoder_layers": 4,
    "latent_dim": 32,
    "dropout": 0.1,
}
"""LeRobot's defaults, said aloud."""

EQUAL_SIZES: Final = (
    "model.vision.film=false",
    "model.vision.resnet.channels=[64, 128, 256, 512]",
    "model.vision.resnet.blocks=[2, 2, 2, 2]",
    "model.vision.resnet.norm=affine",
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

WITHOUT: Final = ("channels_last", "folded_norms", "fused_optimizer")
"""What is taken away from our step, one at a time."""

_PRESET: Final = "act"


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    contract: Path | None = None,
    peer: Path | None = None,
    batch_size: int = 32,
    threads: int = 0,
) -> dict[str, Any]:
    """`vla bench train`.

    Args:
        quick: Few steps of small batches, one precision, and nothing taken away.
        out: Not used: nothing is written.
        contract: Of the robot.
        peer: Environment with LeRobot, see `lerobot_environment.lerobot_python`; made there if
            need be (8 GB).
        batch_size: Samples of a step.
        threads: Of either side; 0 for one per core.

    Returns:
        By precision: `samples_per_s` of `ours`, `ours_as_shipped`, `lerobot` (median, lowest and
        highest of the rounds), `times_lerobot` of ours with equal sizes and as shipped, and
        `share_without`, the throughput that is left without each of `WITHOUT`.
        `parameters` by name, `versions`, and the sizes.

    Raises:
        BenchmarkError: If no contract is given, or LeRobot cannot be used.
        ConfigurationError: If the preset does not fit the contract.
    """
    if contract is None:
        raise BenchmarkError("vla bench train needs the robot's contract to make a preset for")
    robot = Contract.load(contract)
    python = lerobot_python(peer)
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
        "image": list(_shape(robot, ImageDecoder)),
        "chunk": robot.action.chunk_length,
        "lerobot_sizes": dict(LEROBOT_SIZES),
        "our_sizes": list(EQUAL_SIZES),
        **figures,
        "within_limits": {
            precision: found["times_lerobot"]["equal_sizes"]["median"] >= MIN_RATIO
            for precision, found in figures.items()
        },
    }


def _compare(
    contract: Contract, python: Path, precision: str, batch_size: int, threads: int, quick: bool
) -> dict[str, Any]:
    equal = _config(precision, batch_size, EQUAL_SIZES)
    shipped = _config(precision, batch_size, ())
    steps = {
        "ours": OurStep(equal, contract),
        "ours_as_shipped": OurStep(shipped, contract),
    }
    if not quick:
        steps |= {f"without_{part}": OurStep(equal, contract, without=part) for part in WITHOUT}
    with _lerobot(python, contract, equal, threads) as lerobot:
        calls: dict[str, Callable[[int], Any]] = {
            **{name: lambda index, step=step: step() for name, step in steps.items()},
            "lerobot": lambda index: lerobot.step(),
        }
        rounds, per_round = (2, 1) if quick else (8, 3)
        timings = time_in_turns(calls, rounds, per_round, warm_up=1)
        hello = lerobot.hello
    rates = {name: _rate(timing, batch_size) for name, timing in timings.items()}
    ours = timings["ours"]
    return {
        "samples_per_s": {name: rates[name] for name in ("ours", "ours_as_shipped", "lerobot")},
        "times_lerobot": {
            "equal_sizes": timings["lerobot"].ratio_to(ours),
            "as_shipped": timings["lerobot"].ratio_to(timings["ours_as_shipped"]),
        },
        "share_without": {
            name.removeprefix("without_"): ours.ratio_to(timing)
            for name, timing in timings.items()
            if name.startswith("without_")
        },
        "parameters": {
            "ours": steps["ours"].parameters,
            "ours_as_shipped": steps["ours_as_shipped"].parameters,
            "lerobot": hello["parameters"],
        },
        "versions": {
            "torch": torch.__version__,
            "lerobot": hello["version"],
            "lerobot_torch": hello["torch"],
        },
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


class OurStep:
    """One optimizer step as the trainer takes it, on a batch in memory.

    Args:
        config: Of the run.
        contract: Of the robot.
        without: One of `WITHOUT`, to leave out; empty for nothing.

    Attributes:
        parameters: Of the policy.
    """

    def __init__(self, config: TrainingConfig, contract: Contract, without: str = "") -> None:
        policy = untrained_policy(config, contract)
        if without == "channels_last":
            policy.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if without == "folded_norms":
            _unfold_norms(policy)
        self._batch = random_batch(contract, config.batch_size)
        if without == "channels_last":
            self._batch = {
                name: value.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
                if value.dim() == 4
                else value
                for name, value in self._batch.items()
            }
        self._policy = policy
        self._module = TrainingStep(policy, config).train()
        self._optimizer: torch.optim.Optimizer = make_optimizer(policy, config.optimizer)
        if without == "fused_optimizer":
            self._optimizer = torch.optim.AdamW(
                [{**group, "fused": None} for group in self._optimizer.param_groups]
            )
        self._average = WeightAverage(policy, config.optimizer.ema_decay)
        self._clip_norm = config.optimizer.clip_norm
        self.parameters = sum(parameter.numel() for parameter in policy.parameters())

    def __call__(self) -> float:
        """Take a step; returns the loss."""
        loss, _ = self._module(self._batch)
        loss.backward()
        clip_grad_norm_(self._policy.parameters(), self._clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._average.update()
        return loss.item()


class _Unfolded(nn.Module):
    """What `FrozenNormConv2d` computes, norm after convolution, as most libraries have it."""

    def __init__(self, folded: FrozenNormConv2d) -> None:
        super().__init__()
        self.folded = folded

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        layer = self.folded
        scale = layer.scale * (layer.variance + layer._epsilon).rsqrt()
        shift = layer.shift - layer.mean * scale
        plain = nn.functional.conv2d(
            features, layer.weight, None, layer.stride, layer.padding, groups=layer.groups
        )
        return plain * scale[:, None, None] + shift[:, None, None]


def _unfold_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, FrozenNormConv2d):
            setattr(module, name, _Unfolded(child))
        else:
            _unfold_norms(child)


class LerobotActs:
    """LeRobot's ACT in a process of its own, which waits while it is not asked for a step.

    Attributes:
        hello: What it said of itself.
    """

    def __init__(self, process: subprocess.Popen[str], errors: Any) -> None:
        self._process, self._errors = process, errors
        self.hello = self._answer()

    def step(self) -> float:
        """Have it take one optimizer step; returns the loss.

        Raises:
            BenchmarkError: If it died.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("step\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        return float(self._answer()["loss"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return cast("dict[str, Any]", json.loads(line))
        self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["no output"])[-1]
        raise BenchmarkError(
            f"LeRobot's ACT ended with code {self._process.returncode}: {last}; look at its "
            "environment, or delete it to have it installed again"
        )


@contextmanager
def _lerobot(
    python: Path, contract: Contract, config: TrainingConfig, threads: int
) -> Iterator[LerobotActs]:
    wanted = {
        "image": list(_shape(contract, ImageDecoder)[:2]),
        "state": _shape(contract, OdometryDecoder)[0],
        "environment": _shape(contract, ScanDecoder)[0],
        "action": contract.action.size,
        "horizon": contract.action.chunk_length,
        "batch_size": config.batch_size,
        "threads": threads,
        "precision": "bf16" if config.precision == "bf16" else "no",
        "learning_rate": config.optimizer.learning_rate,
        "weight_decay": config.optimizer.weight_decay,
        "clip_norm": config.optimizer.clip_norm,
        "model": dict(LEROBOT_SIZES),
    }
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile("w+"))
        process = stack.enter_context(
            subprocess.Popen(
                [str(python), str(Path(__file__).with_name("lerobot_act.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(python),
            )
        )
        stack.callback(process.kill)
        assert process.stdin is not None
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.flush()
        yield LerobotActs(process, errors)


def _shape(contract: Contract, kind: type) -> tuple[int, ...]:
    found = [s.shape for s in contract.streams if isinstance(s.decoder, kind)]
    if not found:
        raise BenchmarkError(
            f"the contract has no stream for {kind.__name__}, which the comparison needs"
        )
    return found[0]
