"""The inference process: loads the policy, then turns frames into chunks until its pipe ends.

It is a process because inference beside a Python timer in one interpreter delays the timer. It
never outlives the node: the kernel kills it when the thread that started it dies (Linux), and the
end of the pipe ends it everywhere.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from vla_policy_node.child_process import describe_failure

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vla_core.bundle import PolicyBundle
    from vla_core.contract import Contract
    from vla_core.frames import Frame
    from vla_policy_node.inference.runtimes import Runtime

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_WARM_UP_RUNS = 3


@dataclass(frozen=True)
class WorkerSpec:
    """What the process shall load: the first thing it is sent.

    Attributes:
        bundle: directory of the policy bundle; for runtime "torch", a training checkpoint or the
            folder that holds it.
        runtime: name of the runtime.
        threads: of one inference.
        variant: of the bundle's graph; empty for the exact one.
        device: where PyTorch computes.
        remote_uri: of the policy server.
        timeout_s: an inference that takes longer counts as hung.
    """

    bundle: Path
    runtime: str
    threads: int
    variant: str = ""
    device: str = "cpu"
    remote_uri: str = ""
    timeout_s: float = 1.0


@dataclass(frozen=True)
class Ready:
    """The process has loaded and warmed up.

    Attributes:
        runtime: runtime and version.
        latency_s: of the last warm-up inference.
        error: why it cannot serve; empty if it can.
        bundle: what it has loaded.
    """

    runtime: str = ""
    latency_s: float = 0.0
    error: str = ""
    bundle: PolicyBundle | None = None


@dataclass(frozen=True)
class Request:
    """One inference.

    Attributes:
        sequence: comes back with the reply.
        frame: what the robot perceives.
        instruction: what it is told.
    """

    sequence: int
    frame: Frame
    instruction: str


@dataclass(frozen=True)
class Ping:
    """Asks whether an inference would be possible now.

    Attributes:
        sequence: comes back with the reply.
    """

    sequence: int


@dataclass(frozen=True)
class Reply:
    """Its answer.

    Attributes:
        sequence: of the request.
        actions: (H, A) float32, [m/s, rad/s]; None if the policy failed.
        error: why it failed.
        distances: (G,) float32 of the frame from training; None if nothing measures them.
    """

    sequence: int
    actions: npt.NDArray[np.float32] | None
    error: str = ""
    distances: npt.NDArray[np.float32] | None = None


def main() -> int:
    """Serve the connection whose file descriptor is the first argument."""
    _die_with_parent()
    # An interrupt from the keyboard reaches the whole group; the node decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(int(sys.argv[1])) as connection:
        try:
            return _serve(connection)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return 0


def _serve(connection: Connection) -> int:
    spec: WorkerSpec = connection.recv()
    try:
        runtime, ready = _load(spec)
    except Exception as error:
        connection.send(Ready(error=describe_failure(error)))
        return 1
    connection.send(ready)
    while True:
        request: Request | Ping = connection.recv()
        try:
            if isinstance(request, Ping):
                reply = Reply(request.sequence, None, runtime.problem())
            else:
                actions = runtime.infer(request.frame, request.instruction)
                reply = Reply(request.sequence, actions, distances=runtime.distances)
        except Exception as error:
            reply = Reply(request.sequence, None, describe_failure(error))
        connection.send(reply)


def _load(spec: WorkerSpec) -> tuple[Runtime, Ready]:
    # Imported late, so that the process can be told to die before it has loaded anything big.
    from vla_policy_node.inference.runtimes import load_runtime

    runtime = load_runtime(spec)
    frame = blank_frame(runtime.bundle.contract)
    started_s = time.monotonic()
    for _ in range(_WARM_UP_RUNS):
        started_s = time.monotonic()
        runtime.infer(frame, "warm up")
    return runtime, Ready(runtime.name, time.monotonic() - started_s, bundle=runtime.bundle)


def blank_frame(contract: Contract) -> Frame:
    """A frame of the contract's shapes and types, all zeros, to warm up with."""
    import numpy as np

    from vla_core.frames import Frame

    streams = contract.streams
    return Frame(
        tick_ns=0,
        arrays={stream.key: np.zeros(stream.shape, stream.dtype) for stream in streams},
        valid=np.ones(len(streams), bool),
        age_ns=np.zeros(len(streams), np.int64),
    )


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    # Run as a script this module is not the one whose classes the node sends.
    from vla_policy_node.inference.worker import main as serve

    sys.exit(serve())
