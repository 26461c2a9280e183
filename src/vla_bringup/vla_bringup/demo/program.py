"""The demo from its first check to its last picture."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import rclpy
from rclpy.node import Node

from vla_bringup.demo.docking_runs import DockingRuns, LiveProgress
from vla_bringup.demo.recording import Recording
from vla_bringup.demo.results import (
    RunResult,
    print_table,
    write_csv,
    write_json,
    write_markdown,
)
from vla_bringup.demo.session import DemoError, GraphSession
from vla_bringup.preflight import check_policy, check_rendering, find_free_domain
from vla_core.bundle import PolicyBundle
from vla_core.contract import Contract

PLOT: Final = "paths.png"
VIDEO: Final = "docking.gif"
MARKER: Final = ".vla-demo"


@dataclass(frozen=True)
class DemoOptions:
    """What to show.

    Attributes:
        runs: how many dockings.
        out: folder for everything that the demo leaves; what an earlier demo left is replaced.
        policy: bundle to dock with.
        contract: of the simulated robot.
        suite: that starts and scenes are drawn from.
        seed: of the first run; the others follow.
        video: whether to make the video.
    """

    runs: int
    out: Path
    policy: Path
    contract: Path
    suite: str
    seed: int
    video: bool = True


def run_demo(options: DemoOptions) -> int:
    """Run the demo; 0 if every run docked.

    Raises:
        VlaError: something that the demo needs is missing, or the graph failed.
    """
    started_s = time.monotonic()
    bundle = check_policy(options.policy, options.contract)
    check_rendering()
    _prepare(options.out)
    # Another robot's graph on this machine must not hear, or drive, this one.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_DOMAIN_ID"] = str(find_free_domain())
    runs = _dock(options)
    results = [result for result, _ in runs]
    docked_s = time.monotonic() - started_s
    pictures = _draw(options, runs)
    context = _context(options, bundle, docked_s, time.monotonic() - started_s)
    write_json(options.out / "results.json", results, context)
    write_csv(options.out / "results.csv", results)
    write_markdown(options.out / "results.md", results, pictures)
    sys.stdout.write("\n")
    print_table(results)
    return _conclude(options, results, time.monotonic() - started_s)


def _prepare(out: Path) -> None:
    """Empty the folder, if it is one that a demo has made.

    Raises:
        DemoError: it holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise DemoError(f"{out} is not empty and not a demo's; give another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MARKER).touch()


def _dock(options: DemoOptions) -> list[tuple[RunResult, Recording]]:
    arguments = {
        "sim": "mujoco",
        "policy": str(options.policy),
        "contract": str(options.contract),
        "suite": options.suite,
        "seed": str(options.seed),
        "record": "true",
        "record_directory": str(options.out / "bags"),
    }
    contract = Contract.load(options.contract)
    runs: list[tuple[RunResult, Recording]] = []
    _say(f"starting simulator, policy and recorder (ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']})")
    with GraphSession(arguments, options.out / "graph.log") as session:
        # No handlers of rclpy's: Ctrl-C must still be able to end the graph in order.
        rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
        node = Node("demo")
        try:
            docking = DockingRuns(node, session, contract, options.suite)
            docking.wait_until_active()
            with LiveProgress(options.runs) as progress:
                for number in range(1, options.runs + 1):
                    progress.begin(number)
                    run = docking.run(number, options.seed + number - 1, progress.update)
                    progress.end(run[0])
                    runs.append(run)
        finally:
            node.destroy_node()
            rclpy.try_shutdown()
    return runs


def _draw(options: DemoOptions, runs: Sequence[tuple[RunResult, Recording]]) -> list[str]:
    from vla_bringup.demo.animation import animate
    from vla_bringup.demo.paths_plot import Path2D, plot_paths
    from vla_simulation.viewer.drawing import romanized

    _say("drawing the paths")
    docked = sum(result.docked for result, _ in runs)
    paths = [
        Path2D(
            [state.dock_from_base for state in recording.states],
            result.docked,
            # The font of the plot has no Hangul.
            f"{number}  {romanized(result.instruction)}\n"
            f"    {result.longitudinal_error_m * 1e3:+.1f} mm along, "
            f"{result.lateral_error_m * 1e3:+.1f} mm across, "
            f"{math.degrees(result.yaw_error_rad):+.2f}°, {result.time_s:.1f} s",
        )
        for number, (result, recording) in enumerate(runs, 1)
    ]
    plot_paths(options.out / PLOT, paths, f"{docked} of {len(runs)} runs docked")
    if not options.video:
        return [PLOT]
    _say("making the video")
    result, recording = max(runs, key=_interest)
    animate(
        options.out / VIDEO,
        recording,
        Contract.load(options.contract),
        result.seed,
        options.suite,
        result.instruction,
    )
    return [VIDEO, PLOT]


def _interest(run: tuple[RunResult, Recording]) -> tuple[bool, float]:
    """Of the runs that docked, the one that had to come in from the side most."""
    result, recording = run
    return result.docked, abs(recording.states[0].dock_from_base.y)


def _context(
    options: DemoOptions, bundle: PolicyBundle, docking_s: float, total_s: float
) -> dict[str, object]:
    return {
        "suite": options.suite,
        "first_seed": options.seed,
        "policy": str(options.policy),
        "contract_hash": bundle.contract.hash,
        "cores": os.cpu_count(),
        "docking_wall_time_s": round(docking_s, 1),
        "total_wall_time_s": round(total_s, 1),
    }


def _conclude(options: DemoOptions, results: Sequence[RunResult], seconds: float) -> int:
    docked = sum(result.docked for result in results)
    _say(
        f"{docked} of {len(results)} runs docked, in {seconds:.0f} s; all of it is in {options.out}"
    )
    for result in results:
        if not result.docked:
            sys.stderr.write(f"vla demo: error: seed {result.seed} did not dock: {result.reason}\n")
    return 0 if docked == len(results) else 1


def _say(text: str) -> None:
    sys.stdout.write(f"[demo] {text}\n")
    sys.stdout.flush()
