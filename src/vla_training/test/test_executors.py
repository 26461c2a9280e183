"""Jobs run in several processes, of which this one is one unless it must not be."""

import os
import time
from pathlib import Path

import pytest

from vla_training.errors import ConversionError
from vla_training.executors import Work, executor, standing_executor

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


def test_standing_processes_run_one_list_of_jobs_after_the_other(tmp_path):
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    with standing_executor(APART, 2) as run:
        first, second = (set(run(meet, [folder] * 4)) for folder in folders)
    assert first == second
    assert len(first) == 2
    assert os.getpid() not in first


def test_a_standing_process_that_dies_is_told():
    with (
        standing_executor(APART, 2) as run,
        pytest.raises(ConversionError, match="a process died while waiting"),
    ):
        list(run(die_elsewhere, [os.getpid()] * 2))


def test_one_standing_process_is_this_one():
    with standing_executor(APART, 1) as run:
        assert list(run(os.getpgid, [0])) == [os.getpgid(0)]
