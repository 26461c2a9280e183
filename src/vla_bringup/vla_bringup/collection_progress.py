"""How far a collection has come: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_PERIOD_S: Final = 15.0


class CollectionProgress:
    """Shows episodes, successes, speed and the time that is left; a context manager."""

    def __init__(self, total: int, *, show: bool) -> None:
        """Prepare the display.

        Args:
            total: episodes that the collection shall have.
            show: whether to show anything.
        """
        console = Console(stderr=True)
        self._lines = show and not console.is_terminal
        self._bar = Progress(
            TextColumn("collecting"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[docked]} docked, {task.fields[speed]:.0f} ticks/s, left:"),
            TimeRemainingColumn(),
            console=console,
            disable=not (show and console.is_terminal),
        )
        self._total = total
        self._done = 0
        self._docked = 0
        self._ticks = 0
        self._started_s: float | None = None
        self._next_line_s = 0.0
        self._task = self._bar.add_task("", total=total, docked=0, speed=0.0)

    def __enter__(self) -> CollectionProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def start(self, finished: Iterable[Mapping[str, Any]]) -> None:
        """Begin with the episodes that are there already."""
        for record in finished:
            self._done += 1
            self._docked += bool(record["success"])
        self._show()

    def advance(self, record: Mapping[str, Any]) -> None:
        """One more episode."""
        now_s = time.monotonic()
        if self._started_s is None:
            self._started_s = now_s - record["wall_s"]
        self._done += 1
        self._docked += bool(record["success"])
        self._ticks += record["ticks"]
        self._show()
        if self._lines and (now_s >= self._next_line_s or self._done == self._total):
            self._next_line_s = now_s + LINE_PERIOD_S
            self._bar.console.print(
                f"collecting: {self._done}/{self._total} episodes, {self._docked} docked, "
                f"{self._speed():.0f} ticks/s",
                highlight=False,
            )

    def _show(self) -> None:
        self._bar.update(self._task, completed=self._done, docked=self._docked, speed=self._speed())

    def _speed(self) -> float:
        elapsed_s = time.monotonic() - self._started_s if self._started_s is not None else 0.0
        return self._ticks / elapsed_s if elapsed_s > 0.0 else 0.0
