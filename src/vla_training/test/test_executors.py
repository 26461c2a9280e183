"""Jobs run in several processes, of which this one is one unless it must not be."""

import os
import time
from pathlib import Path

import pytest

from vla_training.errors import ConversionError
from vla_training.executors import Work, executor

SHARED = Work(ConversionError, "waiting", "; nothing is kept")
APART = Work(ConversionError, "waiting", "; nothing is kept", single_threaded=True)
PATIENCE_S = 60.0


def meet(folder: Path) -> int:
    """Wait until two processes are at it."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + PATIENCE_S
    while len(list(folder.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)
    return os.getpid()


def die_elsewhere(parent: int) -> int:
    """End the process, unless that is the parent, which takes its time."""
    if os.getpid() != parent:
        os._exit(1)
    time.sleep(0.05)
    return parent


@pytest.mark.parametrize(("work", "is_here"), [(SHARED, True), (APART, False)])
def test_jobs_meet_in_two_processes(tmp_path, work, is_here):
    processes = set(executor(work, 2)(meet, [tmp_path] * 4))
    assert len(processes) == 2
    assert (os.getpid() in processes) == is_here


def test_a_dead_process_is_said_in_one_line():
    with pytest.raises(ConversionError, match="a process died while waiting") as caught:
        list(executor(SHARED, 2)(die_elsewhere, [os.getpid()] * 1000))
    assert str(caught.value).endswith("--jobs 1; nothing is kept")


def test_an_error_ends_the_rest():
    with pytest.raises(ValueError, match="invalid literal"):
        list(executor(SHARED, 2)(int, ["1", "x", *["2"] * 100]))
