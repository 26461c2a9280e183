"""Layout of a LeRobotDataset, format v3.0, and which feature holds which of our arrays.

    meta/info.json                              version, rate, features, splits
    meta/stats.json                             statistics of all frames
    meta/tasks.parquet                          sentences
    meta/episodes/chunk-000/file-000.parquet    table of episodes, with the statistics of each
    data/chunk-000/file-000.parquet             frames, many episodes to a file
    videos/<feature>/chunk-000/file-000.mp4     pictures that are not in the table of frames

Beside these, exports of ours have `meta/vla.json`, which LeRobot does not look at, and columns
`vla/…` in the table of episodes, which it tolerates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from vla_core.contract import Contract
from vla_core.contract_specs import ImageDecoder, OdometryDecoder, ScanDecoder, StreamSpec
from vla_training.dataset.layout import (
    ACTION,
    ACTION_VALID,
    AGE_NS,
    DOCK_POSE,
    DOCK_POSE_VALID,
    DRIVER,
    EPISODE_COLUMNS,
    TEST,
    TICK_NS,
    TRAINING,
    VALID,
    VALIDATION,
    RowSpec,
    observation,
    row_specs,
)

CODEBASE_VERSION: Final = "v3.0"
INFO: Final = "meta/info.json"
STATS: Final = "meta/stats.json"
TASKS: Final = "meta/tasks.parquet"
OURS: Final = "meta/vla.json"
EPISODES_PATH: Final = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH: Final = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"

FILES_PER_CHUNK: Final = 1000
FILE_MB: Final = 100
VIDEO_FILE_MB: Final = 200

OURS_FORMAT: Final = "vla-docking-lerobot"
OURS_VERSION: Final = 1
OWN_PREFIX: Final = "vla/"
NUMBER: Final = "vla/number"
"""Column of the table of episodes: place of the episode in the data set that was exported."""
OWN_COLUMNS: Final = tuple(
    name for name in EPISODE_COLUMNS if name not in {"start", "length", "split", "part"}
)
"""Columns of our table of episodes that LeRobot has no place for."""

SPLIT_NAMES: Final = {"train": TRAINING, "validation": VALIDATION, "val": VALIDATION, "test": TEST}

STATE: Final = "observation.state"
TIMESTAMP: Final = "timestamp"
FRAME_INDEX: Final = "frame_index"
EPISODE_INDEX: Final = "episode_index"
INDEX: Final = "index"
TASK_INDEX: Final = "task_index"

IMAGE_TYPE: Final = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

_BEHIND_PREFIX: Final = {
    AGE_NS: "vla.age_ns",
    ACTION_VALID: "vla.action_valid",
    DOCK_POSE: "vla.dock_pose",
    DOCK_POSE_VALID: "vla.dock_pose_valid",
    DRIVER: "vla.driver",
    TICK_NS: "vla.tick_ns",
}


@dataclass(frozen=True)
class Feature:
    """One column of the frames.

    Attributes:
        name: Such as "observation.state".
        dtype: As numpy names it; "image" or "video" for pictures.
        shape: Of one value; (1,) is a scalar.
        names: Of the components.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None

    @property
    def is_picture(self) -> bool:
        """Whether its values are pictures."""
        return self.dtype in {"image", "video"}

    @property
    def arrow_type(self) -> pa.DataType:
        """Of its column."""
        if self.dtype == "image":
            return IMAGE_TYPE
        kind = pa.from_numpy_dtype(self.dtype)
        size = math.prod(self.shape)
        return kind if size == 1 else pa.list_(kind, size)

    def to_json(self) -> dict[str, Any]:
        """As info.json has it."""
        names = None if self.names is None else list(self.names)
        return {"dtype": self.dtype, "shape": list(self.shape), "names": names}


INDEX_FEATURES: Final = (
    Feature(TIMESTAMP, "float32", (1,)),
    *(Feature(name, "int64", (1,)) for name in (FRAME_INDEX, EPISODE_INDEX, INDEX, TASK_INDEX)),
)
"""What every LeRobotDataset has."""


def feature_names(contract: Contract) -> dict[str, str]:
    """The name of the feature of every array of a data set, unless another one is chosen.

    Cameras are `observation.images.<key>`; the odometry, if there is one, `observation.state`;
    other streams `observation.<key>`. What policies of LeRobot must not take for an observation
    begins with `vla.`.
    """
    odometry = [s for s in contract.streams if isinstance(s.decoder, OdometryDecoder)]
    names = {}
    for stream in contract.streams:
        if isinstance(stream.decoder, ImageDecoder):
            name = f"observation.images.{stream.key}"
        elif len(odometry) == 1 and stream is odometry[0]:
            name = STATE
        else:
            name = f"observation.{stream.key}"
        names[observation(stream.key)] = name
    return {**names, VALID: "observation.valid", ACTION: "action", **_BEHIND_PREFIX}


def feature_of(spec: RowSpec, name: str, contract: Contract) -> Feature:
    """The feature that holds an array.

    The validity mask is float32, because policies of LeRobot normalise whatever is an observation,
    which fails for bool.
    """
    if len(spec.shape) == 3:
        return Feature(name, "image", spec.shape, ("height", "width", "channels"))
    dtype = "float32" if spec.name == VALID else spec.dtype
    return Feature(name, dtype, spec.shape or (1,), _component_names(spec, contract))


def exported_features(contract: Contract, names: dict[str, str]) -> dict[str, Feature]:
    """Feature by array, in the order of the arrays.

    Args:
        contract: Of the data set.
        names: See `feature_names`.
    """
    return {spec.name: feature_of(spec, names[spec.name], contract) for spec in row_specs(contract)}


def _component_names(spec: RowSpec, contract: Contract) -> tuple[str, ...]:
    streams: dict[str, StreamSpec] = {observation(s.key): s for s in contract.streams}
    if spec.name in streams:
        decoder = streams[spec.name].decoder
        if isinstance(decoder, ScanDecoder):
            return tuple(f"range_{index}" for index in range(decoder.beams))
        return decoder.fields if isinstance(decoder, OdometryDecoder) else ()
    if spec.name in {VALID, AGE_NS}:
        return contract.keys
    if spec.name == ACTION:
        return contract.action.fields
    if spec.name == DOCK_POSE:
        return ("x", "y", "yaw")
    return (spec.name.rpartition("/")[2],)
