"""What this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from importlib import metadata, util
from pathlib import Path
from typing import Any, Final

from vla_bringup import preflight
from vla_bringup.resources import default_contract, default_policy
from vla_core.errors import VlaError

GIGABYTE: Final = 1e9
MIN_FREE_BYTES: Final = 5e9
MIN_SHARED_MEMORY_BYTES: Final = 60e6  # a container's default of 64 MB is just enough


class Status(Enum):
    """How a finding is to be read."""

    OK = "ok"
    HINT = "hint"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        group: heading.
        name: what was looked at.
        status: MISSING makes the exit code 1; a HINT does not.
        found: what there is.
        remedy: what to do if it is not OK.
    """

    group: str
    name: str
    status: Status
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The finding for JSON."""
        return {**asdict(self), "status": self.status.value}


def examine() -> Iterator[Finding]:
    """Run all checks, in the order of the report."""
    for check in (_python, _ros, _domain, _rendering, _libraries, _machine, _shipped):
        yield from check()


# ---------------------------------------------------------------------- checks


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    good = sys.version_info >= (3, 10)
    yield Finding(
        "Python",
        "interpreter",
        Status.OK if good else Status.MISSING,
        f"{version} ({sys.executable})",
        "" if good else "install Python 3.10 or newer",
    )
    prefix = "virtual environment" if sys.prefix != sys.base_prefix else "the system's packages"
    yield Finding("Python", "packages from", Status.OK, f"{prefix} {sys.prefix}")


def _ros() -> Iterator[Finding]:
    build = "make setup, then source env.sh"
    spec = util.find_spec("rclpy")
    if spec is None or spec.origin is None:
        yield Finding("ROS 2", "rclpy", Status.MISSING, "not found", build)
        return
    route = "wheels" if Path(spec.origin).is_relative_to(sys.prefix) else "system"
    distribution = os.environ.get("ROS_DISTRO", "unknown distribution")
    yield Finding("ROS 2", "route", Status.OK, f"{route}, {distribution}")
    for package in ("sensor_msgs", "nav_msgs", "lifecycle_msgs", "std_srvs", "cv_bridge"):
        yield _module("ROS 2", package, build)
    yield _module("ROS 2", "vla_msgs", build)
    from_system = "only with a system installation of ROS 2 (apt-get install ros-jazzy-{})"
    for package, name, purpose in (
        ("launch_ros", "launch-ros", "`ros2 launch`; `vla up` does without"),
        ("ros2cli", "ros2cli", "the `ros2` command"),
        ("rosbag2_py", "rosbag2", "`ros2 bag`; the recorder does without"),
        ("tf2_msgs", "tf2-msgs", "`tf` from the simulator"),
        ("nav2_msgs", "nav2-msgs", "being called by Nav2's behaviour trees"),
    ):
        yield _module("ROS 2", package, from_system.format(name), purpose)


def _domain() -> Iterator[Finding]:
    scope = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    yield Finding(
        "DDS",
        "discovery",
        Status.OK if scope else Status.HINT,
        f"ROS_AUTOMATIC_DISCOVERY_RANGE={scope or '(unset: SUBNET)'}",
        ""
        if scope
        else "the graph is visible to the whole network; on one machine: "
        "export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST",
    )
    middleware = os.environ.get("RMW_IMPLEMENTATION", "the installation's default")
    yield Finding("DDS", "middleware", Status.OK, middleware)
    if util.find_spec("rclpy") is None:
        return
    try:
        domain_id = preflight.current_domain_id()
        nodes = preflight.nodes_in_domain()
    except VlaError as error:
        yield _failed("DDS", "domain", error)
        return
    inhabitants = f"running there: {', '.join(nodes)}" if nodes else "nobody else there"
    yield Finding("DDS", "domain", Status.OK, f"ROS_DOMAIN_ID={domain_id}, {inhabitants}")


def _rendering() -> Iterator[Finding]:
    try:
        backend = preflight.check_rendering()
    except VlaError as error:
        yield _failed("Rendering", "OpenGL", error)
    else:
        yield Finding("Rendering", "OpenGL", Status.OK, f"renders without a screen ({backend})")


def _libraries() -> Iterator[Finding]:
    for name in ("mujoco", "gymnasium", "numpy", "rosbags", "h5py", "onnxruntime", "honcho"):
        yield _module("Libraries", name, f"make setup, or pip install {name}")
    for name in ("matplotlib", "PIL"):
        yield _module("Libraries", name, "make setup", "pictures of the demo")
    torch = _module("Libraries", "torch", "pip install torch", "training and export")
    if torch.status is Status.OK:
        import torch as module

        device = module.cuda.get_device_name() if module.cuda.is_available() else "no GPU"
        torch = Finding(
            torch.group,
            torch.name,
            Status.OK,
            f"{torch.found}, {module.get_num_threads()} threads, {device}",
        )
    yield torch


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("Machine", "processor", Status.OK, f"{cores} cores, {platform.machine()}")
    yield _space("Machine", "disk", Path.cwd(), MIN_FREE_BYTES, "free space for bags and data sets")
    if Path("/dev/shm").is_dir():
        yield _space(
            "Machine",
            "shared memory",
            Path("/dev/shm"),
            MIN_SHARED_MEMORY_BYTES,
            "DDS hands pictures over in it; docker run --shm-size=512m",
        )
    yield _clock()


def _clock() -> Finding:
    name, group = "clock", "Machine"
    remedy = (
        "streams are aligned by header stamps: where several machines publish them, keep their "
        "clocks together (chrony, PTP)"
    )
    timedatectl = shutil.which("timedatectl")
    if timedatectl is None:
        return Finding(group, name, Status.HINT, "synchronisation unknown", remedy)
    answer = subprocess.run(
        [timedatectl, "show", "--property=NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.stdout.strip() == "yes":
        return Finding(group, name, Status.OK, "synchronised")
    return Finding(group, name, Status.HINT, "not known to be synchronised", remedy)


def _shipped() -> Iterator[Finding]:
    yield _attempt("Shipped", "contract", _read_contract, "build the workspace again: make setup")
    yield _attempt("Shipped", "policy", _verify_policy, "build the workspace again: make setup")


def _read_contract() -> str:
    from vla_core.contract import Contract

    contract = Contract.load(default_contract())
    return f"{contract.name} {contract.version}: {', '.join(contract.keys)}"


def _verify_policy() -> str:
    from vla_core.bundle import PolicyBundle
    from vla_core.contract import Contract

    bundle = PolicyBundle.load(default_policy())
    bundle.check_contract(Contract.load(default_contract()))
    size = sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file())
    return f"{bundle.path}: verified, {size / 1e6:.1f} MB"


# ---------------------------------------------------------------------- pieces


def _module(group: str, name: str, remedy: str, purpose: str = "") -> Finding:
    """Look for a Python module; one with a purpose is optional."""
    if util.find_spec(name) is not None:
        return Finding(group, name, Status.OK, _module_version(name))
    if purpose:
        return Finding(group, name, Status.HINT, f"not found; for {purpose}", remedy)
    return Finding(group, name, Status.MISSING, "not found", remedy)


def _module_version(name: str) -> str:
    for distribution in (name, *metadata.packages_distributions().get(name, ())):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "found"


def _space(group: str, name: str, path: Path, needed_bytes: float, purpose: str) -> Finding:
    free_bytes = shutil.disk_usage(path).free
    status = Status.OK if free_bytes >= needed_bytes else Status.HINT
    found = f"{free_bytes / GIGABYTE:.2f} GB free at {path}"
    return Finding(group, name, status, found, "" if status is Status.OK else purpose)


def _attempt(group: str, name: str, action: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(group, name, Status.OK, action())
    except VlaError as error:
        return Finding(group, name, Status.MISSING, str(error), remedy)


def _failed(group: str, name: str, error: VlaError) -> Finding:
    """A finding from an error, whose message ends with its remedy."""
    what, _, remedy = str(error).partition("; ")
    return Finding(group, name, Status.MISSING, what, remedy)
