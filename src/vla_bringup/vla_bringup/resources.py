"""Where the files that ship with the package are."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = "vla_bringup"


def share_directory() -> Path:
    """Folder that holds ``contracts``, ``policies``, ``launch`` and more."""
    return _share_of(PACKAGE)


def simulation_share() -> Path:
    """Folder of vla_simulation that holds ``models``, ``worlds``, ``urdf`` and ``config``."""
    return _share_of("vla_simulation")


def _share_of(package: str) -> Path:
    """Where a package's files are.

    Three homes, tried in this order: a colcon or ROS installation (found by its index), the
    interpreter's prefix (``pip install``), the source tree.
    """
    try:
        from ament_index_python.packages import (
            PackageNotFoundError,
            get_package_share_directory,
        )
    except ImportError:
        pass  # a machine with pip alone has no ROS index
    else:
        try:
            return Path(get_package_share_directory(package))
        except PackageNotFoundError:
            pass
    installed = Path(sys.prefix, "share", package)
    if installed.is_dir():
        return installed
    return Path(__file__).resolve().parents[2] / package


def default_policy() -> Path:
    """Directory of the shipped policy bundle."""
    return share_directory() / "policies" / "docking"


def rviz_configuration() -> Path:
    """What RViz shows of a graph."""
    return share_directory() / "rviz" / "docking.rviz"


def default_contract() -> Path:
    """Contract of the simulated robot, which the shipped bundle is made for."""
    return share_directory() / "contracts" / "simulated_amr.yaml"
