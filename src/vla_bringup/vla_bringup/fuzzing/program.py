"""`vla fuzz` without its arguments: run targets, tell, repeat a finding."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vla_bringup.fuzzing.campaign import Limits, TargetResult, replay, run_target
from vla_bringup.fuzzing.engines import check_engine
from vla_bringup.fuzzing.findings import kept_findings, target_of_finding
from vla_bringup.fuzzing.targets import TARGETS, chosen


def list_targets() -> str:
    """All targets with what they read, as Markdown."""
    lines = ["| target | what is read |", "|---|---|"]
    return "\n".join([*lines, *(f"| {t.name} | {t.text} |" for t in TARGETS.values())])


def run_fuzz(
    *,
    names: Sequence[str],
    engine: str,
    seed: int,
    minutes: float,
    out: Path,
    json_path: Path | None,
    limits: Limits,
    progress: Callable[[str], None],
) -> int:
    """Fuzz targets one after the other, and print a table.

    Args:
        names: of targets; none for all.
        engine: one of `engines.ENGINES`.
        seed: of all that is drawn.
        minutes: for each target.
        out: folder of findings, corpora and logs.
        json_path: of the results; None for none.
        limits: of one input.
        progress: takes a line for each target.

    Returns:
        Exit code: 1 if there is a finding, also an old one in the folder, or a target gave up.

    Raises:
        VlaError: a target or the engine cannot be used.
    """
    targets = chosen(names)
    check_engine(engine)
    results: list[dict[str, Any]] = []
    for target in targets:
        progress(f"{target.name} for {minutes:g} min")
        result = run_target(target.name, engine, seed, 60.0 * minutes, out, limits)
        results.append({**result.to_dict(), "findings": _findings(out, result)})
        progress(_line(results[-1]))
        if json_path is not None:
            document = {"engine": engine, "seed": seed, "minutes": minutes, "targets": results}
            json_path.parent.mkdir(parents=True, exist_ok=True)
            json_path.write_text(json.dumps(document, indent=1) + "\n")
    print(_table(results))  # noqa: T201
    found = [finding for each in results for finding in each["findings"]]
    for finding in found:
        print(f"{finding['kind']}: {finding['text']}\n  vla fuzz --replay {finding['file']}")  # noqa: T201
    return 1 if found or any(each["problem"] for each in results) else 0


def run_replay(path: Path, names: Sequence[str], limits: Limits) -> int:
    """Try the input of a finding again, and print what comes of it.

    Args:
        path: of the input.
        names: the target; none to take it from the file beside the finding.
        limits: of the input.

    Returns:
        Exit code: 1 if it breaks something.

    Raises:
        VlaError: the target is not known, or cannot be used.
    """
    name = names[0] if names else target_of_finding(path)
    finding, text = replay(name, path, limits)
    print(text)  # noqa: T201
    print(f"{finding.kind}: {finding.text}" if finding else "nothing is broken")  # noqa: T201
    return 1 if finding else 0


def _findings(out: Path, result: TargetResult) -> list[dict[str, str]]:
    return [
        {**{key: values[key] for key in ("kind", "text", "signature")}, "file": str(path)}
        for path, values in kept_findings(out / "findings")
        if values["target"] == result.target
    ]


def _line(result: dict[str, Any]) -> str:
    found = len(result["findings"])
    return (
        f"{result['target']}: {result['executions']} executions, {found} "
        f"{'finding' if found == 1 else 'findings'}"
    )


def _table(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| target | seed | executions | per second | accepted | edges | CPU time | findings |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        share = each["accepted"] / max(1, each["executions"])
        lines.append(
            f"| {each['target']} | {each['seed']} | {each['executions']:,} | "
            f"{each['executions_per_s']:g} | {100 * share:.0f} % | "
            f"{each['coverage'].get('edges', '')} | {each['cpu_s'] / 60:.1f} min | "
            f"{len(each['findings'])} {each['problem']} |"
        )
    return "\n".join(lines)
