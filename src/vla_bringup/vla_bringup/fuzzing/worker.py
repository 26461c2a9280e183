"""The process in which a target runs: it may crash, hang or be killed.

Called with one argument, the JSON of a `Job`. Its working directory is its scratch.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from vla_bringup.fuzzing.engines import ATHERIS, instrumented, run_answers, run_atheris
from vla_bringup.fuzzing.execution import Execution
from vla_bringup.fuzzing.findings import FindingsFolder
from vla_bringup.fuzzing.shared_page import SharedPage
from vla_bringup.fuzzing.subject import Subject
from vla_bringup.fuzzing.targets import subject_of, target_of
from vla_core.errors import VlaError

STACKS_FILE: Final = "stacks"
SUFFIX_FILE: Final = "suffix"
STACKS_SIGNAL: Final = signal.SIGUSR1
"""Has the stacks of all threads written, wherever the process is."""

UNUSABLE: Final = 3
"""Exit code if the target itself cannot be set up."""


@dataclass(frozen=True)
class Job:
    """What a process is to do.

    Attributes:
        target: name.
        engine: one of `engines.ENGINES`.
        seed: of all that is drawn.
        seconds: to go on for.
        folder: of page, scratch and stacks.
        corpus: of inputs worth changing.
        findings: folder of what is found.
        memory_bytes: that one input may take.
        replay: file with the only input to try; empty to fuzz.
    """

    target: str
    engine: str
    seed: int
    seconds: float
    folder: str
    corpus: str
    findings: str
    memory_bytes: int
    replay: str = ""

    def command(self) -> list[str]:
        """That starts the process."""
        return [sys.executable, "-m", __name__, json.dumps(asdict(self))]


def main() -> int:
    """Run a job; whoever started the process looks at the page."""
    job = Job(**json.loads(sys.argv[1]))
    folder = Path(job.folder)
    # Kept open for as long as the process lives, for handlers that cannot open files.
    stacks = (folder / STACKS_FILE).open("w")
    faulthandler.enable(stacks)
    faulthandler.register(STACKS_SIGNAL, stacks, all_threads=True)
    logging.disable(logging.WARNING)
    target = target_of(job.target)
    page = SharedPage(folder)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    os.chdir(scratch)
    try:
        with instrumented(job.engine, target.packages):
            subject_class = subject_of(target)
        subject = subject_class(scratch)
    except VlaError as error:
        print(f"unusable: {error}", file=sys.stderr)  # noqa: T201
        return UNUSABLE
    # What it takes to import a target is not taken from its time.
    deadline_s = time.monotonic() + job.seconds
    (folder / SUFFIX_FILE).write_text(subject.suffix)
    keep = FindingsFolder(Path(job.findings), subject.suffix).keep
    execute = Execution(target.name, subject, page, job.memory_bytes, keep)
    if job.replay:
        return _replay(execute, subject, Path(job.replay))
    if job.engine == ATHERIS:
        run_atheris(execute, subject, job.seed, job.seconds, Path(job.corpus))
    run_answers(execute, subject, job.seed, deadline_s)
    subject.close()
    return 0


def _replay(execute: Execution, subject: Subject, path: Path) -> int:
    outcome = execute(path.read_bytes())
    answer = outcome.answer or "accepted"
    print(outcome.finding.trace if outcome.finding else answer, flush=True)  # noqa: T201
    subject.close()
    return 0


if __name__ == "__main__":
    # Threads that a target has left must not keep the process.
    CODE = main()
    sys.stdout.flush()
    os._exit(CODE)
