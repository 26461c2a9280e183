"""Where independent jobs run: in this process, in several, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from vla_core.errors import VlaError

CONNECTION_TIMEOUT_S: Final = 10.0
"""How long to look for a scheduler."""

Job = TypeVar("Job")
Result = TypeVar("Result")

Executor = Callable[[Callable[[Job], Result], Sequence[Job]], Iterator[Result]]
"""Calls a function with each job; results come as they are ready, in any order."""

_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Work:
    """How errors speak of the jobs.

    Attributes:
        error: What is raised when processes or the cluster fail.
        name: What processes do, such as "converting".
        remedy: What to do when one has died.
        single_threaded: Processes on this machine compute on one thread each; none of them is
            this one, which may compute on more.
    """

    error: type[VlaError]
    name: str
    remedy: str
    single_threaded: bool = False


def executor(work: Work, processes: int, scheduler: str | None = None) -> Executor[Any, Any]:
    """The way to run jobs.

    Args:
        work: What they are.
        processes: On this machine; 1 for this process alone.
        scheduler: Address of a Dask scheduler, whose workers do the work instead.
    """
    if scheduler is not None:
        return lambda function, jobs: _on_cluster(work, scheduler, function, jobs)
    if processes == 1:
        return lambda function, jobs: (function(job) for job in jobs)
    return lambda function, jobs: _in_processes(work, processes, function, jobs)


@contextlib.contextmanager
def standing_executor(work: Work, processes: int) -> Iterator[Executor[Any, Any]]:
    """The way to run jobs again and again, in processes that stay in between.

    They keep what they have loaded, and starting them takes seconds. Each computes on one thread.

    Args:
        work: What the jobs are.
        processes: On this machine; 1 for this process alone.
    """
    if processes == 1:
        yield lambda function, jobs: (function(job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield lambda function, jobs: _in_pool(work, pool, function, jobs)


def _in_pool(
    work: Work, pool: ProcessPoolExecutor, function: Callable[[Job], Result], jobs: Sequence[Job]
) -> Iterator[Result]:
    with _single_threaded_children():  # the pool starts its processes as jobs come
        futures = [pool.submit(function, job) for job in jobs]
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise work.error(
            f"a process died while {work.name} (out of memory?); take fewer processes{work.remedy}"
        ) from error
    finally:
        for future in futures:
            future.cancel()


def _in_processes(
    work: Work, processes: int, function: Callable[[Job], Result], jobs: Sequence[Job]
) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        if work.single_threaded:
            pool = stack.enter_context(ProcessPoolExecutor(processes, mp_context=context))
            with _single_threaded_children():
                futures = [pool.submit(function, job) for job in jobs]
        else:
            # One of the processes is this one: it would idle while the others start.
            others: list[Callable[[Job], Result]] = [
                partial(
                    _elsewhere,
                    stack.enter_context(ProcessPoolExecutor(1, mp_context=context)),
                    function,
                )
                for _ in range(processes - 1)
            ]
            # Two places each: with one, another process would wait for this one's interpreter
            # lock between its jobs.
            places: SimpleQueue[Callable[[Job], Result]] = SimpleQueue()
            for place in (function, *others, *others):
                places.put(place)
            threads = stack.enter_context(ThreadPoolExecutor(2 * processes - 1))
            futures = [threads.submit(_at_a_free_place, places, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
                futures.remove(future)  # with its result
        except BrokenProcessPool as error:
            raise work.error(
                f"a process died while {work.name} (out of memory?); try again with --jobs 1"
                f"{work.remedy}"
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _elsewhere(pool: ProcessPoolExecutor, function: Callable[[Job], Result], job: Job) -> Result:
    return pool.submit(function, job).result()


def _at_a_free_place(places: SimpleQueue[Callable[[Job], Result]], job: Job) -> Result:
    place = places.get()
    try:
        return place(job)
    finally:
        places.put(place)


@contextlib.contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Processes started meanwhile compute on one thread: there is one of them per core."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name in _THREAD_VARIABLES:
            os.environ.pop(name)
            if name in before:
                os.environ[name] = before[name]


def _on_cluster(
    work: Work, address: str, function: Callable[[Job], Result], jobs: Sequence[Job]
) -> Iterator[Result]:
    try:
        import distributed
    except ImportError as error:
        raise work.error(
            "--scheduler needs Dask: pip install dask distributed, here and on the workers"
        ) from error
    try:
        client = distributed.Client(address, timeout=CONNECTION_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise work.error(
            f"no Dask scheduler at {address} ({error}); start one with `dask scheduler` and "
            "workers with `dask worker`"
        ) from error
    with client:
        if not client.nthreads():
            raise work.error(
                f"the Dask scheduler at {address} has no workers; start some with "
                f"`dask worker {address}`"
            )
        # Results are not pure: files come and go.
        futures = client.map(function, jobs, pure=False)
        try:
            finished = distributed.as_completed(futures, loop=client.loop, with_results=True)
            for future, result in finished:
                yield result
                future.release()
        except distributed.KilledWorker as error:
            raise work.error(
                f"workers of {address} died while {work.name} ({error}); see their output"
                f"{work.remedy}"
            ) from error
        finally:
            client.cancel(futures)
