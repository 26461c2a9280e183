"""Where the time goes: the hot paths of the project, each run alone and taken apart.

How long a call takes is measured first, with nothing looking on. Then the path runs once more under
a profiler, whose own cost falls on all parts; so only the parts' shares come from that run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_bringup.benchmarks.profiled_paths import (
    OTHERS,
    PATHS,
    ProfiledPath,
    conversion_path,
    frame_path,
    inference_path,
    tick_path,
    training_path,
)
from vla_bringup.resources import default_contract
from vla_core.contract import Contract
from vla_training.benchmarks.markdown_page import check_docs, put_between_marks, table
from vla_training.errors import BenchmarkError


def run(
    quick: bool = False,
    out: Path | None = None,
    *,
    contract: Path | None = None,
    paths: Sequence[str] | None = None,
    preset: str = "docking",
    docs: Path | None = None,
) -> dict[str, Any]:
    """`vla bench profile`.

    Args:
        quick: Fewer calls.
        out: Folder for bags, data sets and graphs; None for a temporary one.
        contract: Of the robot; None for the shipped one.
        paths: Some of `PATHS`; None for all.
        preset: Of the policy that infers, and of the training step.
        docs: Markdown file that receives the tables between its marks.

    Returns:
        By path: `what` a call is, `rounds` and `calls` in each, `ms` a call (median of the rounds,
        lowest and highest), and the `share` of its time that each of the costliest parts takes.

    Raises:
        BenchmarkError: A path is unknown, or `docs` has no place for the tables.
    """
    unknown = sorted(set(paths or ()) - set(PATHS))
    if unknown:
        raise BenchmarkError(
            f"vla bench profile knows no path {', '.join(unknown)}; it has {', '.join(PATHS)}"
        )
    if docs is not None:
        check_docs(docs)
    rules = Contract.load(contract or default_contract())
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=out) as name:
        folder = Path(name)
        for path in paths or PATHS:
            figures[path] = _make(path, rules, preset, folder).measure(quick)
    if docs is not None:
        put_between_marks(docs, page(figures))
    return figures


def _make(path: str, contract: Contract, preset: str, folder: Path) -> ProfiledPath:
    if path == "tick":
        return tick_path(contract)
    if path == "frame":
        return frame_path(contract, folder)
    if path == "inference":
        return inference_path(contract, preset, folder)
    if path == "conversion":
        return conversion_path(contract, folder)
    return training_path(contract, preset)


def page(figures: dict[str, Any]) -> str:
    """The tables of all paths in Markdown, whole lines."""
    return "\n".join(_section(path, entry) for path, entry in figures.items())


def _section(path: str, entry: dict[str, Any]) -> str:
    ms = entry["ms"]
    rows = [
        {
            "part": part if part == OTHERS else f"`{part}`",
            "share": f"{share:.1%}",
            "ms": f"{share * ms['median']:.3g}",
        }
        for part, share in entry["share"].items()
    ]
    return (
        f"### {path}\n\n"
        f"{entry['what']}: {ms['median']:.3g} ms ({ms['lowest']:.3g} to {ms['highest']:.3g} in "
        f"{entry['rounds']} rounds of {entry['calls']}).\n\n{table(rows)}\n"
    )
