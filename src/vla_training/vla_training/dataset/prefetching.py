"""Batches of coming steps, made while the current step computes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from vla_training.dataset.batch import Batch


class Prefetcher:
    """Makes batches in order, some ahead, in one thread; a context manager.

    A thread is enough: gathering and augmenting are long calls into torch and numpy, which run
    without the interpreter. What is made for a step depends on the step alone, so that neither the
    depth nor the timing changes a bit of it.

    Args:
        make: Gives the batch of a step.
        first: First step.
        last: Step after the last one.
        depth: Batches that are made ahead; 0 to make each when it is asked for.

    Attributes:
        waited_s: Time that `take` has kept its caller waiting.
        made_s: Time that making the batches has taken.
    """

    def __init__(self, make: Callable[[int], Batch], first: int, last: int, depth: int) -> None:
        self._make = make
        self._next, self._last = first, last
        self._ahead: deque[Future[Batch]] = deque()
        self._depth = depth
        self.waited_s = 0.0
        self.made_s = 0.0
        # The caller's own number of threads is settled before another one is set beside it.
        torch.get_num_threads()
        self._thread = ThreadPoolExecutor(1, "batches", torch.set_num_threads, (1,))

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def take(self) -> Batch:
        """The batch of the next step.

        Raises:
            StopIteration: After the last one.
        """
        begun = time.monotonic()
        self._fill(max(1, self._depth))
        if not self._ahead:
            raise StopIteration
        batch = self._ahead.popleft().result()
        self.waited_s += time.monotonic() - begun
        self._fill(self._depth)
        return batch

    def _fill(self, depth: int) -> None:
        while len(self._ahead) < depth and self._next < self._last:
            self._ahead.append(self._thread.submit(self._timed, self._next))
            self._next += 1

    def _timed(self, step: int) -> Batch:
        begun = time.monotonic()
        batch = self._make(step)
        self.made_s += time.monotonic() - begun
        return batch
