"""Progress on the terminal: one bar on standard error, silent where nobody watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressBar:
    """A bar with a note beside it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, note: str = "", steps: int = 1) -> None:
        """Move on by some steps and show a note."""
        self._progress.update(self._task, advance=steps, note=note)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(line, markup=False, highlight=False)


@contextmanager
def progress_bar(description: str, total: int, show: bool = True) -> Iterator[ProgressBar]:
    """Show a bar while the context is open; it disappears where standard error is no terminal."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not show or not console.is_terminal,
    )
    with progress:
        yield ProgressBar(progress, progress.add_task(description, total=total, note=""))
