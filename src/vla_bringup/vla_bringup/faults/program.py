"""`vla faults` without its arguments: plan, run, tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from vla_bringup.faults.campaign import Settings, run_campaign
from vla_bringup.faults.kinds import Delays, chosen
from vla_bringup.faults.plan import Trial, plan
from vla_bringup.faults.results import Result, ResultsFile
from vla_bringup.faults.summary import summarize, table
from vla_core.contract import Contract

SCENE_SEED: Final = 1_000_000


def list_kinds(contract: Path) -> str:
    """All faults with what happens and from when they can be noticed, for people; as Markdown."""
    live = Contract.load(contract)
    lines = ["| fault | what happens | noticed after |", "|---|---|---|"]
    for kind in chosen(None):
        allowance_s = kind.allowance_s(live, Delays())
        noticed = f"{allowance_s:g} s ({kind.allowance.value})" if allowance_s else "at once"
        lines.append(f"| {kind.name} | {kind.text} | {noticed} |")
    return "\n".join(lines)


def run_faults(
    *,
    trials: int,
    seed: int,
    kinds: Sequence[str] | None,
    path: Path | None,
    resume: bool,
    minutes: float | None,
    policy: Path,
    contract: Path,
    logs: Path | None,
    progress: Callable[[str], None],
) -> int:
    """Run what is left of a campaign, and print its table.

    Args:
        trials: of the whole campaign.
        seed: of the campaign.
        kinds: names; None for all.
        path: of the results; None for none.
        resume: whether to go on with that file.
        minutes: begin no further trial after this time; None for no limit.
        policy: bundle that drives.
        contract: file of the robot's contract.
        logs: folder of the processes' output; None to throw it away.
        progress: takes a line for each trial.

    Returns:
        Exit code: 1 if a trial was unsafe or could not be carried out.

    Raises:
        VlaError: the campaign cannot be carried out.
    """
    faults = chosen(kinds)
    names = [kind.name for kind in faults]
    campaign = {"trials": trials, "seed": seed, "kinds": names, "policy": str(policy)}
    file = ResultsFile(path, campaign, resume=resume)
    deadline_s = None if minutes is None else time.monotonic() + 60.0 * minutes
    left = file.left_of(plan(trials, seed, faults))
    begun_s = time.monotonic()

    def tell(result: Result) -> None:
        done = len(file.results)
        pace_s = (time.monotonic() - begun_s) / max(1, done - (trials - len(left)))
        rest_min = pace_s * (trials - done) / 60.0
        progress(f"{done}/{trials} {_line(result)} (about {rest_min:.0f} min left)")

    if left:
        settings = Settings(policy, contract, SCENE_SEED, logs)
        run_campaign(_until(left, deadline_s), settings, file, tell)
    summaries = summarize(file.results, names)
    print(table(summaries))  # noqa: T201
    for each in summaries[:-1]:
        if each.unsafe_seeds:
            seeds = ", ".join(map(str, each.unsafe_seeds))
            print(f"unsafe: --kinds {each.name} --trials 1 --seed {seeds}")  # noqa: T201
        if each.failed:
            print(f"not carried out: {each.failed} of {each.name}")  # noqa: T201
    missing = trials - len(file.results)
    if missing:
        print(f"{missing} trials left: --resume goes on")  # noqa: T201
    return 1 if summaries[-1].unsafe or summaries[-1].failed else 0


def _until(trials: Sequence[Trial], deadline_s: float | None) -> Iterator[Trial]:
    for trial in trials:
        if deadline_s is not None and time.monotonic() > deadline_s:
            return
        yield trial


def _line(result: Result) -> str:
    if not result.counts:
        return f"{result.kind} (seed {result.seed}): not carried out: {result.problem}"
    took_s = result.time_to_zero_s
    took = "never" if took_s is None else f"{1e3 * took_s:.0f} ms"
    verdict = " UNSAFE" * result.unsafe + " (moved again)" * result.resumed
    return f"{result.kind} (seed {result.seed}): zero after {took}{verdict}"
