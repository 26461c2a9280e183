"""What ``vla sim`` does: a driver of the evaluation in the viewer of the simulator."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core.errors import VlaError
from vla_core.keys import IMAGE
from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv
from vla_simulation.viewer.live import run_live
from vla_simulation.viewer.page import PageServer
from vla_simulation.viewer.plan import follow
from vla_simulation.viewer.session import EpisodeChoice, Session
from vla_simulation.viewer.video import check_video_path, open_video
from vla_simulation.viewer.window import has_display
from vla_training.evaluation.drivers import Driver, ExpertDriver, PolicyDriver
from vla_training.evaluation.evaluate import EvaluationConfig, make_driver

VIDEO_EVERY_TICKS: Final = 2
_EXPERT_HORIZON: Final = 20


class ViewError(VlaError):
    """What is asked for does not go together."""


@dataclass(frozen=True)
class SimulationView:
    """The arguments of ``vla sim``.

    Attributes:
        policy: bundle, or name of a driver.
        suite: that episodes are drawn from.
        seed: of the first one.
        episodes: how many; None for one, or with a view for no end.
        instruction: what the policy is told instead of the drawn sentence, or empty.
        station: index of the commanded one, or None as drawn.
        view: auto, page, window or None.
        video: file to write, or None.
        port: of the page.
        as_json: print the episodes as JSON.
    """

    policy: str
    suite: str
    seed: int
    episodes: int | None = None
    instruction: str = ""
    station: int | None = None
    view: str | None = None
    video: Path | None = None
    port: int = 0
    as_json: bool = False


class ShownDriver:
    """A driver of the evaluation that also says what it intends."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    @property
    def interventions(self) -> Mapping[str, int]:
        """Of the safety envelope, by reason."""
        return self._driver.interventions

    def reset(self, env: DockingEnv) -> None:
        """An episode begins."""
        self._driver.reset(env)

    def command(self, env: DockingEnv) -> np.ndarray:
        """The command (2,) [m/s, rad/s] for what the environment shows now."""
        return self._driver.command(env)

    def planned(self, env: DockingEnv) -> np.ndarray:
        """Commands (N, 2) from now on: a policy's chunk, what the expert will do; N may be 0."""
        if isinstance(self._driver, PolicyDriver):
            return self._driver.planned(env)
        if isinstance(self._driver, ExpertDriver):
            pose, actions = env.truth.dock_from_base, []
            for _ in range(_EXPERT_HORIZON):
                actions.append(expert_action(pose))
                pose = follow(pose, np.array(actions[-1:]), CONTROL_PERIOD_S)[-1]
            return np.array(actions)
        return np.zeros((0, 2))


def watch(asked: SimulationView) -> int:
    """Carry ``vla sim`` out; 0 when everything was shown.

    Raises:
        VlaError: something that is asked for cannot be had.
    """
    _check(asked)
    driver = make_driver(EvaluationConfig(asked.policy))
    if isinstance(driver, PolicyDriver):
        driver.sentence = asked.instruction
    seen = asked.view is not None or asked.video is not None
    env = DockingEnv(asked.suite, render=seen or IMAGE in driver.streams, config=driver.hardware)
    try:
        choice = EpisodeChoice(asked.seed, asked.station, asked.instruction, driver.options)
        session = Session(env, ShownDriver(driver), Path(asked.policy).name, choice)
        if asked.view is not None:
            return _live(asked, session)
        return _run(asked, session)
    finally:
        env.close()


def _check(asked: SimulationView) -> None:
    if asked.view is not None and (asked.video is not None or asked.as_json):
        other = "--video" if asked.video is not None else "--json"
        raise ViewError(f"--view and {other} are both given, expected one of them")
    if asked.view == "window" and not has_display():
        raise ViewError(
            "--view window, but there is no display (DISPLAY and WAYLAND_DISPLAY are not set); "
            "use --view page, or --video FILE.mp4"
        )
    if asked.video is not None:
        check_video_path(asked.video)


def _live(asked: SimulationView, session: Session) -> int:
    window = asked.view == "window" or (asked.view == "auto" and has_display())
    with PageServer(session, asked.port) as page:
        _say(f"watch at {page.url} (Ctrl-C ends it)")
        run_live(
            session,
            page,
            window=window,
            episodes=asked.episodes,
            on_end=lambda: _say(_line(_record(session))),
        )
    return 0


def _run(asked: SimulationView, session: Session) -> int:
    """Episode by episode, as fast as it goes."""
    period_ms = round(VIDEO_EVERY_TICKS * CONTROL_PERIOD_S * 1e3)
    video = None if asked.video is None else open_video(asked.video, period_ms)
    records = []
    try:
        for number in range(asked.episodes or 1):
            if number:
                session.begin_next()
            if video is None:
                session.run_to_end()
            else:
                session.play(video.write, VIDEO_EVERY_TICKS)
            records.append(_record(session))
            if not asked.as_json:
                _say(_line(records[-1]))
    finally:
        if video is not None:
            video.close()
    if asked.as_json:
        _say(json.dumps(records, indent=1, ensure_ascii=False))
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _record(session: Session) -> dict[str, Any]:
    moment = session.moment()
    truth, scene = moment.truth, moment.scene
    contact = truth.contact_speed_mps
    return {
        "seed": moment.seed,
        "suite": moment.suite,
        "outcome": "timeout" if moment.outcome == "driving" else moment.outcome,
        "instruction": moment.sentence,
        "stations": len(scene.stations),
        "goal": scene.goal,
        "docked_station": truth.docked_station,
        "time_s": round(session.end_s, 2),
        "longitudinal_error_mm": round(truth.dock_from_base.x * 1e3, 2),
        "lateral_error_mm": round(truth.dock_from_base.y * 1e3, 2),
        "yaw_error_deg": round(math.degrees(truth.dock_from_base.yaw), 3),
        "contact_speed_mps": None if math.isnan(contact) else round(contact, 4),
        "interventions": dict(moment.interventions),
    }


def _line(record: dict[str, Any]) -> str:
    return (
        f"seed {record['seed']:<8} {record['outcome']:<13} {record['time_s']:5.1f} s  "
        f"{record['longitudinal_error_mm']:+7.1f} mm along  "
        f"{record['lateral_error_mm']:+7.1f} mm across  {record['yaw_error_deg']:+6.2f}°  "
        f"“{record['instruction']}”"
    )
