"""Collects demonstrations: the scripted expert drives in simulation, the recorder writes bags.

Each job is a process with a simulator in lock-step, an expert and a recorder in a DDS domain of
their own. A bag appears in the output folder under its final name only when it is complete, so an
interrupted collection goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from vla_bringup.collection_jobs import CollectionJobs
from vla_bringup.collection_manifest import Manifest
from vla_bringup.collection_plan import GOALS, SuiteMix, plan, seed_mistakes
from vla_bringup.collection_progress import CollectionProgress
from vla_bringup.collection_types import CollectionError, EpisodeOrder, EpisodeSettings
from vla_core.contract import Contract

PARTIAL: Final = ".partial"
LOGS: Final = "logs"


@dataclass(frozen=True)
class CollectionOptions:
    """What to collect.

    Attributes:
        episodes: how many starts; their seeds are `seed`, `seed` + 1, ...
        out: folder that receives one bag per episode.
        contract: of the simulated robot.
        suite: that the episodes are drawn from, or several: `nominal:0.7,wide_start:0.3`.
        goals: "one": each start is demonstrated for the goal that is drawn; "every": for each of
            its stations.
        seed: of the first start.
        noise: scale of the disturbance of what is executed (DART); the label stays clean.
        settle_s: how long recording goes on at the dock.
        jobs: simulators side by side.
        storage: of the bags, "mcap" or "sqlite3".
        compression: of the bags, "none" or "zstd".
    """

    episodes: int
    out: Path
    contract: Path
    suite: str = "nominal"
    goals: str = "one"
    seed: int = 0
    noise: float = 1.0
    settle_s: float = 1.5
    jobs: int = 1
    storage: str = "mcap"
    compression: str = "none"


@dataclass
class CollectionSummary:
    """What is in the folder, and how fast it came there.

    Attributes:
        out: folder of the bags.
        episodes: one record each, in the order of their seeds and goals.
        recorded: how many of them this run recorded; the others were there already.
        wall_s: duration of this run.
        ticks: control periods that this run recorded.
    """

    out: Path
    episodes: list[dict[str, Any]] = field(default_factory=list)
    recorded: int = 0
    wall_s: float = 0.0
    ticks: int = 0

    @property
    def successes(self) -> int:
        """Episodes in which the robot docked."""
        return sum(bool(episode["success"]) for episode in self.episodes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        sizes = [episode["size_bytes"] for episode in self.episodes]
        return {
            "out": str(self.out),
            "episodes": len(self.episodes),
            "successes": self.successes,
            "failures": len(self.episodes) - self.successes,
            "recorded": self.recorded,
            "wall_s": self.wall_s,
            "ticks_per_s": self.ticks / self.wall_s if self.wall_s > 0.0 else 0.0,
            "size_bytes": sum(sizes),
            "records": self.episodes,
        }


def collect(options: CollectionOptions, *, show_progress: bool = True) -> CollectionSummary:
    """Record what is missing of a collection.

    Raises:
        CollectionError: the options contradict themselves, each other or what the folder holds,
            or a process ended; what was recorded before that is kept.
        VlaError: the contract or the suite cannot be used.
    """
    mix, settings = _checked(options)
    options.out.mkdir(parents=True, exist_ok=True)
    with _locked(options.out):
        manifest = Manifest.open(options.out, settings)
        shutil.rmtree(options.out / PARTIAL, ignore_errors=True)
        seeds = range(options.seed, options.seed + options.episodes)
        orders = plan(mix, seeds, options.goals)
        missing = [order for order in orders if order.name not in manifest.episodes]
        manifest.require_free(order.name for order in missing)
        summary = CollectionSummary(options.out)
        started_s = time.monotonic()
        try:
            if missing:
                with CollectionProgress(len(orders), show=show_progress) as progress:
                    progress.start(
                        manifest.episodes[order.name]
                        for order in orders
                        if order.name in manifest.episodes
                    )
                    for record in _record(options, missing):
                        manifest.add(record, Path(record["bag"]))
                        progress.advance(record)
                        summary.recorded += 1
                        summary.ticks += record["ticks"]
        finally:
            shutil.rmtree(options.out / PARTIAL, ignore_errors=True)
        summary.wall_s = time.monotonic() - started_s
        summary.episodes = [manifest.episodes[order.name] for order in orders]
        return summary


def _checked(options: CollectionOptions) -> tuple[SuiteMix, dict[str, Any]]:
    """The suites, and the settings that every episode depends on.

    Raises:
        VlaError: names every mistake.
    """
    contract = Contract.load(options.contract)
    mix = SuiteMix.parse(options.suite)
    mistakes = seed_mistakes(options.seed, options.episodes)
    if options.episodes < 1:
        mistakes.append(f"episodes is {options.episodes}, expected 1 or more")
    if options.goals not in GOALS:
        mistakes.append(f"goals is '{options.goals}', expected one of: {', '.join(GOALS)}")
    if not 0.0 <= options.noise <= 3.0:
        mistakes.append(f"noise is {options.noise}, expected 0 to 3")
    if not 0.0 <= options.settle_s <= 60.0:
        mistakes.append(f"settle is {options.settle_s} s, expected 0 to 60")
    if options.jobs < 1:
        mistakes.append(f"jobs is {options.jobs}, expected 1 or more")
    if mistakes:
        raise CollectionError("; ".join(mistakes))
    return mix, {
        "contract_hash": contract.hash,
        "suite": str(mix),
        "time_limit_s": [suite.time_limit_s for suite in mix.suites],
        "goals": options.goals,
        "noise": options.noise,
        "settle_s": options.settle_s,
    }


def _record(
    options: CollectionOptions, missing: Sequence[EpisodeOrder]
) -> Iterator[dict[str, Any]]:
    """Record episodes; yields a record of each as it is finished."""
    episode = EpisodeSettings(
        contract=str(options.contract.absolute()),
        suite=missing[0].suite,
        noise=options.noise,
        settle_s=options.settle_s,
        storage=options.storage,
        compression=options.compression,
    )
    out = options.out.absolute()
    jobs = {}
    for index in range(min(options.jobs, len(missing))):
        logs = out / LOGS / f"job_{index}"
        partial = out / PARTIAL / f"job_{index}"
        jobs[logs / "worker.log"] = {
            "settings": asdict(episode),
            "partial": str(partial),
            "logs": str(logs),
        }
    with CollectionJobs(jobs) as workers:
        yield from workers.run(order.to_dict() for order in missing)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CollectionError(f"another vla collect is writing to {folder}; wait for it") from None
    finally:
        os.close(descriptor)
