"""Choosing the policy that docks, not the one with the lowest loss.

Success in simulation goes on rising when the loss looks flat, and the two disagree about which of
two checkpoints is better. The seeds are of a range of their own: no data set may contain them, and
they are not those of the evaluation either, whose figures would otherwise be too good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from vla_core.keys import INSTRUCTION, VALID
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_training.checkpoints import Checkpoint
from vla_training.training_config import SelectionConfig

if TYPE_CHECKING:
    from vla_core.chunk_policy import ChunkPolicy, Feeds
    from vla_training.evaluation.rollouts import EpisodeResult

FIRST_SELECTION_SEED: Final = 900_000
"""Seeds from here up to the held-out ones choose among checkpoints."""

_REPLAN_STEPS: Final = 2  # as the policy node's default


@dataclass
class Selection:
    """The best evaluation so far, and how long ago it was.

    Attributes:
        successes: Of the best one; -1 before the first.
        error_mm: Its median distance from the docked pose where it docked; infinite without any.
        step: When it was.
        waited: Evaluations since the successes last rose.
    """

    successes: int = -1
    error_mm: float = float("inf")
    step: int = 0
    waited: int = 0

    def take(self, step: int, results: list[EpisodeResult]) -> bool:
        """Look at an evaluation; returns whether it is the best one.

        Of equal successes, the smaller error wins: it is what tells two saturated policies apart.
        It does not reset the patience, for it can improve for ever.
        """
        docked = [result for result in results if result.success]
        distances = [np.hypot(r.longitudinal_error_mm, r.lateral_error_mm) for r in docked]
        error = float(np.median(distances)) if distances else float("inf")
        self.waited = 0 if len(docked) > self.successes else self.waited + 1
        if (len(docked), -error) <= (self.successes, -self.error_mm):
            return False
        self.successes, self.error_mm, self.step = len(docked), error, step
        return True

    def to_dict(self) -> dict[str, Any]:
        """The inverse of the constructor."""
        return asdict(self)


def selection_episodes(
    checkpoint: Checkpoint, config: SelectionConfig, advance: Callable[[str], None]
) -> list[EpisodeResult]:
    """Let a policy drive the episodes that choose, in this process.

    Args:
        checkpoint: The policy; its averaged weights drive.
        config: Which episodes.
        advance: Called after each with a note.

    Raises:
        EvaluationError: If the policy is not of the simulated robot.
        SuiteError: If the suite is unknown.
    """
    # The simulator is needed only here: whoever trains without a selection does without.
    from vla_simulation.environment import DockingEnv
    from vla_training.evaluation.drivers import PolicyDriver
    from vla_training.evaluation.rollouts import run_episode

    driver = PolicyDriver(policy_in_process(checkpoint), replan_steps=_REPLAN_STEPS)
    env = DockingEnv(config.suite, config=driver.hardware)
    results: list[EpisodeResult] = []
    try:
        for seed in range(FIRST_SELECTION_SEED, FIRST_SELECTION_SEED + config.episodes):
            results.append(run_episode(env, driver, seed))
            docked = sum(result.success for result in results)
            advance(f"{docked} of {len(results)} docked")
    finally:
        env.close()
    return results


def policy_in_process(checkpoint: Checkpoint) -> ChunkPolicy:
    """A checkpoint's policy as the robot would run it, by PyTorch on the CPU."""
    from vla_core.bundle import MODEL_FILE, PolicyBundle
    from vla_core.bundle_manifest import FORMAT_VERSION, BundleManifest
    from vla_core.chunk_policy import ChunkPolicy

    model = checkpoint.policy()
    names = (*checkpoint.contract.keys, VALID, INSTRUCTION)

    @torch.inference_mode()
    def run(feeds: Feeds) -> np.ndarray:
        # Copies: what a frame holds is read-only.
        return model(*(torch.tensor(feeds[name]) for name in names)).float().numpy()

    folder = Path(checkpoint.config.output)
    manifest = BundleManifest(FORMAT_VERSION, "", checkpoint.contract.hash, {})
    bundle = PolicyBundle(
        path=folder,
        contract=checkpoint.contract,
        statistics=checkpoint.statistics,
        vocabulary=checkpoint.vocabulary,
        manifest=manifest,
        model_path=folder / MODEL_FILE,
    )
    return ChunkPolicy(bundle, run, model.language.sentence_encoder())


def taken_seeds(seeds: list[int]) -> list[int]:
    """Those of a data set's seeds that are reserved for the choice."""
    return sorted(seed for seed in seeds if FIRST_SELECTION_SEED <= seed < FIRST_HELD_OUT_SEED)
