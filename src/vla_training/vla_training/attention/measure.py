"""Drives episodes and measures where the policy looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.environment import DockingEnv
from vla_simulation.seeds import FIRST_HELD_OUT_SEED
from vla_simulation.suites import load_suite
from vla_simulation.viewer.video import open_video
from vla_training.attention.shares import EpisodeShares, summarise
from vla_training.attention.watching import EVERY_TICKS, Watcher, camera_of
from vla_training.errors import EvaluationError
from vla_training.evaluation.checkpoint_policy import load_checkpoint_policy, single_threaded
from vla_training.evaluation.drivers import PolicyDriver
from vla_training.evaluation.report import write_json
from vla_training.evaluation.rollouts import run_episode
from vla_training.progress import progress_bar

STILLS: Final = (0.0, 0.5)
"""Moments of a drawn episode that are also kept as images, as shares of its looks."""


def measure_attention(
    policy: str | Path,
    suites: Sequence[str],
    episodes: int,
    out: Path,
    *,
    seed: int = FIRST_HELD_OUT_SEED,
    drawn: int = 3,
    progress: bool = True,
) -> dict[str, Any]:
    """Drive episodes, draw some of them, and say how much the named station is looked at.

    Args:
        policy: Checkpoint, or output folder of a training run.
        suites: Names.
        episodes: Per suite, at least 1.
        out: Folder for `attention.json`, and per drawn episode a video and images.
        seed: First one.
        drawn: Episodes per suite that are drawn.
        progress: Whether to show a bar.

    Returns:
        What `attention.json` holds: policy, first_seed, and by suite what `summarise` says, with
        the episodes' outcomes.

    Raises:
        TrainingError: If the checkpoint cannot be loaded.
        SuiteError: If a suite is unknown.
        EvaluationError: If there is nothing to measure or a file cannot be written.
    """
    if episodes < 1 or drawn < 0:
        raise EvaluationError(
            f"attention: {episodes} episodes, {drawn} of them drawn; expected at least 1 and 0"
        )
    for suite in suites:
        load_suite(suite)
    chunk_policy, runner = load_checkpoint_policy(policy)
    camera = camera_of(chunk_policy.bundle.contract)
    # Asked on every tick, without latency: each look is at what the next command is based on.
    driver = PolicyDriver(chunk_policy, "receding_horizon", latency_ticks=0, replan_steps=1)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"folder {out} cannot be made: {error.strerror}") from error
    report: dict[str, Any] = {"policy": str(policy), "first_seed": seed, "suites": {}}
    with single_threaded():
        for suite in suites:
            watched: list[EpisodeShares] = []
            outcomes: dict[str, int] = {}
            env = DockingEnv(suite, config=driver.hardware)
            try:
                with progress_bar(f"watching {suite}", episodes, progress) as bar:
                    for number in range(episodes):
                        watcher = Watcher(env, runner, camera, draw=number < drawn)
                        result = run_episode(env, driver, seed + number, watch=watcher)
                        outcomes[result.outcome] = outcomes.get(result.outcome, 0) + 1
                        watched.append(watcher.shares())
                        _keep(watcher, out / f"{suite}_{seed + number}")
                        bar.advance(result.outcome)
            finally:
                env.close()
            report["suites"][suite] = {**summarise(watched), "outcomes": outcomes}
    write_json(report, out / "attention.json")
    return report


def _keep(watcher: Watcher, path: Path) -> None:
    """Write the pictures of an episode, as a video and some of them as images."""
    if not watcher.pictures:
        return
    video = open_video(path.with_suffix(".mp4"), round(EVERY_TICKS * CONTROL_PERIOD_S * 1e3))
    try:
        for picture in watcher.pictures:
            video.write(picture)
    finally:
        video.close()
    for share in STILLS:
        picture = watcher.pictures[int(share * (len(watcher.pictures) - 1))]
        Image.fromarray(picture).save(f"{path}_{100 * share:.0f}.png")


def attention_rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """One suite of the report for a terminal, as rows of name and text."""
    rows = [
        (
            "looks",
            f"{figures['frames']} in {figures['episodes']} episodes, the named station out of view "
            f"in {figures['unseen_frames']} more",
        )
    ]
    if not figures["readers"]:
        return rows
    share = figures["pixel_share"]
    rows.append(
        ("share of the pixels", f"named {share['named']:.2%}, others {share['others']:.2%}")
    )
    for name, reader in figures["readers"].items():
        named, others = reader["named"], reader["others"]
        text = f"named {reader['share']['named']:.1%}: {_times_text(named)}"
        rows.append((name, f"{text}; others {_times_text(others)}"))
    if attention := figures.get("attention"):
        rows.append(
            (
                "attention",
                f"{_times_text(attention)} on the named station, by {attention['reader']}",
            )
        )
    return rows


def _times_text(times: Mapping[str, float | None]) -> str:
    if times["times"] is None:
        return "none in view"
    text = f"{times['times']:.1f}x its pixels"
    return (
        text if times["low"] is None else f"{text} (95 % {times['low']:.1f} to {times['high']:.1f})"
    )
