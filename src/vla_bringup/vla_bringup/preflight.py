"""Checks before anything is started, so that a mistake costs one line instead of a graph."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

from vla_bringup.domain_claim import claim_domain, release_domain
from vla_bringup.graph import LIFECYCLE_MANAGER, POLICY, RVIZ, SIMULATOR, Graph
from vla_bringup.graph_arguments import GraphOptions
from vla_core.bundle import PolicyBundle
from vla_core.contract import Contract
from vla_core.errors import VlaError

MAX_DOMAIN_ID: Final = 232
# Above, the ports may collide with those that the system gives to outgoing connections.
SAFE_DOMAIN_IDS: Final = range(1, 102)
PROBE_TIMEOUT_S: Final = 30.0


class PreflightError(VlaError):
    """Something that the graph needs is missing, or in use by others."""


def check_graph(graph: Graph, options: GraphOptions) -> None:
    """Run every check that applies to the graph.

    Raises:
        VlaError: the first thing that is wrong, with its remedy.
    """
    domain_id = current_domain_id()
    if graph.has(RVIZ):
        _check_rviz()
    if options.sim == "gazebo":
        _check_gazebo(graph)
    if graph.has(POLICY):
        check_policy(options.policy, options.contract)
    else:
        Contract.load(options.contract)
    _claim_domain(graph, options, domain_id)
    try:
        _probe(graph, domain_id)
    except VlaError:
        release(options)
        raise


def _probe(graph: Graph, domain_id: int) -> None:
    # The two probes take a second or more each and do not need each other.
    domain = _start_probe("vla_bringup.domain_probe")
    rendering = _start_probe("vla_bringup.rendering_probe") if graph.has(SIMULATOR) else None
    try:
        if rendering is not None:
            _check_rendering(rendering)
        _check_domain(domain, graph, domain_id)
    finally:
        for process in (domain, rendering):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def _check_rviz() -> None:
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        raise PreflightError(
            "rviz:=true needs rviz2, which is not installed: install ros-jazzy-rviz2 on a system "
            "with ROS 2, or leave it out; `vla view` shows recordings without it"
        ) from None


def _check_gazebo(graph: Graph) -> None:
    from ament_index_python.packages import get_packages_with_prefixes

    needed = {spec.package for spec in graph.nodes if not spec.package.startswith("vla_")}
    missing = sorted(needed - {"rviz2"} - set(get_packages_with_prefixes()))
    if missing:
        raise PreflightError(
            f"sim:=gazebo needs {', '.join(missing)}: not installed; on a system with ROS 2, "
            "apt-get install ros-jazzy-ros-gz ros-jazzy-robot-state-publisher, or use sim:=mujoco"
        )


def release(options: GraphOptions) -> None:
    """Let others start a graph where this one has run; `check_graph` has claimed the domain."""
    release_domain(current_domain_id(), options.namespace)


def check_policy(policy: Path, contract: Path) -> PolicyBundle:
    """Verify a bundle, and that it fits the robot.

    Raises:
        BundleError: it is missing, damaged, or made for another contract.
        ContractError: the robot's contract cannot be read.
    """
    bundle = PolicyBundle.load(policy)
    bundle.check_contract(Contract.load(contract))
    return bundle


def current_domain_id() -> int:
    """The domain that this shell's graph would run in.

    Raises:
        PreflightError: ROS_DOMAIN_ID is not a number between 0 and 232.
    """
    text = os.environ.get("ROS_DOMAIN_ID", "").strip() or "0"
    if not text.isdecimal() or int(text) > MAX_DOMAIN_ID:
        raise PreflightError(
            f"ROS_DOMAIN_ID={text} is not a DDS domain; expected a whole number from 0 to "
            f"{MAX_DOMAIN_ID} (to 101 is safe everywhere), e.g. export ROS_DOMAIN_ID=42"
        )
    return int(text)


def check_rendering() -> str:
    """Render one picture in a process of its own.

    Returns:
        The OpenGL back end that works.

    Raises:
        PreflightError: none does.
    """
    return _check_rendering(_start_probe("vla_bringup.rendering_probe"))


def nodes_in_domain(domain_id: int | None = None) -> list[str]:
    """Full names of the nodes that run in a domain.

    Args:
        domain_id: None takes this shell's.

    Raises:
        PreflightError: the domain cannot be used.
    """
    if domain_id is None:
        domain_id = current_domain_id()
    return _nodes_in_domain(_start_probe("vla_bringup.domain_probe", domain_id), domain_id)


def find_free_domain() -> int:
    """A domain without nodes in which discovery works.

    Raises:
        PreflightError: none of those tried is free.
    """
    candidates = random.sample(SAFE_DOMAIN_IDS, 5)
    reason = "nodes of others run in all of them"
    for domain_id in candidates:
        try:
            if not nodes_in_domain(domain_id):
                return domain_id
        except PreflightError as error:
            reason = str(error)
    raise PreflightError(f"no free ROS_DOMAIN_ID among {candidates}; the last answer was: {reason}")


# ---------------------------------------------------------------------- probes


def _start_probe(module: str, domain_id: int | None = None) -> subprocess.Popen:
    environment = dict(os.environ)
    if domain_id is not None:
        environment["ROS_DOMAIN_ID"] = str(domain_id)
    return subprocess.Popen(
        [sys.executable, "-m", module],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, output, and the last line of the errors."""
    try:
        output, errors = process.communicate(timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return 1, "", f"no answer within {PROBE_TIMEOUT_S:g} s"
    lines = errors.strip().splitlines()
    return process.returncode, output.strip(), lines[-1].strip() if lines else ""


def _check_rendering(process: subprocess.Popen) -> str:
    returncode, output, reason = _finish(process)
    if returncode != 0:
        reason = reason or f"the OpenGL driver ended the probe (exit code {returncode})"
        if "; " not in reason:  # no remedy yet
            reason += "; apt-get install libosmesa6 libegl1 libgl1-mesa-dri"
        raise PreflightError(f"the simulator's camera cannot be rendered: {reason}")
    return output


def _claim_domain(graph: Graph, options: GraphOptions, domain_id: int) -> None:
    holder = claim_domain(domain_id, options.namespace)
    if holder is not None:
        node = f"{options.namespace}/{LIFECYCLE_MANAGER}"
        raise _in_use(domain_id, f"{node} already runs there, started by process {holder}")


def _in_use(domain_id: int, by: str) -> PreflightError:
    return PreflightError(
        f"ROS_DOMAIN_ID={domain_id} is in use: {by}; stop that graph, or choose another domain, "
        f"e.g. export ROS_DOMAIN_ID={_other_domain(domain_id)}"
    )


def _check_domain(process: subprocess.Popen, graph: Graph, domain_id: int) -> None:
    running = set(_nodes_in_domain(process, domain_id))
    taken = sorted(running & {spec.full_name for spec in graph.nodes})
    if taken:
        verb = "runs" if len(taken) == 1 else "run"
        raise _in_use(domain_id, f"{', '.join(taken)} already {verb} there")


def _nodes_in_domain(process: subprocess.Popen, domain_id: int) -> list[str]:
    returncode, output, reason = _finish(process)
    if returncode != 0:
        raise PreflightError(
            f"no DDS participant can be created in ROS_DOMAIN_ID={domain_id}: "
            f"{reason or f'exit code {returncode}'}; choose another domain, e.g. "
            f"export ROS_DOMAIN_ID={_other_domain(domain_id)}"
        )
    found = json.loads(output)
    if not found["sees_itself"]:
        port = 7400 + 250 * domain_id  # DDSI-RTPS 2.5, 9.6.2.3: PB + DG * domainId
        raise PreflightError(
            f"DDS discovery does not work in ROS_DOMAIN_ID={domain_id}: two participants on this "
            f"machine do not find each other; UDP ports {port}-{port + 249} are taken by another "
            f"program or blocked by a firewall; choose another domain, e.g. "
            f"export ROS_DOMAIN_ID={_other_domain(domain_id)}"
        )
    return list(found["nodes"])


def _other_domain(domain_id: int) -> int:
    return domain_id + 1 if domain_id < 101 else 42
