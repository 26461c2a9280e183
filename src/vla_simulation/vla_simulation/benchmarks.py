"""How fast the simulation runs: with camera, scanner and physics, per core and on two.

The expert drives episodes of a suite one after the other; the resets between them count. One and
two processes run in turns, each on a core of its own, so that a change in what else the machine
does touches both.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.controllers.expert import expert_action
from vla_simulation.environment import DockingEnv

REAL_TIME_FACTOR: Final = 20.0
"""What one core must reach with camera, scanner and physics."""
SPEED_UP: Final = 1.8
"""What two processes must bring."""

_ROUNDS: Final = 5
_SIMULATED_S: Final = 200.0
_QUICK_ROUNDS: Final = 2
_QUICK_SIMULATED_S: Final = 20.0
_PARTS: Final = ("physics", "camera", "scanner", "reset")


def run(
    quick: bool = False, out: Path | None = None, *, suite: str | None = None
) -> dict[str, Any]:
    """Measure the real-time factor.

    Args:
        quick: less of everything.
        out: not used; nothing is written.
        suite: whose episodes are simulated; None takes nominal.

    Returns:
        Figures: simulated per elapsed time of one and of two processes, their ratio, the factor
        per CPU time (which other load on the machine touches less), and where the time of a
        control period goes. Each is the median over the rounds, with the lowest and the highest.
    """
    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    simulated_s = _QUICK_SIMULATED_S if quick else _SIMULATED_S
    suite = suite or "nominal"
    cores = sorted(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    workers = [ProcessPoolExecutor(1, context, _start, (suite, core)) for core in (cores * 2)[:2]]
    try:
        for started in [worker.submit(_measure, CONTROL_PERIOD_S) for worker in workers]:
            started.result()
        one, two, splits, cpu = [], [], [], []
        for number in range(rounds):
            alone = workers[number % 2].submit(_measure, simulated_s).result()
            one.append(simulated_s / alone["wall_s"])
            cpu.append(simulated_s / alone["cpu_s"])
            splits.append(alone)
            both = [worker.submit(_measure, simulated_s) for worker in workers]
            slowest_s = max(measured.result()["wall_s"] for measured in both)
            two.append(2.0 * simulated_s / slowest_s)
    finally:
        for worker in workers:
            worker.shutdown()
    periods = simulated_s / CONTROL_PERIOD_S
    return {
        "suite": suite,
        "simulated_s_per_run": simulated_s,
        "rounds": rounds,
        "cores": len(cores),
        "one_process": {"real_time_factor": _spread(one), "real_time_factor_by_cpu": _spread(cpu)},
        "two_processes": {"real_time_factor": _spread(two)},
        "speed_up": _spread(b / a for a, b in zip(one, two, strict=True)),
        "ms_per_control_period": {
            part: _spread(split[f"{part}_s"] / periods * 1e3 for split in splits)
            for part in (*_PARTS, "wall")
        },
        "must": {"real_time_factor": REAL_TIME_FACTOR, "speed_up": SPEED_UP},
    }


_env: DockingEnv | None = None


def _start(suite: str, core: int) -> None:
    """Begin a worker process, on one core."""
    global _env
    os.sched_setaffinity(0, {core})
    _env = DockingEnv(suite)


def _measure(simulated_s: float) -> dict[str, float]:
    """Simulate; elapsed time in all, by part, and CPU time."""
    assert _env is not None
    spent = dict.fromkeys(_PARTS, 0.0)
    camera, scanner = _env._sensors.camera, _env._sensors._scanner
    timed = (
        (_env.robot, "step", "physics"),
        (camera, "capture", "camera"),
        (scanner, "scan", "scanner"),
        (_env, "reset", "reset"),
    )
    for owner, method, part in timed:
        setattr(owner, method, _timing(getattr(owner, method), spent, part))
    try:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        _simulate(_env, simulated_s)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    finally:
        for owner, method, _ in timed:
            delattr(owner, method)
    return {"wall_s": wall_s, "cpu_s": cpu_s} | {f"{part}_s": spent[part] for part in _PARTS}


def _timing(method: Callable[..., Any], spent: dict[str, float], part: str) -> Callable[..., Any]:
    def wrapper(*args: Any, **options: Any) -> Any:
        start_s = time.perf_counter()
        try:
            return method(*args, **options)
        finally:
            spent[part] += time.perf_counter() - start_s

    return wrapper


def _simulate(env: DockingEnv, simulated_s: float) -> None:
    """The expert's episodes, one after the other; the same ones in each run."""
    seed = 0
    env.reset(seed=seed)
    for _ in range(round(simulated_s / CONTROL_PERIOD_S)):
        action = np.array(expert_action(env.truth.dock_from_base))
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            seed += 1
            env.reset(seed=seed)


def _spread(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 3),
        "lowest": round(ordered[0], 3),
        "highest": round(ordered[-1], 3),
    }
