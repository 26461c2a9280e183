"""Runs benchmarks one after the other, each as a process of its own, and goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vla_bringup.bench_suite.plan import PLAN, Effort
from vla_bringup.bench_suite.results import BenchSuiteError, Result, result_path
from vla_bringup.node_process import die_with_parent

UNFINISHED: Final = "unfinished.json"
"""Names what is done of a call that was interrupted, or in which something failed."""

_GRACE_S: Final = 60.0
_LIMIT_FACTOR: Final = 3.0
_LIMIT_OFFSET_MIN: Final = 10.0


@dataclass(frozen=True)
class Options:
    """What is measured, and where the results go.

    Attributes:
        folder: Receives `NAME.json` and `NAME.log`; files to measure with are below `work` in it.
        quick: For a look.
        peer: Environment with LeRobot; None for none.
        data: Data set that is loaded; None for one that the expert drives.
    """

    folder: Path
    quick: bool = False
    peer: Path | None = None
    data: Path | None = None

    def effort(self, name: str) -> Effort:
        """What is run of a benchmark, and how long that takes."""
        effort = PLAN[name].effort(self.quick, self.peer)
        if name == "load" and self.data is not None:
            return Effort((*effort.arguments, "--data", str(self.data)), effort.minutes)
        return effort


@dataclass
class Progress:
    """What is done of all benchmarks, on the disk.

    Attributes:
        folder: Of the results.
        done: Names.
    """

    folder: Path
    done: list[str] = field(default_factory=list)

    @classmethod
    def resume(cls, folder: Path) -> Progress:
        """That of an earlier call that was not finished, as far as its results are still there."""
        try:
            noted = set(json.loads((folder / UNFINISHED).read_text("utf-8"))["done"])
        except (OSError, ValueError, KeyError, TypeError):
            noted = set()
        return cls(
            folder,
            [name for name in PLAN if name in noted and result_path(folder, name).is_file()],
        )

    def note(self, name: str) -> None:
        """Remember that this one is done; once all are nothing is unfinished."""
        self.done.append(name)
        if set(self.done) >= set(PLAN):
            (self.folder / UNFINISHED).unlink(missing_ok=True)
        else:
            self.keep()

    def keep(self) -> None:
        """Write what is done."""
        temporary = self.folder / f".{UNFINISHED}.partial"
        temporary.write_text(json.dumps({"done": self.done}) + "\n", "utf-8")
        temporary.replace(self.folder / UNFINISHED)


def measure(
    names: Sequence[str],
    options: Options,
    say: Callable[[str], None],
    finished: Callable[[str], None] = lambda name: None,
) -> dict[str, str]:
    """Run benchmarks.

    Args:
        names: Of the plan, in the order of their run.
        options: How.
        say: Receives a line about each when it begins and when it ends.
        finished: Receives the name of each that has succeeded.

    Returns:
        Why some failed, by name.

    Raises:
        BenchSuiteError: If the folder cannot be written.
    """
    failed = {}
    for number, name in enumerate(names, 1):
        minutes = options.effort(name).minutes
        say(f"{name} ({number} of {len(names)}): about {minutes_text(minutes)}")
        begun_s = time.monotonic()
        try:
            reason = _run(name, options)
        except OSError as error:
            raise BenchSuiteError(
                f"{options.folder} cannot receive the results of {name}: {error}; name another "
                "folder with --out"
            ) from error
        took = minutes_text((time.monotonic() - begun_s) / 60.0)
        if reason:
            failed[name] = reason
            say(f"{name} failed after {took}: {reason}; see {options.folder / name}.log")
        else:
            say(f"{name} done in {took}")
            finished(name)
    return failed


def minutes_text(minutes: float) -> str:
    """A time as one says it."""
    return f"{minutes:.1f} min" if minutes >= 1.0 else f"{60.0 * minutes:.0f} s"


def _run(name: str, options: Options) -> str:
    """Run one benchmark; why it failed, or nothing."""
    effort = options.effort(name)
    work = options.folder / "work" / name
    partial = options.folder / f".{name}.json.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    partial.unlink(missing_ok=True)
    command = [sys.executable, "-m", "vla_bringup.cli", "bench", name, *effort.arguments]
    limit_s = 60.0 * (_LIMIT_FACTOR * effort.minutes + _LIMIT_OFFSET_MIN)
    log = options.folder / f"{name}.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, "--out", str(work), "--json", str(partial)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"it was not finished after {minutes_text(limit_s / 60.0)}, and was ended"
        finally:
            _end(process)
    if code:
        return f"code {code}: {_last_line(log)}"
    try:
        Result.read(partial)
    except BenchSuiteError as error:
        return str(error)
    partial.replace(result_path(options.folder, name))
    shutil.rmtree(work, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are still there: what failed is left for a look
        work.parent.rmdir()
    return ""


def _end(process: subprocess.Popen) -> None:
    """End a benchmark that is still running as Ctrl-C would; nothing of it stays."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), "no output")
