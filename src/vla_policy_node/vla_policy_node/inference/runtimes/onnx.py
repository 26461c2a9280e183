"""Policies on ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from vla_core import keys
from vla_core.bundle import PolicyBundle
from vla_core.chunk_policy import ChunkPolicy
from vla_core.confidence import load_novelty
from vla_core.errors import BundleError, PolicyError
from vla_core.frames import Frame
from vla_core.sentence_encoder import ENCODER_OUTPUT, load_sentence_encoder


class OnnxRuntime:
    """A bundle on ONNX Runtime.

    Args:
        path: folder of the bundle.
        threads: for one inference.
        variant: of the bundle's graph; empty for the exact one.

    Raises:
        BundleError: the bundle or its graph cannot be loaded.
        PolicyError: the bundle has a language model and a package for it is missing.
    """

    def __init__(self, path: Path, threads: int = 1, variant: str = "") -> None:
        self.bundle = PolicyBundle.load(path, variant=variant)
        calibrated = load_novelty(self.bundle) is not None
        graph = OnnxGraph(self.bundle.model_path, threads, also=keys.FEATURES if calibrated else "")
        encode = load_sentence_encoder(
            self.bundle, lambda model: OnnxGraph(model, threads, ENCODER_OUTPUT).run
        )
        self._policy: ChunkPolicy | None = ChunkPolicy(
            self.bundle, graph.run, encode, (lambda: graph.other) if calibrated else None
        )

    @property
    def distances(self) -> npt.NDArray[np.float32] | None:
        """How far the last frame is from training, (G,); None without calibration."""
        return None if self._policy is None else self._policy.distances

    @property
    def name(self) -> str:
        """Runtime and version, for logs."""
        return f"ONNX Runtime {onnxruntime.__version__}"

    def infer(self, frame: Frame, instruction: str) -> npt.NDArray[np.float32]:
        """Compute one chunk, (H, A) float32 [m/s, rad/s].

        Raises:
            PolicyError: frame or output do not fit the bundle's contract.
        """
        if self._policy is None:
            raise PolicyError(f"policy {self.bundle.path} was closed, expected no more frames")
        return self._policy(frame, instruction)

    def problem(self) -> str:
        """Empty: what computes here fails when it is asked."""
        return ""

    def close(self) -> None:
        """Give the sessions back."""
        self._policy = None


class OnnxGraph:
    """One ONNX Runtime session.

    Args:
        model_path: the graph.
        threads: for one inference.
        output: the one that is computed.
        also: another one that is kept in `other`; empty: none.

    Attributes:
        other: of the last run.

    Raises:
        BundleError: the graph cannot be loaded, or has no output of the expected name.
    """

    def __init__(
        self,
        model_path: Path,
        threads: int = 1,
        output: str = keys.MODEL_OUTPUT,
        also: str = "",
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle worker threads that spin would take the cores from the control loop.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(model_path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no common base but this one
            raise BundleError(
                f"{model_path}: ONNX Runtime cannot load the graph: {error}"
            ) from error
        self._outputs = [output, also] if also else [output]
        self.other: npt.NDArray[np.float32] | None = None
        self._inputs = [node.name for node in self._session.get_inputs()]
        outputs = [node.name for node in self._session.get_outputs()]
        if not set(self._outputs) <= set(outputs):
            raise BundleError(
                f"{model_path}: the graph gives {', '.join(outputs)}, expected "
                f"{', '.join(self._outputs)}"
            )

    def run(self, feeds: Mapping[str, npt.NDArray[np.generic]]) -> npt.NDArray[np.float32]:
        """Compute one batch; inputs that the graph does not use are left out.

        Raises:
            BundleError: the graph wants an input that the feeds lack, or cannot be computed.
        """
        missing = [name for name in self._inputs if name not in feeds]
        if missing:
            raise BundleError(
                f"the graph wants {', '.join(missing)}; the contract gives {', '.join(feeds)}"
            )
        used = {name: feeds[name] for name in self._inputs}
        try:
            values, *others = self._session.run(self._outputs, used)
        except Exception as error:  # as above
            raise BundleError(f"ONNX Runtime cannot compute the graph: {error}") from error
        self.other = np.asarray(others[0]) if others else None
        return np.asarray(values)
