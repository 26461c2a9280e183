"""The processes of the control process and its watchdog: how they are started and ended."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from vla_policy_node.child_process import ChildProcess
from vla_policy_node.control.link import Link, wait
from vla_policy_node.control.messages import Ready
from vla_policy_node.errors import WorkerError

_START_TIMEOUT_S = 30.0
_EXIT_TIMEOUT_S = 3.0
_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_CONFIGURED_BY_HAND = ("FASTDDS_BUILTIN_TRANSPORTS", "ROS_STATIC_PEERS", *_PROFILES)
_UDP_PROFILE = Path(__file__).with_name("udp.xml")


@dataclass(frozen=True)
class ControlProcesses:
    """A control process, its watchdog, and the sockets to both."""

    control: ChildProcess
    watchdog: ChildProcess
    control_link: Link
    watchdog_link: Link

    @classmethod
    def start(cls) -> ControlProcesses:
        """Start both."""
        ours, controls = Link.pair()
        our_other, watchdogs = Link.pair()
        announcing, listening = Link.pair()
        with controls, watchdogs, announcing, listening:
            control = ChildProcess(
                "control process",
                "vla_policy_node.control.process",
                [controls.fileno(), announcing.fileno()],
                environment=transport_settings(),
            )
            watchdog = ChildProcess(
                "watchdog process",
                "vla_policy_node.control.watchdog_process",
                [watchdogs.fileno(), listening.fileno()],
                [control.pid],
                environment=transport_settings(),
            )
        return cls(control, watchdog, Link(ours), Link(our_other))

    def stop(self) -> None:
        """End both: by the end of their sockets, or else by force."""
        # The watchdog goes on until the control process has ended.
        for link, process in (
            (self.control_link, self.control),
            (self.watchdog_link, self.watchdog),
        ):
            link.hang_up()
            if process.is_stopped():
                process.kill()
            process.stop(_EXIT_TIMEOUT_S)

    def problem(self) -> str:
        """Which of the two cannot do its work; empty if both can."""
        for process in (self.control, self.watchdog):
            if not process.is_alive():
                return process.obituary()
            if process.is_stopped():
                return f"{process} was stopped"
        return ""


def transport_settings() -> dict[str, str]:
    """Variables of the processes: Fast DDS shall not use shared memory there.

    It looks whether the readers of shared memory are well before it uses it, up to a second for
    each that was killed, and a command that is due meanwhile has to wait for that. Where the
    middleware was configured by hand, it is left alone.
    """
    from rclpy.utilities import get_rmw_implementation_identifier

    fast_dds = "fastrtps" in get_rmw_implementation_identifier()
    if not fast_dds or any(os.environ.get(name) for name in _CONFIGURED_BY_HAND):
        return {}
    # rmw_fastrtps asks for shared memory for any range that it knows.
    own = {_RANGE: "SYSTEM_DEFAULT"}
    reach = os.environ.get(_RANGE) or "SUBNET"
    if reach == "LOCALHOST":
        return own | dict.fromkeys(_PROFILES, str(_UDP_PROFILE))
    return own | {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"} if reach == "SUBNET" else {}


def wait_for_ready(process: ChildProcess, link: Link) -> Ready:
    """Wait until a process can work.

    Raises:
        WorkerError: it cannot work, it died, or it does not answer.
    """
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while not link.closed:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0.0:
            raise WorkerError(f"{process} is not ready after {_START_TIMEOUT_S:g} s")
        with contextlib.suppress(ValueError):  # closed under us: the node is going down
            wait([link], left_s)
        for message in link.receive():
            if not isinstance(message, Ready):
                continue
            if message.error:
                raise WorkerError(f"{process}: {message.error}")
            return message
    raise WorkerError(process.obituary())
