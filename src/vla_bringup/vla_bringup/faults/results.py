"""The file of a campaign: a line of JSON per trial, so that one that was interrupted goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vla_bringup.faults.errors import CampaignError
from vla_bringup.faults.plan import Trial


@dataclass(frozen=True)
class Result:
    """What became of a trial.

    Attributes:
        index: of the trial.
        kind: of the fault.
        seed: with the kind, everything that was drawn.
        rest_s: from the fault to the zero after the last motion; None if there was none.
        allowance_s: of it, what the kind may take until it can be noticed.
        unsafe: whether that zero came too late or never.
        resumed: whether the robot stood before and was told to move again.
        stall_s: the longest time for which a thread of the campaign had to wait for its turn
            meanwhile: what the machine itself took.
        duration_s: of the whole trial, recovery included.
        reason: why the goal ended, as the node says.
        problem: why the trial could not be carried out; it is neither safe nor unsafe then.
    """

    index: int
    kind: str
    seed: int
    rest_s: float | None = None
    allowance_s: float = 0.0
    unsafe: bool = False
    resumed: bool = False
    stall_s: float = 0.0
    duration_s: float = 0.0
    reason: str = ""
    problem: str = ""

    @property
    def counts(self) -> bool:
        """Whether it was carried out."""
        return not self.problem

    @property
    def time_to_zero_s(self) -> float | None:
        """Without the allowance, at least 0; None if there was no zero."""
        return None if self.rest_s is None else max(0.0, self.rest_s - self.allowance_s)


class ResultsFile:
    """Takes results in, one line each, after a line that says which campaign they are of.

    Args:
        path: of the file; None for nowhere.
        campaign: what decides the trials.
        resume: whether an existing file is gone on with.

    Raises:
        CampaignError: the file exists and shall not be gone on with, belongs to another campaign,
            or is none.
    """

    def __init__(self, path: Path | None, campaign: Mapping[str, Any], *, resume: bool) -> None:
        self._path = path
        self.results: list[Result] = []
        if path is None:
            return
        if path.exists():
            if not resume:
                raise CampaignError(
                    f"{path} exists already; go on with it (--resume) or name another file"
                )
            self._read(path, campaign)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write({"campaign": dict(campaign)})

    def add(self, result: Result) -> None:
        """Take a result in."""
        self.results.append(result)
        self._write(asdict(result))

    def left_of(self, trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
        """The trials without a result; those that could not be carried out count as done."""
        done = {result.index for result in self.results}
        return tuple(trial for trial in trials if trial.index not in done)

    def _write(self, content: Mapping[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(content) + "\n")

    def _read(self, path: Path, campaign: Mapping[str, Any]) -> None:
        text = path.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole)  # the line that was being written when the campaign was killed
        names = {field.name for field in fields(Result)}
        try:
            first, *lines = [json.loads(line) for line in whole.splitlines()]
            theirs = first["campaign"]
            self.results = [
                Result(**{name: value for name, value in line.items() if name in names})
                for line in lines
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CampaignError(f"{path}: no file of a fault campaign ({error})") from error
        for name, value in campaign.items():
            if theirs.get(name) != value:
                raise CampaignError(
                    f"{path}: of a campaign with {name} {theirs.get(name)}, not {value}; name "
                    "another file, or repeat the arguments of that campaign"
                )
