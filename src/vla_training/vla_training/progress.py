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
    """A bar with a note beside it.

    Attributes:
        shown: Whether anything is printed.
    """

    def __init__(self, progress: Progress, task: TaskID, show: bool) -> None:
        self._progress = progress
        self._task = task
        self.shown = show

    def advance(self, note: str = "", steps: int = 1) -> None:
        """Move on by some steps and show a note."""
        self._progress.update(self._task, advance=steps, note=note)

    def say(self, line: str) -> None:
        """Print a line above the bar; without a terminal, only the lines appear."""
        if not self.shown:
            return
        self._progress.console.print(line, markup=False, highlight=False)


@contextmanager
def progress_bar(description: str, total: int, show: bool = True) -> Iterator[ProgressBar]:
    """Show a bar while the context is open, where standard error is a terminal."""
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
        yield ProgressBar(progress, progress.add_task(description, total=total, note=""), show)
