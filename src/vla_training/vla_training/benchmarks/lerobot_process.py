"""LeRobot's ACT in a process of its own, which takes one optimizer step whenever it is asked to."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, cast

from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, ScanDecoder
from vla_training.benchmarks.lerobot_environment import environment
from vla_training.errors import BenchmarkError
from vla_training.training_config import TrainingConfig

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


class LerobotAct:
    """LeRobot's ACT in a process of its own, which waits while it is not asked for a step.

    Attributes:
        hello: What it said of itself.
    """

    def __init__(self, process: subprocess.Popen[str], errors: Any) -> None:
        self._process, self._errors = process, errors
        self.hello = self._answer()

    def __call__(self, index: int = 0) -> float:
        """Have it take one optimizer step; returns the loss.

        Args:
            index: Not used: every step is alike.

        Raises:
            BenchmarkError: If it died.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `_answer` tells why
            self._process.stdin.write("step\n")
            self._process.stdin.flush()
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
def lerobot_act(
    python: Path, contract: Contract, config: TrainingConfig, threads: int
) -> Iterator[LerobotAct]:
    """LeRobot's ACT while the context is open.

    Args:
        python: See `lerobot_environment.lerobot_python`.
        contract: Gives the sizes of streams and actions, and the chunk.
        config: Gives batch, precision and optimizer.
        threads: That it computes with.

    Raises:
        BenchmarkError: If it does not start, or the contract lacks a stream.
    """
    wanted = {
        "image": list(stream_shape(contract, ImageDecoder)[:2]),
        "state": stream_shape(contract, OdometryDecoder)[0],
        "environment": stream_shape(contract, ScanDecoder)[0],
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
        yield LerobotAct(process, errors)


def stream_shape(contract: Contract, kind: type) -> tuple[int, ...]:
    """Shape of the first stream that is decoded so.

    Raises:
        BenchmarkError: If there is none.
    """
    found = [s.shape for s in contract.streams if isinstance(s.decoder, kind)]
    if not found:
        raise BenchmarkError(
            f"the contract has no stream for {kind.__name__}, which the comparison needs"
        )
    return found[0]
