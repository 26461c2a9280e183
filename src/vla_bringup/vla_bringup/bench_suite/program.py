"""`vla bench all` and `vla bench check`: from arguments to what is printed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vla_bringup.bench_suite.campaign import Options, Progress, measure, minutes_text
from vla_bringup.bench_suite.page import limit_text, ratio_text, spread_text, write_page
from vla_bringup.bench_suite.plan import PLAN
from vla_bringup.bench_suite.reference import (
    Change,
    compare,
    read_reference,
    write_reference,
)
from vla_bringup.bench_suite.results import (
    BenchSuiteError,
    Figure,
    Result,
    figures_of,
    read_results,
)
from vla_training.benchmarks.lerobot_environment import default_folder
from vla_training.benchmarks.markdown_page import NOTHING, check_docs

Show = Callable[[str], None]
"""Receives a line."""


def measure_all(args: argparse.Namespace, show: Show, say: Show) -> int:
    """`vla bench all`.

    Args:
        args: See `arguments`.
        show: Receives the figures.
        say: Receives what happens meanwhile.

    Returns:
        1 if a benchmark failed.

    Raises:
        BenchSuiteError: If a file cannot be written, or is no result.
    """
    folder = _folder(args)
    options = Options(folder, args.quick, _peer(args.peer), args.data)
    if args.docs is not None:
        check_docs(args.docs)
    progress = None
    if args.only:
        names = [name for name in PLAN if name in args.only]
    else:
        progress = Progress(folder) if args.again else Progress.resume(folder)
        names = [name for name in PLAN if name not in progress.done]
    if args.list:
        _show_lines(show, _plan_lines(names, options))
        return 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if progress:
            if progress.done:
                say(f"done before: {', '.join(progress.done)} (--again measures all anew)")
            progress.keep()
        failed = measure(names, options, say, progress.note if progress else lambda name: None)
        results = read_results(folder, args.quick)
        figures = figures_of(results.values())
        if figures:
            _show_lines(show, _figure_lines(list(figures.values())))
        if args.docs is not None and results:
            write_page(args.docs, results.values(), figures)
    except OSError as error:
        raise BenchSuiteError(f"{folder}: {error}; name another folder with --out") from error
    for name, reason in failed.items():
        show(f"failed: {name}: {reason}")
    return 1 if failed else 0


def check(args: argparse.Namespace, show: Show) -> int:
    """`vla bench check`.

    Args:
        args: See `arguments`.
        show: Receives the verdicts.

    Returns:
        1 if a figure got worse.

    Raises:
        BenchSuiteError: If there are no results or no stored figures, or a file cannot be written.
    """
    folder = _folder(args)
    if args.docs is not None:
        check_docs(args.docs)
    results = read_results(folder, args.quick)
    if not results:
        quick = " --quick" if args.quick else ""
        raise BenchSuiteError(
            f"{folder} holds no results; measure with vla bench all{quick}, or name the folder "
            "with --out"
        )
    figures = figures_of(results.values())
    if args.docs is not None:
        write_page(args.docs, results.values(), figures)
    if args.store:
        try:
            write_reference(args.reference, figures, args.quick)
        except OSError as error:
            raise BenchSuiteError(f"{args.reference} cannot be written: {error}") from error
        show(f"stored {len(figures)} figures in {args.reference}")
        return 0
    if not args.reference.is_file() and args.docs is not None:
        return 0  # the page was all that there was to do
    changes = compare(figures, read_reference(args.reference, args.quick))
    text = json.dumps([change.to_dict() for change in changes], indent=2)
    if args.json == "-":
        show(text)
    else:
        if args.json:
            _write(Path(args.json), text + "\n")
        _show_lines(show, _change_lines(changes))
        _show_lines(show, _remarks(changes, results.values()))
    return 1 if any(change.verdict == "worse" for change in changes) else 0


def _folder(args: argparse.Namespace) -> Path:
    return args.out / "quick" if args.quick else args.out


def _peer(folder: Path | None) -> Path | None:
    """Environment with LeRobot: the named one, or that of the user's cache if it is there."""
    if folder is not None:
        return folder
    return default_folder() if (default_folder() / "bin" / "python").is_file() else None


def _show_lines(show: Show, lines: Sequence[str]) -> None:
    for line in lines:
        show(line)


def _plan_lines(names: Sequence[str], options: Options) -> list[str]:
    efforts = {name: options.effort(name) for name in names}
    rows = [
        (minutes_text(effort.minutes), " ".join(("vla bench", name, *effort.arguments)))
        for name, effort in efforts.items()
    ]
    total = sum(effort.minutes for effort in efforts.values())
    return [*_columns(rows), f"{minutes_text(total)} in all"]


def _figure_lines(figures: Sequence[Figure]) -> list[str]:
    met = {True: "met", False: "MISSED", None: ""}
    rows = [
        (figure.name, spread_text(figure), limit_text(figure), met[figure.within_limit])
        for figure in figures
    ]
    return _columns([("figure", "ratio", "limit", ""), *rows])


def _change_lines(changes: Sequence[Change]) -> list[str]:
    """One for each, those that got worse first."""
    rows = []
    for change in sorted(changes, key=lambda each: each.verdict != "worse"):
        now, stored = change.now, change.stored
        rows.append(
            (
                change.verdict,
                change.name,
                spread_text(now) if now else NOTHING,
                ratio_text(stored.value) if stored else NOTHING,
                "" if change.worse_by is None else f"{round(-100.0 * change.worse_by):+d} %",
                "" if change.tolerance is None else f"{100.0 * change.tolerance:.0f} %",
            )
        )
    return _columns([("", "figure", "now", "stored", "better by", "tolerated"), *rows])


def _remarks(changes: Sequence[Change], results: Iterable[Result]) -> list[str]:
    """What the verdicts have to be read with."""
    lines = []
    if missing := [change.name for change in changes if change.verdict == "missing"]:
        lines.append(f"missing, stored but not measured: {', '.join(missing)}")
    machines = sorted(
        {
            f"{change.stored.machine.get('cpu')}, {change.stored.machine.get('cores')} cores"
            for change in changes
            if change.stored
        }
    )
    if machines:
        lines.append(f"stored figures are of: {'; '.join(machines)}")
    busy = [
        f"{result.benchmark} ({result.load['before']:.1f})"
        for result in results
        if result.load["before"] > 1.0 + result.machine.get("cores", 1)
    ]
    if busy:
        lines.append(f"measured on a busy machine (load average before): {', '.join(busy)}")
    return lines


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise BenchSuiteError(f"{path} cannot be written: {error}") from error


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
