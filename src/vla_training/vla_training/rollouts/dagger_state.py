"""What is known of a DAgger run, in a file: an interrupted run goes on from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from vla_training.dataset.parts import move_into_place
from vla_training.errors import RolloutError
from vla_training.evaluation.report import write_json
from vla_training.rollouts.dagger_config import DaggerConfig

STATE_FILE: Final = "dagger.json"


def write_state(state: dict[str, Any], folder: Path) -> None:
    """Replace what is known of the run, whole or not at all."""
    temporary = folder / f".{STATE_FILE}.partial"
    write_json(state, temporary)
    move_into_place(temporary, folder / STATE_FILE)


def open_state(config: DaggerConfig) -> dict[str, Any]:
    """What is known of the run.

    Raises:
        RolloutError: If it cannot be read, or is another run's.
    """
    path = config.output / STATE_FILE
    settings = json.loads(json.dumps(config.settings()))
    if not path.exists():
        config.output.mkdir(parents=True, exist_ok=True)
        state = {"settings": settings, "rounds": []}
        write_state(state, config.output)
        return state
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        there = state["settings"]
        changed = [
            f"{name} {there.get(name)!r} there, {settings.get(name)!r} now"
            for name in {**there, **settings}
            if there.get(name) != settings.get(name)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RolloutError(
            f"dagger: {path} cannot be read ({error}); name another output folder"
        ) from error
    if changed:
        raise RolloutError(
            f"dagger: {config.output} holds a run with other settings ({'; '.join(changed)}); "
            "take them again or name another output folder"
        )
    return state
