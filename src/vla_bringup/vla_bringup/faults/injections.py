"""How each fault is brought about, and how what is left of it is taken away afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from vla_bringup.faults.plan import Draw
    from vla_bringup.faults.rig import Rig

_BACKWARD_S: Final = (0.3, 100.0)  # by less than its maximum age a stream is only late
_FUTURE_S: Final = (0.15, 100.0)  # up to 0.1 s the clocks of two machines may differ
_LEAP_FORWARD_S: Final = (0.6, 100.0)
_LEAP_BACK_S: Final = (0.1, 100.0)
_INTRUDER_PERIOD_S: Final = 0.06
_INTRUDER_COMMANDS: Final = 5  # until the goal is over: then anybody may drive


class Injection(Protocol):
    """One way to break something."""

    @property
    def lasts(self) -> bool:
        """Whether the fault stays until the goal has ended, or only until the robot stands."""

    def begin(self, rig: Rig, draw: Draw) -> int:
        """Break it; the moment at which it broke, by the system clock [ns]."""

    def end(self, rig: Rig) -> None:
        """Take away what is left of it. A process that was ended is replaced by the rig."""


def between(limits: tuple[float, float], size: float) -> float:
    """A value between two positive limits, evenly spread by its order of magnitude."""
    low, high = limits
    return float(low * (high / low) ** size)


@dataclass
class ProcessSignal:
    """Kill or stop one of the processes.

    Attributes:
        target: node, inference, control, watchdog or server.
        number: SIGKILL or SIGSTOP.
    """

    target: str
    number: signal.Signals

    @property
    def lasts(self) -> bool:
        """A stopped node says nothing: it has to go on for its goal to end."""
        return self.target != "node"

    def begin(self, rig: Rig, draw: Draw) -> int:
        """Send the signal."""
        self._pid = rig.pid(self.target)
        moment_ns = time.time_ns()
        os.kill(self._pid, self.number)
        return moment_ns

    def end(self, rig: Rig) -> None:
        """Let a stopped process go on, if it still exists."""
        if self.number == signal.SIGSTOP and rig.is_running(self._pid):
            os.kill(self._pid, signal.SIGCONT)


@dataclass
class StreamFault:
    """Have the robot publish a stream wrongly, or not at all.

    Attributes:
        key: of the stream.
        mode: see `robot_process.py`.
    """

    key: str
    mode: str
    lasts = True

    def begin(self, rig: Rig, draw: Draw) -> int:
        """From the next message on; for a stream that falls silent, from the last one on."""
        shift_s = 0.0
        if self.mode in ("backward", "future"):
            shift_s = between(_BACKWARD_S if self.mode == "backward" else _FUTURE_S, draw.size)
        return rig.robot.ask("stream", key=self.key, mode=self.mode, shift_s=shift_s)

    def end(self, rig: Rig) -> None:
        """Publish as before."""
        rig.robot.ask("well")


@dataclass
class PolicyMarker:
    """Show the policy a scan at which its graph gives something else than a chunk.

    Attributes:
        mode: nan, shape or hang, see `marked_graph.py`.
    """

    mode: str
    lasts = True

    def begin(self, rig: Rig, draw: Draw) -> int:
        """From the next scan on."""
        return rig.robot.ask("marker", mode=self.mode)

    def end(self, rig: Rig) -> None:
        """Publish as before."""
        rig.robot.ask("well")


@dataclass
class ServerFault:
    """Have the policy server answer wrongly, or not at all.

    Attributes:
        mode: see `server_process.py`.
    """

    mode: str
    lasts = True

    def begin(self, rig: Rig, draw: Draw) -> int:
        """From the next question on; the moment is that of the answer, or of the question."""
        return rig.server.ask("mode", mode=self.mode)

    def end(self, rig: Rig) -> None:
        """Answer as before."""
        rig.server.ask("mode", mode="well")


@dataclass
class LinkFault:
    """Break the connection between node and policy server.

    Attributes:
        mode: "cut" (both ends hear of it) or "stall" (nothing passes any more).
    """

    mode: str
    lasts = True

    def begin(self, rig: Rig, draw: Draw) -> int:
        """Break it."""
        moment_ns = time.time_ns()
        if self.mode == "cut":
            rig.link.cut()
        else:
            rig.link.stall()
        return moment_ns

    def end(self, rig: Rig) -> None:
        """Let connections through again."""
        rig.link.restore()


@dataclass
class Deactivation:
    """Ask the lifecycle node to deactivate."""

    lasts = True

    def begin(self, rig: Rig, draw: Draw) -> int:
        """Send the request."""
        moment_ns = time.time_ns()
        rig.observer.request_deactivation()
        return moment_ns

    def end(self, rig: Rig) -> None:
        """The rig activates the node again."""


@dataclass
class Intruder:
    """Publish on the command topic as somebody else."""

    lasts = True

    def begin(self, rig: Rig, draw: Draw) -> int:
        """Publish for a quarter of a second, in a thread of its own."""
        self._thread = threading.Thread(target=self._drive, args=(rig, 0.1 + 0.2 * draw.size))
        moment_ns = time.time_ns()
        self._thread.start()
        return moment_ns

    def end(self, rig: Rig) -> None:
        """Wait for the last command."""
        self._thread.join()

    @staticmethod
    def _drive(rig: Rig, speed_mps: float) -> None:
        for _ in range(_INTRUDER_COMMANDS):
            rig.observer.intrude(speed_mps)
            time.sleep(_INTRUDER_PERIOD_S)


@dataclass
class EmergencyStop:
    """Press the emergency stop."""

    lasts = True

    def begin(self, rig: Rig, draw: Draw) -> int:
        """Press it."""
        moment_ns = time.time_ns()
        rig.observer.press_emergency_stop(True)
        return moment_ns

    def end(self, rig: Rig) -> None:
        """Release it."""
        rig.observer.press_emergency_stop(False)


@dataclass
class ClockJump:
    """Have simulated time leap.

    Attributes:
        sign: 1.0 forward, -1.0 back.
    """

    sign: float
    lasts = True

    def begin(self, rig: Rig, draw: Draw) -> int:
        """From the next message on /clock on; sensors are stamped by the new time."""
        limits = _LEAP_FORWARD_S if self.sign > 0.0 else _LEAP_BACK_S
        return rig.robot.ask("leap", leap_s=self.sign * between(limits, draw.size))

    def end(self, rig: Rig) -> None:
        """Time goes on from where it is."""
