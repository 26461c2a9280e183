"""What the control process makes of the scan, and of actions that are no numbers."""

import numpy as np
import pytest
from policy_fixtures import HORIZON
from test_control_process import EPOCH_NS, PERIOD_NS, Bench

from vla_core.clearance import Surroundings
from vla_core.geometry import Pose2D
from vla_policy_node.control.link import Link
from vla_policy_node.control.messages import AddChunk, Seen


def test_what_the_scan_shows_arrives_at_the_other_end():
    ours, theirs = (Link(end) for end in Link.pair())
    points = np.array([[0.5, -0.25], [1.234, 0.0]])
    for pose in (None, Pose2D(-0.3, 0.02, 0.1)):
        assert ours.send(Seen.of(Surroundings(points, EPOCH_NS, pose)))
        (message,) = theirs.receive()
        assert message.surroundings.points == pytest.approx(points)
        assert message.surroundings.stamp_ns == EPOCH_NS
        assert message.surroundings.dock_from_base == pose
    assert ours.send(Seen.of(Surroundings(np.zeros((0, 2)), EPOCH_NS)))
    assert theirs.receive()[0].surroundings.points.shape == (0, 2)
    ours.close()
    theirs.close()


def test_a_full_turn_of_points_fits_into_one_message():
    ours, theirs = (Link(end) for end in Link.pair())
    points = np.random.default_rng(1).uniform(-3.0, 3.0, (3600, 2))
    assert ours.send(Seen.of(Surroundings(points, EPOCH_NS)))
    (message,) = theirs.receive()
    assert message.surroundings.points == pytest.approx(points, abs=6e-4)
    ours.close()
    theirs.close()


def test_an_action_that_is_no_number_ends_the_motion_until_the_next_goal():
    bench = Bench().drive().run(200)
    assert bench.commands[-1] > 0.0
    broken = [[float("nan"), 0.0]] * HORIZON
    bench.tell(AddChunk(1, EPOCH_NS + bench.now_ns, broken))
    bench.now_ns += PERIOD_NS
    bench.server.run(bench.now_ns)
    assert bench.commands[-1] == 0.0
    assert bench.last.fault == "the policy commanded NaN or infinity"
    bench.run(1000)
    assert not any(bench.commands[-8:])
    bench.drive(goal=2).run(200)
    assert bench.commands[-1] > 0.0
