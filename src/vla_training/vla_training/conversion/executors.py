"""Where bags are converted: in this process, in several, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, TypeVar

from vla_training.errors import ConversionError

CONNECTION_TIMEOUT_S: Final = 10.0
"""How long to look for a scheduler."""

Job = TypeVar("Job")
Result = TypeVar("Result")

Executor = Callable[[Callable[[Job], Result], Sequence[Job]], Iterator[Result]]
"""Calls a function with each job; results come as they are ready, in any order."""


def executor(processes: int, scheduler: str | None = None) -> Executor[Any, Any]:
    """The way to run jobs.

    Args:
        processes: On this machine; 1 for this process.
        scheduler: Address of a Dask scheduler, whose workers do the work instead.
    """
    if scheduler is not None:
        return lambda function, jobs: _on_cluster(scheduler, function, jobs)
    if processes == 1:
        return lambda function, jobs: (function(job) for job in jobs)
    return lambda function, jobs: _in_processes(processes, function, jobs)


def _in_processes(
    processes: int, function: Callable[[Job], Result], jobs: Sequence[Job]
) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=processes, mp_context=context) as pool:
        futures = [pool.submit(function, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
                futures.remove(future)  # with its result
        except BrokenProcessPool as error:
            raise ConversionError(
                "a converting process died (out of memory?); try again with --jobs 1: what is "
                "done is kept"
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _on_cluster(
    address: str, function: Callable[[Job], Result], jobs: Sequence[Job]
) -> Iterator[Result]:
    try:
        import distributed
    except ImportError as error:
        raise ConversionError(
            "--scheduler needs Dask: pip install dask distributed, here and on the workers"
        ) from error
    try:
        client = distributed.Client(address, timeout=CONNECTION_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConversionError(
            f"no Dask scheduler at {address} ({error}); start one with `dask scheduler` and "
            "workers with `dask worker`"
        ) from error
    with client:
        if not client.nthreads():
            raise ConversionError(
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
            raise ConversionError(
                f"workers of {address} died while they converted ({error}); see their output: "
                "what is done is kept"
            ) from error
        finally:
            client.cancel(futures)
