"""A policy of LeRobot's as a driver: it computes in LeRobot's environment, in a process of its own.

It gets the frames that our policies get: image, odometry and scan. Its ACT reads no sentences.
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.bundle import PolicyBundle
from vla_core.bundle_manifest import FORMAT_VERSION, BundleManifest
from vla_core.chunk_policy import ChunkPolicy, Feeds
from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, ScanDecoder
from vla_core.language import Vocabulary
from vla_core.normalization import Statistics
from vla_training.benchmarks.lerobot_environment import environment, lerobot_python
from vla_training.errors import EvaluationError

PREFIX: Final = "lerobot:"
"""What a folder of LeRobot's is named with, in the place of a bundle."""

DESCRIPTION: Final = "vla.json"
"""What a folder has of ours: `contract` (YAML), `features` and the record of the training."""

STREAMS: Final = {"image": ImageDecoder, "state": OdometryDecoder, "environment": ScanDecoder}
"""The streams that ACT looks at, and how they are told from others: the first of each kind."""

# By its path: here, it would import PyTorch, without which bundles are evaluated.
_SERVING: Final = Path(__file__).parents[1] / "benchmarks" / "lerobot_serving.py"


def is_lerobot(policy: str) -> bool:
    """Whether this names a policy of LeRobot's."""
    return policy.startswith(PREFIX)


def stream_keys(contract: Contract) -> dict[str, str]:
    """Our streams by the names in `STREAMS`.

    Raises:
        EvaluationError: If the contract lacks one.
    """
    keys = {}
    for name, kind in STREAMS.items():
        found = [stream.key for stream in contract.streams if isinstance(stream.decoder, kind)]
        if not found:
            raise EvaluationError(
                f"contract {contract.name!r} has no stream for {kind.__name__}, which LeRobot's "
                "ACT needs: a camera, odometry and a scan"
            )
        keys[name] = found[0]
    return keys


def load_lerobot_policy(policy: str, peer: str) -> ChunkPolicy:
    """The policy of a folder, ready to call; its process starts with the first call.

    Args:
        policy: `PREFIX` and the folder.
        peer: Environment with LeRobot; empty for the one that benchmarks install.

    Raises:
        EvaluationError: If the folder is none of `vla bench lerobot`.
        BenchmarkError: If LeRobot is not in the environment.
    """
    folder = Path(policy.removeprefix(PREFIX)).absolute()
    try:
        described = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        contract = Contract.from_yaml(described["contract"])
        features = dict(described["features"])
    except (OSError, ValueError, KeyError) as error:
        raise EvaluationError(
            f"{folder} is no policy of LeRobot's with its {DESCRIPTION} ({error}); train one with "
            "`vla bench lerobot`"
        ) from error
    python = lerobot_python(Path(peer) if peer else None, install=False)
    manifest = BundleManifest(FORMAT_VERSION, "", contract.hash, {}, "lerobot-act")
    bundle = PolicyBundle(
        folder,
        contract,
        Statistics({}),
        Vocabulary.from_sentences([]),
        manifest,
        model_path=folder / "model.safetensors",
    )
    return ChunkPolicy(bundle, LerobotRunner(folder, python, contract, features))


class LerobotRunner:
    """Runs the policy on feeds of one frame.

    Args:
        folder: Of the policy.
        python: Interpreter of LeRobot's environment.
        contract: Says which feed is what.
        features: LeRobot's names by those in `STREAMS`.
    """

    def __init__(
        self, folder: Path, python: Path, contract: Contract, features: dict[str, str]
    ) -> None:
        self._folder, self._python, self._features = folder, python, features
        self._keys = stream_keys(contract)
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, feeds: Feeds) -> np.ndarray:
        """The actions (1, H, A) float32 [m/s, rad/s].

        Raises:
            EvaluationError: If the process ended.
        """
        image = feeds[self._keys["image"]][0]
        asked = {
            "image": base64.b64encode(image.tobytes()).decode(),
            "shape": list(image.shape),
            **{name: feeds[self._keys[name]][0].tolist() for name in ("state", "environment")},
        }
        return np.array([self._ask(asked)["actions"]], np.float32)

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._start()
        return self._exchange(message)

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the process)
        self._process = subprocess.Popen(
            [str(self._python), str(_SERVING)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(self._python),
        )
        weakref.finalize(self, _end, self._process)
        self._exchange({"policy": str(self._folder), "features": self._features, "threads": 1})

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return dict(json.loads(line))
        code = process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["no output"])[-1]
        raise EvaluationError(
            f"LeRobot's policy {self._folder} ended with code {code}: {last}; look at its "
            f"environment {self._python.parent.parent}"
        )


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
