"""A policy as a function from a frame and a sentence to a chunk of actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vla_core import keys
from vla_core.confidence import load_novelty
from vla_core.errors import PolicyError
from vla_core.frames import Frame

if TYPE_CHECKING:
    from vla_core.bundle import PolicyBundle
    from vla_core.contract_specs import ActionSpec

Feeds = dict[str, np.ndarray]


class ChunkPolicy:
    """Feeds a runtime with frames and checks what comes back.

    Attributes:
        bundle: the policy.
        distances: (G,) float32, how far the features of its last frame are from training, see
            `confidence.NoveltyModel`; None if nothing measures it.
    """

    def __init__(
        self,
        bundle: PolicyBundle,
        run: Callable[[Feeds], np.ndarray],
        encode: Callable[[str], np.ndarray] | None = None,
        features: Callable[[], np.ndarray | None] | None = None,
    ) -> None:
        """Join a bundle and a runtime.

        Args:
            bundle: says what goes in and what has to come out.
            run: the graph: feeds by input name to actions (1, H, A) [m/s, rad/s]. See `feeds`.
            encode: a sentence to its vector, of a bundle with a language model, see
                `sentence_encoder.load_sentence_encoder`; None for word numbers.
            features: gives the features (1, F) of what was run last; None if the runtime has none.

        Raises:
            BundleError: if the bundle's statistics of features are damaged.
            PolicyError: if the bundle has a language model and `encode` is missing.
        """
        if encode is None and bundle.encoder_path is not None:
            raise PolicyError(
                f"policy bundle {bundle.path} reads sentences with a language model, which was "
                "not loaded; load it with `load_sentence_encoder`"
            )
        self.bundle = bundle
        self._run = run
        self._encode = encode or bundle.vocabulary.encode
        self._sentence: str | None = None
        self._told = self._encode("")
        self._features = features
        self._novelty = None if features is None else load_novelty(bundle)
        self.distances: np.ndarray | None = None

    def feeds(self, frame: Frame, instruction: str) -> Feeds:
        """The graph's inputs, a batch of one.

        Args:
            frame: of the bundle's contract.
            instruction: the sentence.

        Returns:
            One array per stream, such as image (1, H, W, 3) uint8, scan (1, beams) float32 [m] and
            odometry (1, 2) float32 [m/s, rad/s]; valid (1, S) float32, 0 or 1; and instruction
            (1, 16) int64, or (1, E) float32 of a policy with a language model.

        Raises:
            PolicyError: if the frame belongs to another contract.
        """
        if instruction != self._sentence:
            self._told = self._encode(instruction)
            self._sentence = instruction
        feeds: Feeds = {}
        for stream in self.bundle.contract.streams:
            array = frame.arrays.get(stream.key)
            if array is None or array.shape != stream.shape or array.dtype != stream.dtype:
                got = "nothing" if array is None else f"{array.shape} {array.dtype}"
                raise PolicyError(
                    f"policy input {stream.key!r}: got {got}, "
                    f"expected {stream.shape} {stream.dtype}"
                )
            feeds[stream.key] = array[None]
        feeds[keys.VALID] = frame.valid.astype(np.float32)[None]
        feeds[keys.INSTRUCTION] = self._told[None]
        return feeds

    def check(self, output: np.ndarray) -> np.ndarray:
        """Turn the graph's output into a chunk.

        Args:
            output: (1, H, A).

        Returns:
            (H, A) float32 [m/s, rad/s].

        Raises:
            PolicyError: if it has another shape or holds NaN or infinity.
        """
        return check_chunk(self.bundle.contract.action, output)

    def __call__(self, frame: Frame, instruction: str) -> np.ndarray:
        """The chunk for a frame.

        Args:
            frame: what the robot sees.
            instruction: what it is told.

        Returns:
            (H, A) float32 [m/s, rad/s]; row i is for `frame.tick_ns + i * period`.

        Raises:
            PolicyError: if the frame or the output does not fit the bundle's contract.
        """
        chunk = self.check(self._run(self.feeds(frame, instruction)))
        features = None if self._features is None else self._features()
        if self._novelty is not None and features is not None:
            self.distances = self._novelty.distances(features)[0]
        return chunk


def check_chunk(action: ActionSpec, output: np.ndarray) -> np.ndarray:
    """Make sure that what a policy gave is a chunk.

    Args:
        action: of the policy's contract.
        output: (1, H, A).

    Returns:
        (H, A) float32 [m/s, rad/s].

    Raises:
        PolicyError: if it has another shape or holds NaN or infinity.
    """
    expected = (1, action.chunk_length, action.size)
    chunk = np.asarray(output, np.float32)
    if chunk.shape != expected:
        raise PolicyError(
            f"policy output: got shape {chunk.shape}, expected {expected} "
            "(batch, chunk length, action)"
        )
    if not np.isfinite(chunk).all():
        raise PolicyError("policy output: holds NaN or infinity, expected finite velocities")
    return chunk[0]
