"""Through every transition and back, again and again: nothing is left behind.

A few rounds here; with VLA_SLOW_TESTS=1 the fifty that memory is judged by, in a minute and a half:

    VLA_SLOW_TESTS=1 python -m pytest -s src/vla_policy_node/test/test_lifecycle_rounds.py
"""

import os
import time
from dataclasses import astuple, dataclass, fields
from itertools import pairwise

import psutil
import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import State, Transition
from policy_rig import INSTRUCTION, wait_until

SLOW = os.environ.get("VLA_SLOW_TESTS") == "1"
ROUNDS = 50 if SLOW else 4
# In the first ones modules are imported, and the allocator finds its size.
WARM_UP_ROUNDS = 25 if SLOW else 1
# The executor makes its eight threads one by one, as they are needed.
SPARE = 8
MEMORY_PER_ROUND_BYTES = 200_000


@dataclass(frozen=True)
class Held:
    """What the node's process holds, besides its children."""

    threads: int
    descriptors: int
    memory_bytes: int

    @classmethod
    def by(cls, process):
        return cls(process.num_threads(), process.num_fds(), process.memory_full_info().uss)


def go_through(client, robot, round_index):
    """Every transition that leads back, a goal under way in every second round."""
    assert client.transition(Transition.TRANSITION_CONFIGURE)
    for _ in range(2):
        assert client.transition(Transition.TRANSITION_ACTIVATE)
        handle = None
        if round_index % 2:
            robot.reset()
            handle = client.send(INSTRUCTION)
            assert handle.accepted
            wait_until(lambda: any(command.v_mps > 0.0 for command in robot.commands))
        assert client.transition(Transition.TRANSITION_DEACTIVATE)
        if handle is not None:
            assert client.result(handle)[0] == GoalStatus.STATUS_ABORTED
    assert client.transition(Transition.TRANSITION_CLEANUP)
    assert client.state() == State.PRIMARY_STATE_UNCONFIGURED


def settled(process):
    """What is held once it does not change any more."""
    seen = [Held.by(process)]
    while len(seen) < 50 and (len(seen) < 3 or len({astuple(each)[:2] for each in seen[-3:]}) > 1):
        time.sleep(0.1)
        seen.append(Held.by(process))
    return seen[-1]


@pytest.mark.timeout(900)
def test_rounds_leave_nothing_behind(start, robot, client):
    node = start()
    process = psutil.Process(node.pid)
    held = []
    for index in range(ROUNDS):
        go_through(client, robot, index)
        assert process.children(recursive=True) == [], "unconfigured: no process is left"
        held.append(settled(process))
        if SLOW:
            print(f"round {index + 1}: {held[-1]}")
    judged = held[WARM_UP_ROUNDS - 1 :]
    for name in (field.name for field in fields(Held) if field.name != "memory_bytes"):
        counts = [getattr(each, name) for each in judged]
        grew = [after > before for before, after in pairwise(counts)]
        assert not all(grew), f"more {name} after every round: {counts}"
        assert counts[-1] - counts[0] <= SPARE, f"{name}: {counts}"
    per_round_bytes = (judged[-1].memory_bytes - judged[0].memory_bytes) / (len(judged) - 1)
    print(f"memory: {1e-3 * per_round_bytes:.0f} kB more per round")
    if SLOW:
        assert per_round_bytes < MEMORY_PER_ROUND_BYTES
    assert client.transition(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert client.state() == State.PRIMARY_STATE_FINALIZED
    assert node.end() == 0
    assert "Traceback" not in node.log
