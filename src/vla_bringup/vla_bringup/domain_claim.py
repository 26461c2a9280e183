"""A machine-wide claim on a DDS domain, so that two graphs never start in it at the same time.

Discovery finds other graphs too, those of other machines and tools included, but it takes its
time and sees nothing of a graph that is only just starting. The claim is an advisory lock; the
kernel gives it back when the process that runs the graph is gone, however it ended.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Final

_claims: Final[dict[Path, int]] = {}


def claim_domain(domain_id: int, namespace: str) -> int | None:
    """Claim a namespace of a domain until it is released or this process ends.

    Args:
        domain_id: ROS_DOMAIN_ID.
        namespace: of the graph, empty or starting with a slash.

    Returns:
        None if it is now ours, or else the id of the process that holds it (0: unknown).
    """
    path = _path(domain_id, namespace)
    if path in _claims:
        return None
    try:
        claim = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None  # no place for the claim: discovery still looks for others
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(claim, 32).decode("ascii", "replace")
        os.close(claim)
        return int(holder) if holder.isdecimal() else 0
    os.ftruncate(claim, 0)
    os.pwrite(claim, str(os.getpid()).encode(), 0)
    _claims[path] = claim
    return None


def release_domain(domain_id: int, namespace: str) -> None:
    """Give a claim back, for processes that outlive their graph."""
    claim = _claims.pop(_path(domain_id, namespace), None)
    if claim is not None:
        os.close(claim)


def _path(domain_id: int, namespace: str) -> Path:
    name = f"vla-graph-{os.getuid()}-{domain_id}{namespace.replace('/', '.')}.lock"
    return Path(tempfile.gettempdir(), name)
