"""The worker processes of a collection: started, given work, and ended without orphans."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from vla_bringup.collection_types import CollectionError
from vla_bringup.graph_exit import describe_exit
from vla_bringup.large_messages import profile_variables
from vla_bringup.node_process import die_with_parent
from vla_bringup.preflight import find_free_domain

STOP_TIMEOUT_S: Final = 20.0
DOMAIN_ATTEMPTS: Final = 10
_ENDED: Final = "ended"


class CollectionJobs:
    """Workers side by side; a context manager that leaves no process behind."""

    def __init__(self, jobs: Mapping[Path, Mapping[str, Any]]) -> None:
        """Remember what to start.

        Args:
            jobs: what each worker is told at its start, by the file of its log.
        """
        self._jobs = jobs
        self._workers: list[subprocess.Popen[str]] = []
        self._events: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()

    def __enter__(self) -> CollectionJobs:
        try:
            domains: set[int] = set()
            for log, job in self._jobs.items():
                domains.add(domain := _free_domain(domains))
                self._start(log, job, domain)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            with contextlib.suppress(OSError):
                _pipe(worker.stdin).close()
            if kind is not None and worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            for worker in self._workers:
                if number is not None and worker.poll() is None:
                    worker.send_signal(number)
            for worker in self._workers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.wait(STOP_TIMEOUT_S)

    def run(self, orders: Iterator[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Have the orders carried out, each by the worker that is free first.

        Args:
            orders: what the workers are told, one for each episode.

        Yields:
            The workers' answers.

        Raises:
            CollectionError: a worker gave up or ended.
        """
        busy: set[int] = set()
        starting = set(range(len(self._workers)))
        while starting or busy:
            index, event = self._events.get()
            kind = event.pop("event")
            if kind == "error":
                raise CollectionError(event["message"])
            if kind == _ENDED:
                code = self._workers[index].wait()
                raise CollectionError(describe_exit(f"worker {index} of vla collect", code))
            starting.discard(index)
            busy.discard(index)
            if kind == "episode":
                yield event
            order = next(orders, None)
            if order is not None:
                busy.add(index)
                pipe = _pipe(self._workers[index].stdin)
                with contextlib.suppress(BrokenPipeError):  # its end is on its way
                    pipe.write(json.dumps(order) + "\n")
                    pipe.flush()

    def _start(self, log: Path, job: Mapping[str, Any], domain: int) -> None:
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            **profile_variables(),
        }
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as errors:
            worker = subprocess.Popen(
                [sys.executable, "-m", "vla_bringup.collection_worker", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the parent alone
                preexec_fn=die_with_parent,
            )
        self._workers.append(worker)
        arguments = (len(self._workers) - 1, _pipe(worker.stdout))
        threading.Thread(target=self._listen, args=arguments, daemon=True).start()

    def _listen(self, index: int, pipe: IO[str]) -> None:
        for line in pipe:
            with contextlib.suppress(ValueError):  # the middleware's chatter
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    self._events.put((index, event))
        self._events.put((index, {"event": _ENDED}))


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise ValueError("the worker was started without this pipe")
    return pipe


def _free_domain(taken: set[int]) -> int:
    for _ in range(DOMAIN_ATTEMPTS):
        domain = find_free_domain()
        if domain not in taken:
            return domain
    raise CollectionError(f"no free ROS_DOMAIN_ID beside {sorted(taken)}; use fewer jobs (--jobs)")
