"""Which software made a bag."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_GIT_TIMEOUT_S: Final = 5.0


def software_revision() -> str:
    """Versions of the recorder and of the bag library, and the git revision where there is one."""
    parts = [f"{package} {_version(package)}" for package in ("vla_recorder", "rosbags")]
    revision = _git_revision(Path(__file__).resolve())
    if revision:
        parts.append(f"git {revision}")
    return ", ".join(parts)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _git_revision(file: Path) -> str:
    """Revision of the working tree that this file is tracked in; empty for an installed copy."""
    git = ["git", "-C", str(file.parent)]
    try:
        # An installed copy may lie within some unrelated repository.
        for command in (
            [*git, "ls-files", "--error-unmatch", file.name],
            [*git, "describe", "--always", "--dirty", "--abbrev=12"],
        ):
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True
            )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()
