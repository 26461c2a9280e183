"""What the end of a process means, said in one sentence."""

from __future__ import annotations

import signal

from vla_core.errors import VlaError


class GraphFailure(VlaError):  # noqa: N818 (an event, where GraphError is a mistake of the caller)
    """A process of a running graph ended although the graph needs it."""


def describe_exit(name: str, returncode: int, last_line: str = "") -> str:
    """One sentence about a process that ended although its graph still needed it.

    Args:
        name: node name.
        returncode: exit status; negative for the number of a signal.
        last_line: what the process wrote last, quoted as the reason if it exited by itself.
    """
    if returncode < 0:
        try:
            cause = signal.Signals(-returncode).name
        except ValueError:
            cause = f"signal {-returncode}"
        hint = "; is the machine out of memory?" if returncode == -signal.SIGKILL else ""
        return f"{name} was killed by {cause}{hint}"
    if returncode == 0:
        return f"{name} ended although nothing asked it to"
    return f"{name} failed with exit code {returncode}" + (f": {last_line}" if last_line else "")
