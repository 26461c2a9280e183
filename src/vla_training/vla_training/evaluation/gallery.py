"""Moving pictures of the last seconds of episodes, driven again with rendering."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar, Final

import numpy as np
from PIL import Image

from vla_core.geometry import Pose2D
from vla_core.keys import IMAGE, ODOMETRY, SCAN
from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.environment import DockingEnv
from vla_simulation.viewer.composer import CHASE_SIZE, compose
from vla_simulation.viewer.moment import observe
from vla_training.evaluation.drivers import Driver
from vla_training.evaluation.report import EvaluationConfig
from vla_training.evaluation.rollouts import EpisodeResult, run_episode
from vla_training.evaluation.traces import Planner
from vla_training.evaluation.workers import make_driver

LAST_S: Final = 5.0
"""How much of an episode is shown."""

_EVERY_TICKS: Final = 4
_SIZE: Final = (720, 418)
_QUALITY: Final = 50
_HOLD_MS: Final = 1500


@dataclass(frozen=True)
class ClipJob:
    """An episode to show.

    Attributes:
        config: What was evaluated and how.
        result: How the episode went.
    """

    config: EvaluationConfig
    result: EpisodeResult


@dataclass(frozen=True)
class Clip:
    """The last seconds of an episode.

    Attributes:
        result: How it went this time; on the same machine as before.
        moving: Animated WebP.
        last: Its last picture, JPEG.
    """

    result: EpisodeResult
    moving: bytes
    last: bytes


def choose_failures(results: Sequence[EpisodeResult], most: int) -> list[EpisodeResult]:
    """Failed episodes to show: of each way to fail equally many, as far as there are."""
    by_outcome: dict[str, list[EpisodeResult]] = {}
    for result in results:
        if not result.success:
            by_outcome.setdefault(result.outcome, []).append(result)
    rounds = zip_longest(*by_outcome.values())
    chosen = [result for each in rounds for result in each if result is not None]
    return sorted(chosen[:most], key=lambda result: result.seed)


def film(job: ClipJob) -> Clip:
    """Drive an episode again and film its end.

    Raises:
        VlaError: If the driver or the environment cannot be made.
    """
    driver = make_driver(job.config)
    env = DockingEnv(job.config.suite, render=True, config=driver.hardware)
    try:
        seeing = _Seeing(driver)
        camera = _Filming(env, seeing, job)
        result = run_episode(env, seeing, job.result.seed, swapped=job.result.swapped, watch=camera)
    finally:
        env.close()
    return Clip(result, *_encode(camera.frames))


class _Seeing:
    """A driver whose sensors are all simulated, whatever it looks at: people want to see them."""

    streams: ClassVar = frozenset({IMAGE, SCAN, ODOMETRY})

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.hardware, self.options = driver.hardware, driver.options
        self.interventions, self.inferences = driver.interventions, driver.inferences

    def reset(self, env: DockingEnv) -> None:
        """An episode begins."""
        self._driver.reset(env)

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        command = self._driver.command(env)
        self.interventions, self.inferences = self._driver.interventions, self._driver.inferences
        return command

    def planned(self, env: DockingEnv) -> np.ndarray:
        """What it intends, if it says so."""
        nothing = np.zeros((0, 2))
        return self._driver.planned(env) if isinstance(self._driver, Planner) else nothing


class _Filming:
    """Takes the pictures."""

    def __init__(self, env: DockingEnv, driver: _Seeing, job: ClipJob) -> None:
        self._env, self._driver, self._job = env, driver, job
        self._trail: list[Pose2D] = []
        self.frames: list[Image.Image] = []

    def __call__(self) -> None:
        """Look at the present moment."""
        truth = self._env.truth
        self._trail.append(truth.world_from_base)
        # Counted from the end: the last picture is the very last moment.
        ticks_left = round((self._job.result.time_s - truth.time_s) / CONTROL_PERIOD_S)
        if ticks_left * CONTROL_PERIOD_S > LAST_S + 1e-9 or ticks_left % _EVERY_TICKS:
            return
        name = self._job.config.policy.rstrip("/").rpartition("/")[2]
        moment = observe(self._env, self._driver, self._trail, driver_name=name)
        chase = self._env.render_view("chase", CHASE_SIZE, shadows=False)
        picture = Image.fromarray(compose(moment, chase, self._env.config))
        self.frames.append(picture.resize(_SIZE, Image.Resampling.BILINEAR))


def _encode(frames: Sequence[Image.Image]) -> tuple[bytes, bytes]:
    moving, last = io.BytesIO(), io.BytesIO()
    period_ms = round(_EVERY_TICKS * CONTROL_PERIOD_S * 1e3)
    durations = [period_ms] * (len(frames) - 1) + [_HOLD_MS]
    frames[0].save(
        moving,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        quality=_QUALITY,
        method=3,
    )
    frames[-1].save(last, "JPEG", quality=75)
    return moving.getvalue(), last.getvalue()
