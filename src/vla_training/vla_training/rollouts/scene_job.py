"""One seed to one part: the episodes of one scene, the piece of work that is spread."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.bag_metadata import Outcome
from vla_core.geometry import Pose2D
from vla_simulation.config import SimulationConfig
from vla_simulation.environment import DockingEnv
from vla_simulation.scenes.path_starts import sample_dock_starts, sample_path_starts
from vla_simulation.scenes.scene import Scene
from vla_simulation.scenes.starts import ExpertPaths, sample_episode
from vla_simulation.seeds import FIRST_HELD_OUT_SEED, random_stream
from vla_simulation.suites import SuiteConfig
from vla_training.dataset.layout import TRAINING, EpisodeRecord, group_of
from vla_training.dataset.parts import PartHead, PartRecord, PartWriter, read_part
from vla_training.errors import DatasetError
from vla_training.evaluation.drivers import PolicyDriver
from vla_training.evaluation.workers import load_any_policy
from vla_training.rollouts.commands import ExpertCommands, PolicyCommands
from vla_training.rollouts.episode import (
    Command,
    DrivenEpisode,
    EpisodeLimits,
    drive_episode,
)
from vla_training.rollouts.options import PolicyChoice, RolloutOptions

_CLEARANCE_M: Final = 0.02
"""Around the robot on the way from a start to the commanded station: a label that would lead
through something is none."""


@dataclass(frozen=True)
class SceneJob:
    """One seed to drive.

    Attributes:
        seed: Of the scene.
        folder: Of the parts.
        options: What decides the rows.
    """

    seed: int
    folder: Path
    options: RolloutOptions

    @property
    def name(self) -> str:
        """Of the scene, in the place of a bag's."""
        return f"{self.options.driver}_{self.seed:06d}"

    @property
    def path(self) -> Path:
        """Of the part: another one for other rows."""
        return self.folder / f"{self.name}-{self.options.key[:16]}.h5"


@dataclass(frozen=True, eq=False)
class SceneResult:
    """One seed after its episodes.

    Attributes:
        seed: Of the scene.
        part: Its rows; None if no episode gave any.
        is_new: Whether it was driven just now.
        episodes: What became of each episode, those without rows included: `goal`, `look`,
            `outcome`, `reason`, `rows`.
    """

    seed: int
    part: PartRecord | None = None
    is_new: bool = False
    episodes: tuple[Mapping[str, Any], ...] = field(default=())


def drive_scene(job: SceneJob) -> SceneResult:
    """Drive the episodes of a seed, or find the part that they have already become.

    Raises:
        DatasetError: If the part cannot be written.
        VlaError: If the simulator or the policy cannot be used.
    """
    if found := _read_known(job):
        return SceneResult(job.seed, found, episodes=tuple(found.head.report["episodes"]))
    driven = list(_drive_all(job))
    told = tuple(
        {
            "goal": episode.goal,
            "look": look,
            "outcome": str(episode.outcome.value),
            "reason": episode.reason,
            "rows": episode.length if _is_kept(job, episode) else 0,
        }
        for look, episode in driven
    )
    kept = [episode for _, episode in driven if _is_kept(job, episode)]
    if not kept:
        return SceneResult(job.seed, is_new=True, episodes=told)
    # What a seed becomes is decided by the options and the seed, on a machine of one kind.
    identity = hashlib.sha256(f"{job.options.key} {job.seed}".encode()).hexdigest()
    head = PartHead(
        options=job.options.key,
        fingerprint=identity,
        bag_sha256=identity,
        bag=job.name,
        report={"episodes": told, "rollout": job.options.described()},
    )
    rows = sum(episode.length for episode in kept)
    with PartWriter(job.path, job.options.contract, rows) as writer:
        for episode in kept:
            writer.append(episode.rows)
        part = writer.finish(head, _records(job, kept, identity))
    return SceneResult(job.seed, part, is_new=True, episodes=told)


def _is_kept(job: SceneJob, episode: DrivenEpisode) -> bool:
    """An expert that fails demonstrates nothing; of a policy, every state is of interest."""
    by_expert = job.options.policy is None
    return episode.length > 0 and not (by_expert and episode.outcome is Outcome.FAILURE)


def _read_known(job: SceneJob) -> PartRecord | None:
    """A part that was made before, if it is whole."""
    try:
        found = read_part(job.path) if job.path.exists() else None
    except DatasetError:
        return None  # it is made again
    return found if found is not None and found.head.options == job.options.key else None


def _drive_all(job: SceneJob) -> list[tuple[int, DrivenEpisode]]:
    """The episodes of a scene with the number of their start, in order of starts and goals."""
    options, suite = job.options, job.options.mix.suite_of(job.seed)
    env = _environment()
    scene, drawn = sample_episode(job.seed, suite, env.config.station)
    paths = ExpertPaths(
        scene, dataclasses.replace(suite.start, clearance_m=_CLEARANCE_M), env.config.station
    )
    goals = range(len(scene.stations)) if options.goals == "every" else [scene.goal]
    driven = []
    for look, start in enumerate(_starts(job, scene, suite, drawn, env.config)):
        for goal in goals:
            if not paths.reaches(goal, start):
                continue
            wishes = {"suite": suite.name, "goal": goal, "start": start}
            # The expert keeps to its way but for the noise, which may take it near something.
            can_finish = partial(paths.reaches, goal) if options.policy else _always
            limits = EpisodeLimits(
                options.duration_s, options.settle_s, options.max_distance_m, can_finish
            )
            # Alike for all goals of a start: they differ by their sentence alone.
            command = _command(options, job.seed + FIRST_HELD_OUT_SEED * look)
            episode = drive_episode(env, options.contract, job.seed, wishes, limits, command)
            driven.append((look, episode))
    return driven


def _always(world_from_base: Pose2D) -> bool:
    return True


def _starts(
    job: SceneJob, scene: Scene, suite: SuiteConfig, drawn: Pose2D, config: SimulationConfig
) -> list[Pose2D]:
    if job.options.starts == "suite":
        return [drawn]
    sample = sample_path_starts if job.options.starts == "path" else sample_dock_starts
    rng = random_stream(job.seed, f"{job.options.starts} starts")
    return sample(rng, scene, suite, config.station, drawn, job.options.looks)


def _command(options: RolloutOptions, noise_seed: int) -> Command:
    expert = ExpertCommands(options.noise, noise_seed)
    if options.policy is None:
        return expert
    return PolicyCommands(
        _driver(options.policy), expert, options.expert_share, options.segment_s, noise_seed
    )


def _records(job: SceneJob, kept: list[DrivenEpisode], identity: str) -> list[EpisodeRecord]:
    starts = np.cumsum([0, *(episode.length for episode in kept)]).tolist()
    return [
        EpisodeRecord(
            start=start,
            length=episode.length,
            split=TRAINING,
            seed=job.seed,
            group=group_of(job.seed, identity),
            goal=episode.goal,
            instruction=episode.instruction,
            outcome=episode.outcome.value,
            operator=job.options.driver,
            suite=job.options.mix.suite_of(job.seed).name,
            bag=job.name,
            bag_sha256=identity,
            segment=number,
            paraphrases=json.dumps(list(episode.paraphrases), ensure_ascii=False),
        )
        for number, (start, episode) in enumerate(zip(starts, kept, strict=False))
    ]


@lru_cache(maxsize=1)
def _environment() -> DockingEnv:
    """One for all scenes of a process: making it takes as long as driving a scene."""
    return DockingEnv(render=True)


@lru_cache(maxsize=1)
def _driver(choice: PolicyChoice) -> PolicyDriver:
    return PolicyDriver(
        load_any_policy(choice.path),
        choice.mode,
        choice.latency_ticks,
        choice.replan_steps,
    )
