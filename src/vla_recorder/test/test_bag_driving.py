"""How an episode was driven: figures of the commands, where it ended, and the picture of it."""

import json

import matplotlib.image
import numpy as np
import pytest
from bag_fixtures import PERIOD_NS, START_NS, STORE, Recording, contract, header, odometry, twist

from vla_recorder.bag_driving import FRAMES, read_driving, summary
from vla_recorder.bag_inspection import inspect_bag
from vla_recorder.bag_picture import picture_name, write_picture
from vla_recorder.errors import BagError

DOCK_POSE = "/ground_truth/dock_pose"


def tick_of(stamp_ns):
    return (stamp_ns - START_NS) // PERIOD_NS


def commands(values):
    """A builder of commands: (v, w) by tick."""

    def build(stamp_ns):
        kind = STORE.types["geometry_msgs/msg/TwistStamped"]
        return kind(header(stamp_ns), twist(*values(tick_of(stamp_ns))))

    return build


def dock_pose(x_m, y_m, yaw_rad=0.0):
    """A builder of the dock's pose in the base frame, of the last tick; before it is 1 m away."""

    def build(stamp_ns):
        types = STORE.types
        away_m = 0.0 if tick_of(stamp_ns) == 39 else 1.0
        point = types["geometry_msgs/msg/Point"](x_m + away_m, y_m, 0.0)
        half = yaw_rad / 2.0
        turn = types["geometry_msgs/msg/Quaternion"](0.0, 0.0, np.sin(half), np.cos(half))
        pose = types["geometry_msgs/msg/Pose"](point, turn)
        return types["geometry_msgs/msg/PoseStamped"](header(stamp_ns), pose)

    return build


def driving_of(tmp_path, frames=0, **builders):
    recording = Recording()
    recording.builders |= {f"/{name}": build for name, build in builders.items()}
    bag = recording.write(tmp_path / "bag")
    inspection = inspect_bag(bag)
    return read_driving(bag, inspection.contract, inspection.topics, frames=frames)


def test_commands_that_stand_still_and_that_are_at_a_limit_are_counted(tmp_path):
    def values(tick):
        if tick < 10:
            return 0.005, -0.01  # idle
        if tick < 14:
            return 0.5, 0.2  # as fast as allowed
        if tick < 16:
            return -0.3, 0.2  # and back
        if tick < 20:
            return 0.1, -1.0  # and around
        return 0.2, 0.1

    driving = driving_of(tmp_path, cmd_vel=commands(values))
    assert driving.idle_fraction == pytest.approx(10 / 40)
    assert driving.saturated_fraction == pytest.approx(10 / 40)
    assert driving.commands.shape == (40, 2)
    assert driving.command_s[1] - driving.command_s[0] == pytest.approx(0.05)
    assert driving.docked is None
    assert driving.problem == ""
    assert summary(driving) == "idle 25%, saturated 25%, end not known"


@pytest.mark.parametrize(
    ("pose", "docked"),
    [((-0.004, 0.003), True), ((0.0, 0.012), False), ((0.0, 0.0, 0.1), False)],
)
def test_the_end_is_told_by_the_last_pose_of_the_dock(tmp_path, pose, docked):
    driving = driving_of(tmp_path, **{DOCK_POSE.lstrip("/"): dock_pose(*pose)})
    assert driving.docked is docked
    assert driving.dock_from_base.yaw == pytest.approx(-(pose[2] if len(pose) > 2 else 0.0))
    if docked:
        assert "docked: +4.0 mm along, -3.0 mm across" in summary(driving)
        assert driving.to_dict()["end"]["longitudinal_mm"] == pytest.approx(4.0)
    json.dumps(driving.to_dict(), allow_nan=False)


def test_frames_are_spread_over_the_bag(tmp_path):
    driving = driving_of(tmp_path, frames=FRAMES)
    assert len(driving.frames) == FRAMES
    assert driving.frames[0].shape == (12, 16, 3)
    assert driving.frame_s[0] == pytest.approx(0.0)
    assert driving.frame_s[-1] == pytest.approx(39 * 0.05)
    assert np.diff(driving.frame_s) == pytest.approx([39 * 0.05 / 7] * 7, abs=0.05)


def test_a_message_that_cannot_be_read_is_said_and_the_rest_counts(tmp_path):
    def lost(tick):
        return (float("nan"), 0.0) if tick == 7 else (0.2, 0.1)

    driving = driving_of(tmp_path, cmd_vel=commands(lost))
    assert len(driving.commands) == 39
    assert "/cmd_vel: action" in driving.problem
    assert driving.idle_fraction == 0.0


def test_a_bag_without_commands_has_no_shares(tmp_path):
    recording = Recording(skipped={"/cmd_vel": set(range(40))})
    bag = recording.write(tmp_path / "bag")
    inspection = inspect_bag(bag)
    driving = read_driving(bag, contract(), inspection.topics)
    assert driving.idle_fraction is driving.saturated_fraction is None
    assert summary(driving) == "end not known"


def test_a_bag_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(BagError, match="cannot be read"):
        read_driving(tmp_path / "none", contract(), {})


def test_the_picture_shows_frames_and_velocities(tmp_path):
    with_frames = driving_of(tmp_path, frames=FRAMES, odom=odometry)
    bare = read_driving(tmp_path / "bag", contract(), {}, frames=0)
    pictures = []
    for name, driving in (("frames", with_frames), ("bare", bare)):
        path = tmp_path / f"{name}.png"
        write_picture(path, "도킹: dock", driving, contract().action)
        pictures.append(matplotlib.image.imread(path))
    assert pictures[0].shape[1] == 1200
    coloured = np.ptp(pictures[0][..., :3], axis=-1) > 0.1
    assert coloured[: coloured.shape[0] // 3].any(), "frames above"
    assert coloured[coloured.shape[0] // 2 :].any(), "commands below"


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path):
    driving = driving_of(tmp_path)
    with pytest.raises(BagError, match=r"the picture .* cannot be written"):
        write_picture(tmp_path / "none" / "x.png", "", driving, contract().action)


def test_bags_of_one_name_have_pictures_of_their_own(tmp_path):
    taken = set()
    names = [picture_name(tmp_path / folder / "run", taken) for folder in "abc"]
    assert names == ["run.png", "run_2.png", "run_3.png"]
