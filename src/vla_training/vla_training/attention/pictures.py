"""Pictures of where a policy looks, for the report of an evaluation."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from vla_simulation.environment import DockingEnv
from vla_training.attention.watching import Watcher, camera_of
from vla_training.evaluation.checkpoint_policy import load_checkpoint_policy, single_threaded
from vla_training.evaluation.drivers import PolicyDriver
from vla_training.evaluation.gallery import ClipJob

_PICTURES: Final = 2
_WAIT_S: Final = 6.0
_QUALITY: Final = 70


@dataclass(frozen=True)
class Look:
    """One moment of an episode.

    Attributes:
        suite: Of the episode.
        seed: Of the episode.
        picture: See `overlay_picture`; WebP.
    """

    suite: str
    seed: int
    picture: bytes


def look_at(job: ClipJob) -> list[Look]:
    """Begin an episode of a checkpoint again and draw where it looks, at the start and half way.

    It is asked on every tick without latency, so that a look is at the frame that is driven by. If
    it does not get half way, the second look is after `_WAIT_S`.

    Raises:
        TrainingError: If the checkpoint cannot be loaded.
        EvaluationError: If the policy has no camera.
    """
    config = job.config
    policy, runner = load_checkpoint_policy(config.policy)
    driver = PolicyDriver(policy, "receding_horizon", latency_ticks=0, replan_steps=1)
    env = DockingEnv(config.suite, config=driver.hardware)
    pictures: list[np.ndarray] = []
    try:
        watcher = Watcher(env, runner, camera_of(policy.bundle.contract))
        env.reset(seed=job.result.seed, options={"goal": "swap"} if job.result.swapped else None)
        driver.reset(env)
        half_way_m = env.truth.dock_from_base.distance / 2.0
        with single_threaded():
            while len(pictures) < _PICTURES:
                command = driver.command(env).astype(np.float32)
                truth = env.truth
                is_half_way = truth.dock_from_base.distance < half_way_m or truth.time_s > _WAIT_S
                if not pictures or is_half_way:
                    pictures.append(watcher.picture())
                env.step(command)
    finally:
        env.close()
    return [Look(config.suite, job.result.seed, _webp(picture)) for picture in pictures]


def _webp(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=_QUALITY)
    return file.getvalue()
