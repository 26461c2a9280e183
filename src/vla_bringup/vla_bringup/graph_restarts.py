"""Begins a failed graph anew, a few times."""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from vla_bringup.graph import DOCK_CLIENT
from vla_bringup.graph_exit import GraphFailure
from vla_bringup.node_spec import Graph

MAX_RESTARTS: Final = 3
WINDOW_S: Final = 300.0
RESTART_DELAY_S: Final = 1.0


def run_with_restarts(
    graph: Graph,
    run: Callable[[Graph], int],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Run a graph, and again when it has failed.

    What was asked for at the start is not asked for again: after a failure the robot stands until
    somebody sends the next goal.

    Args:
        graph: what to run.
        run: runs it to its end; returns the exit code or raises GraphFailure.
        sleep: waits [s].
        clock: the present [s].

    Returns:
        The exit code of the run that did not fail.

    Raises:
        GraphFailure: it failed more than `MAX_RESTARTS` times within `WINDOW_S`.
    """
    failures: deque[float] = deque()
    while True:
        try:
            return run(graph)
        except GraphFailure as failure:
            now_s = clock()
            while failures and now_s - failures[0] > WINDOW_S:
                failures.popleft()
            if len(failures) == MAX_RESTARTS:
                raise GraphFailure(
                    f"{failure}; given up after {MAX_RESTARTS} restarts within {WINDOW_S:g} s"
                ) from failure
            failures.append(now_s)
            sys.stderr.write(
                f"vla up: {failure}; starting the graph anew ({len(failures)} of {MAX_RESTARTS}), "
                "the robot stands until the next goal\n"
            )
        # The process manager that has ended still holds the signals: Ctrl-C ends this wait, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sleep(RESTART_DELAY_S)
        graph = replace(
            graph, nodes=tuple(spec for spec in graph.nodes if spec.name != DOCK_CLIENT)
        )
