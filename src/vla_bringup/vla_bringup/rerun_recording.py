"""A bag as a Rerun recording (.rrd), and the viewer on it. Needs no ROS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vla_core import bag_metadata
from vla_core.contract import Contract
from vla_core.decoding import stamp_ns_of
from vla_core.errors import ContractError, VlaError
from vla_recorder.bag_contents import BagContents, read_contents

STAMP_TIMELINE: Final = "stamp"
RECEIVED_TIMELINE: Final = "received"

_DEFAULT_CONTROL_PERIOD_S: Final = 0.05
_SHOWN_METADATA: Final = (
    bag_metadata.INSTRUCTION,
    bag_metadata.OUTCOME,
    bag_metadata.NOTE,
    bag_metadata.OPERATOR,
    bag_metadata.ROBOT,
    bag_metadata.SUITE,
    bag_metadata.SEED,
)


class ViewError(VlaError):
    """A recording cannot be shown."""


@dataclass(frozen=True)
class ViewSummary:
    """What became of a bag.

    Attributes:
        path: the .rrd file.
        logged: messages that were taken over, by topic.
        left_out: messages of types that Rerun has no picture of, by topic.
        size_bytes: of the file.
    """

    path: Path
    logged: dict[str, int]
    left_out: dict[str, int]
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "path": str(self.path)}


def write_recording(bag: Path, out: Path) -> ViewSummary:
    """Write a bag as a Rerun recording with a layout.

    Args:
        bag: folder of a rosbag2 bag, or its storage file.
        out: .rrd file; one that is there is replaced.

    Raises:
        BagError: the bag is missing or damaged.
        ViewError: rerun-sdk is missing, or the file cannot be written.
    """
    _check_installed()
    contents = read_contents(bag)
    if not contents.messages:
        raise ViewError(f"bag {bag} holds no message; there is nothing to show")
    if out.suffix != ".rrd":
        raise ViewError(f"--out {out} ends in '{out.suffix}', expected .rrd")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_name(f".{out.name}.{os.getpid()}")
        partial.touch()
    except OSError as error:
        raise ViewError(f"{out} cannot be written: {error.strerror}") from error
    try:
        logged, left_out = _log_bag(bag, contents, partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return ViewSummary(out, dict(logged), dict(left_out), out.stat().st_size)


def show(bag: Path) -> int:
    """Open a bag in Rerun's viewer and wait until its window is closed.

    Returns:
        the viewer's exit code.

    Raises:
        BagError: the bag is missing or damaged.
        ViewError: there is no display or no viewer.
    """
    _check_installed()
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ViewError(
            "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set); write a file with "
            "--out FILE.rrd and open it with `rerun FILE.rrd` where there is one"
        )
    viewer = shutil.which("rerun", path=str(Path(sys.executable).parent)) or shutil.which("rerun")
    if viewer is None:
        raise ViewError("the program `rerun` of rerun-sdk is not on the path; use --out FILE.rrd")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "recording.rrd")
        write_recording(bag, file)
        # By default the viewer would take data from the whole network.
        return subprocess.call([viewer, "--bind", "127.0.0.1", str(file)])


def _check_installed() -> None:
    try:
        import rerun  # noqa: F401
    except ImportError as error:
        raise ViewError(
            f"rerun-sdk cannot be imported ({error}); install the version of "
            "requirements/development.txt: the next ones need numpy 2"
        ) from error


def _log_bag(bag: Path, contents: BagContents, out: Path) -> tuple[Counter[str], Counter[str]]:
    import rerun as rr
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    from vla_bringup.rerun_layout import layout
    from vla_bringup.rerun_messages import MessageLogger

    rr.set_strict_mode(True)  # otherwise what it cannot log is a warning, and missing
    recording = rr.RecordingStream("vla_view", recording_id=str(contents.path.resolve()))
    recording.save(out, default_blueprint=layout(contents.topics))
    recording.log(
        "episode", rr.TextDocument(_episode(contents), media_type="text/markdown"), static=True
    )
    logged: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        logger = MessageLogger(recording, _control_period_s(contents), _static_frames(reader))
        for connection, received_ns, data in reader.messages():
            handle = logger.handler(connection.msgtype)
            if handle is None:
                left_out[connection.topic] += 1
                continue
            message = reader.deserialize(data, connection.msgtype)
            stamp_ns = stamp_ns_of(message)
            for timeline, time_ns in (
                (RECEIVED_TIMELINE, received_ns),
                (STAMP_TIMELINE, received_ns if stamp_ns is None else stamp_ns),
            ):
                recording.set_time(timeline, timestamp=np.datetime64(time_ns, "ns"))
            handle(connection.topic, message)
            logged[connection.topic] += 1
        logger.finish()
    recording.flush()
    recording.disconnect()
    return logged, left_out


def _control_period_s(contents: BagContents) -> float:
    """How long an action of a chunk is held, by the contract in the bag."""
    text = contents.custom.get(bag_metadata.CONTRACT)
    if not text:
        return _DEFAULT_CONTROL_PERIOD_S
    try:
        return 1.0 / Contract.from_yaml(text).action.rate_hz
    except ContractError:
        return _DEFAULT_CONTROL_PERIOD_S  # `vla inspect` is what judges contracts


def _static_frames(reader: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Transforms of /tf_static, by child frame; empty where the bag has none."""
    frames = {}
    static = [c for c in reader.connections if c.topic.endswith("/tf_static")]
    for connection, _, data in reader.messages(connections=static) if static else ():
        for transform in reader.deserialize(data, connection.msgtype).transforms:
            move, turn = transform.transform.translation, transform.transform.rotation
            frames[transform.child_frame_id] = (
                np.array([move.x, move.y, move.z]),
                np.array([turn.x, turn.y, turn.z, turn.w]),
            )
    return frames


def _episode(contents: BagContents) -> str:
    rows = [
        f"| {key.removeprefix('vla.')} | {contents.custom[key]} |"
        for key in _SHOWN_METADATA
        if contents.custom.get(key)
    ]
    title = f"# {contents.path.name}\n\n{contents.duration_s:.1f} s, {contents.messages} messages\n"
    return title + ("\n| | |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else "")
