"""Running an exported policy on one thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

from vla_core import keys
from vla_core.bundle import PolicyBundle
from vla_core.chunk_policy import ChunkPolicy, Feeds
from vla_core.confidence import load_novelty
from vla_core.sentence_encoder import ENCODER_OUTPUT, load_sentence_encoder
from vla_training.errors import EvaluationError


def make_runner(model: Path, output: str = keys.MODEL_OUTPUT) -> Callable[[Feeds], np.ndarray]:
    """A function from feeds to an output: of a policy, actions (B, H, A) float32 [m/s, rad/s].

    Raises:
        EvaluationError: If ONNX Runtime cannot load the graph.
    """
    session = _open(model)
    # As in the policy node: a graph need not look at everything.
    wanted = [item.name for item in session.get_inputs()]

    def run(feeds: Feeds) -> np.ndarray:
        used = {name: feeds[name] for name in wanted if name in feeds}
        return session.run([output], used)[0]

    return run


def _open(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime's exceptions have no common base.
        raise EvaluationError(f"model {model} cannot be loaded: {error}") from error


def load_policy(bundle: PolicyBundle) -> ChunkPolicy:
    """The bundle's policy, ready to call."""
    encode = load_sentence_encoder(bundle, partial(make_runner, output=ENCODER_OUTPUT))
    if load_novelty(bundle) is None:
        return ChunkPolicy(bundle, make_runner(bundle.model_path), encode)
    run = FeatureRunner(bundle.model_path)
    return ChunkPolicy(bundle, run, encode, lambda: run.features)


class FeatureRunner:
    """Runs a graph for its actions and keeps the features that come with them.

    Args:
        model: The graph.

    Attributes:
        features: (B, F) float32 of the last run; None before the first.

    Raises:
        EvaluationError: If ONNX Runtime cannot load the graph.
    """

    def __init__(self, model: Path) -> None:
        self._session = _open(model)
        self._wanted = [item.name for item in self._session.get_inputs()]
        self.features: np.ndarray | None = None

    def __call__(self, feeds: Feeds) -> np.ndarray:
        """Actions (B, H, A) float32 [m/s, rad/s] for feeds."""
        used = {name: feeds[name] for name in self._wanted if name in feeds}
        actions, self.features = self._session.run([keys.MODEL_OUTPUT, keys.FEATURES], used)
        return np.asarray(actions)
