"""Environment of processes that publish pictures too large for the middleware as it comes."""

from __future__ import annotations

import os
from typing import Final

from vla_bringup.resources import share_directory

# Fast DDS 2 and 3 look for their profiles under different names.
PROFILE_VARIABLES: Final = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def profile_variables() -> dict[str, str]:
    """What gives a process of Fast DDS a large segment; nothing where a profile is set already."""
    if any(name in os.environ for name in PROFILE_VARIABLES):
        return {}
    profile = share_directory() / "config" / "fastdds_shared_memory.xml"
    return dict.fromkeys(PROFILE_VARIABLES, str(profile))


def camera_environment() -> dict[str, str]:
    """All variables of a process that publishes large pictures; the caller's profile goes first.

    Fast DDS hands them over in a segment of shared memory that belongs to their publisher. In its
    512 KiB there is no room for a picture of 640x480: of 30 a second 17 were received.
    """
    own = profile_variables()
    # For LOCALHOST, rmw_fastrtps would add a second, small segment.
    discovery = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"} if own else {}
    return os.environ | own | discovery
