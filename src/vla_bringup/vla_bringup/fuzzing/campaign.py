"""Runs a target in processes of its own until its time is up, whatever happens to them."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from vla_bringup.fuzzing.errors import FuzzingError
from vla_bringup.fuzzing.findings import CRASH, HANG, Finding, FindingsFolder, kept_findings
from vla_bringup.fuzzing.shared_page import Progress, SharedPage
from vla_bringup.fuzzing.targets import target_of
from vla_bringup.fuzzing.worker import STACKS_FILE, STACKS_SIGNAL, SUFFIX_FILE, UNUSABLE, Job

_POLL_S: Final = 0.1
_STACKS_S: Final = 20.0
_WAITING: Final = 10.0
"""An input that computes nothing may take so many times longer until it counts as hung."""

_GRACE_S: Final = 120.0
_GIVE_UP: Final = 100
_STEP: Final = 7919
_COVERAGE: Final = re.compile(r"^#\d+.*\bcov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
_RAM: Final = Path("/dev/shm")
_RAM_BYTES: Final = 1 << 29


@dataclass(frozen=True)
class Limits:
    """What one input may take before it is a finding.

    Attributes:
        hang_s: of processor time; ten times as long if it waits.
        memory_bytes: beyond what the process held before.
    """

    hang_s: float = 20.0
    memory_bytes: int = 512 << 20


@dataclass
class TargetResult:
    """What became of a target.

    Attributes:
        target: name.
        seed: of its first process; the next ones' are counted on from it.
        executions: inputs that were tried.
        accepted: of these.
        refused: of these, with an error for a user.
        cpu_s: that its processes have taken.
        wall_s: that it took.
        processes: one, and one more for each that crashed, hung or was ended.
        coverage: edges, features and inputs worth keeping, as libFuzzer counts; empty without.
        problem: why it could not go on; empty if it could.
    """

    target: str
    seed: int
    executions: int = 0
    accepted: int = 0
    refused: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    processes: int = 0
    coverage: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the rate."""
        rate = self.executions / self.wall_s if self.wall_s else 0.0
        rounded = {"cpu_s": round(self.cpu_s, 1), "wall_s": round(self.wall_s, 1)}
        return {**vars(self), **rounded, "executions_per_s": round(rate, 1)}


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for inputs, in memory where there is room: each is written to a file."""
    has_room = _RAM.is_dir() and psutil.disk_usage(str(_RAM)).free > _RAM_BYTES
    with tempfile.TemporaryDirectory(
        prefix="vla_fuzz_", dir=_RAM if has_room else None, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def run_target(
    name: str, engine: str, seed: int, seconds: float, out: Path, limits: Limits
) -> TargetResult:
    """Fuzz a target for a while.

    Args:
        name: of the target.
        engine: one of `engines.ENGINES`.
        seed: of all that is drawn.
        seconds: to go on for.
        out: folder for findings, corpus and the log.
        limits: of one input.

    Raises:
        FuzzingError: the target cannot be set up.
    """
    target = target_of(name)
    result = TargetResult(name, seed)
    begun_s = time.monotonic()
    log = out / target.file_name / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    while (left_s := begun_s + seconds - time.monotonic()) > 0.0:
        if result.processes >= _GIVE_UP:
            result.problem = f"{_GIVE_UP} processes ended early"
            break
        with working_folder() as folder:
            job = Job(
                target=name,
                engine=engine,
                seed=seed + _STEP * result.processes,
                seconds=left_s,
                folder=str(folder),
                corpus=str((log.parent / "corpus").absolute()),
                findings=str((out / "findings").absolute()),
                memory_bytes=limits.memory_bytes,
            )
            ended = _run_process(job, limits, log)
        result.processes += 1
        result.executions += ended.progress.executions
        result.accepted += ended.progress.accepted
        result.refused += ended.progress.refused
        result.cpu_s += ended.cpu_s
        if ended.code == UNUSABLE:
            raise FuzzingError(f"target {name}: {_last_line(log)}")
        if ended.code > 0:
            result.problem = f"its process failed: {_last_line(log)}"
            break
    result.wall_s = time.monotonic() - begun_s
    counts = _COVERAGE.findall(log.read_text(errors="replace"))
    if counts:
        names = ("edges", "features", "corpus")
        result.coverage = dict(zip(names, map(int, counts[-1]), strict=True))
    return result


def replay(name: str, path: Path, limits: Limits) -> tuple[Finding | None, str]:
    """Try one input in a process of its own.

    Returns:
        What it breaks, and what the process has printed.

    Raises:
        FuzzingError: the target cannot be set up, or there is no such file.
    """
    if not path.is_file():
        raise FuzzingError(f"{path} does not exist; name a file of a finding")
    with working_folder() as folder:
        log, kept = folder / "log.txt", folder / "findings"
        log.write_text("")
        job = Job(
            target=name,
            engine="answers",
            seed=0,
            seconds=0.0,
            folder=str(folder),
            corpus="",
            findings=str(kept),
            memory_bytes=limits.memory_bytes,
            replay=str(path.absolute()),
        )
        ended = _run_process(job, limits, log)
        text = log.read_text(errors="replace").strip()
        if ended.code == UNUSABLE:
            raise FuzzingError(f"target {name}: {_last_line(log)}")
        if ended.finding is not None:
            return ended.finding, ended.finding.trace
        for _, values in kept_findings(kept):
            return Finding(**values, trace=text), text
        return None, text


@dataclass(frozen=True)
class _Ended:
    code: int
    progress: Progress
    cpu_s: float
    finding: Finding | None = None


def _run_process(job: Job, limits: Limits, log: Path) -> _Ended:
    folder = Path(job.folder)
    page = SharedPage(folder, create=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            job.command(), stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
    deadline_s = time.monotonic() + job.seconds + _GRACE_S if not job.replay else float("inf")
    finding, cpu_s, stopped = None, 0.0, False
    try:
        while process.poll() is None:
            cpu_s = _cpu_s(process.pid) or cpu_s
            if _is_hung(page.read(), cpu_s, limits):
                finding = _hang(job, process, folder)
                stopped = True
            elif time.monotonic() > deadline_s:
                stopped = True
            if stopped:
                break
            time.sleep(_POLL_S)
    finally:
        if process.poll() is None:
            process.kill()
        code = process.wait()
    progress = page.read()
    # Without a suffix it ended before it had a target.
    if code < 0 and not stopped and (folder / SUFFIX_FILE).is_file():
        text = f"the process was ended by {signal.Signals(-code).name}"
        finding = Finding.of_ending(job.target, CRASH, text, _stacks(folder))
    if finding is not None and not job.replay:
        suffix = (folder / SUFFIX_FILE).read_text()
        FindingsFolder(Path(job.findings), suffix).keep(finding, page.current_input())
    page.close()
    return _Ended(code, progress, cpu_s, finding)


def _is_hung(progress: Progress, cpu_s: float, limits: Limits) -> bool:
    if not progress.begun_ns:
        return False
    computed_s = cpu_s - 1e-9 * progress.cpu_ns
    waited_s = 1e-9 * (time.monotonic_ns() - progress.begun_ns)
    return computed_s > limits.hang_s or waited_s > _WAITING * limits.hang_s


def _hang(job: Job, process: subprocess.Popen[bytes], folder: Path) -> Finding:
    process.send_signal(STACKS_SIGNAL)
    deadline_s = time.monotonic() + _STACKS_S
    while not _stacks(folder).endswith("\n") and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
    return Finding.of_ending(job.target, HANG, "the input never came to an end", _stacks(folder))


def _stacks(folder: Path) -> str:
    return (folder / STACKS_FILE).read_text(errors="replace")


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("unusable: ") if lines else "it gave no reason"
