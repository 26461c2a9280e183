"""The targets of fuzzing, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from vla_bringup.fuzzing.errors import FuzzingError
from vla_bringup.fuzzing.subject import Subject

_HERE: Final = "vla_bringup.fuzzing"


@dataclass(frozen=True)
class Target:
    """What can be fuzzed.

    Attributes:
        name: of the target.
        text: what is read, for people.
        place: module and class of its `Subject`, joined by a colon.
        packages: whose coverage counts.
    """

    name: str
    text: str
    place: str
    packages: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """The name, as a file may have it."""
        return self.name.replace(":", "-")


_BAG: Final = ("vla_core", "vla_training.conversion", "vla_recorder", "rosbags.rosbag2")
_TEXT: Final = ("vla_core", "vla_training", "vla_policy_node.docking")

TARGETS: Final = {
    target.name: target
    for target in (
        Target(
            "bag-mcap",
            "recorded bag, MCAP: inspect and convert",
            f"{_HERE}.bag_subjects:McapBag",
            _BAG,
        ),
        Target(
            "bag-sqlite3",
            "recorded bag, SQLite: inspect and convert",
            f"{_HERE}.bag_subjects:SqliteBag",
            _BAG,
        ),
        Target(
            "bag-repair",
            "bag that was not closed: repair and inspect",
            f"{_HERE}.bag_subjects:UnclosedBag",
            _BAG,
        ),
        Target(
            "message",
            "serialised camera, scan, odometry, command and pose messages",
            f"{_HERE}.message_subjects:Messages",
            ("vla_core",),
        ),
        Target(
            "dataset",
            "HDF5 data set: open, map, gather, draw a batch",
            f"{_HERE}.data_subjects:Dataset",
            ("vla_core", "vla_training.dataset"),
        ),
        Target(
            "lerobot",
            "LeRobotDataset: import",
            f"{_HERE}.data_subjects:LeRobot",
            ("vla_core", "vla_training.lerobot"),
        ),
        Target(
            "bundle",
            "policy bundle: verify, contract, statistics, words, calibration",
            f"{_HERE}.policy_subjects:Bundle",
            ("vla_core",),
        ),
        Target(
            "graph",
            "policy bundle whose graph is damaged: load and run",
            f"{_HERE}.policy_subjects:Graph",
            ("vla_core", "vla_policy_node.inference"),
        ),
        Target(
            "contract",
            "contract of a robot, YAML",
            f"{_HERE}.text_subjects:ContractFile",
            ("vla_core",),
        ),
        Target(
            "training",
            "training configuration, YAML, and overrides",
            f"{_HERE}.text_subjects:TrainingFile",
            _TEXT,
        ),
        Target(
            "sweep",
            "sweep over training configurations, YAML",
            f"{_HERE}.text_subjects:SweepFile",
            _TEXT,
        ),
        Target(
            "docks",
            "dock database, YAML",
            f"{_HERE}.text_subjects:DockFile",
            _TEXT,
        ),
        Target(
            "evaluation",
            "results of evaluations, JSON: compare and correlate",
            f"{_HERE}.text_subjects:EvaluationFile",
            ("vla_training.evaluation",),
        ),
        Target(
            "instruction",
            "sentence that the robot is told",
            f"{_HERE}.text_subjects:Instruction",
            ("vla_core", "vla_training.dataset"),
        ),
        Target(
            "remote-server",
            "policy server: what a robot sends, over TCP",
            f"{_HERE}.remote_subjects:Server",
            ("vla_core", "vla_policy_node.inference", "openpi_client"),
        ),
        Target(
            "remote-client",
            "remote runtime: what a policy server sends, over TCP",
            f"{_HERE}.remote_subjects:Client",
            ("vla_core", "vla_policy_node.inference", "openpi_client"),
        ),
    )
}


def target_of(name: str) -> Target:
    """A target by its name, or one of somebody else as MODULE:CLASS.

    Raises:
        FuzzingError: there is none.
    """
    if name in TARGETS:
        return TARGETS[name]
    module, colon, _ = name.partition(":")
    if colon and module:
        return Target(name, "", name, (module.partition(".")[0],))
    raise FuzzingError(
        f"target {name!r} is unknown, expected some of {', '.join(TARGETS)}, or MODULE:CLASS of a "
        "subject of your own"
    )


def chosen(names: Sequence[str]) -> list[Target]:
    """Targets by name, each once; all without a name.

    Raises:
        FuzzingError: one is unknown.
    """
    return [target_of(name) for name in dict.fromkeys(names)] or list(TARGETS.values())


def subject_of(target: Target) -> type[Subject]:
    """The class of a target's subject; imports what is fuzzed.

    Raises:
        FuzzingError: there is no such class.
    """
    module_name, _, name = target.place.partition(":")
    try:
        found = getattr(import_module(module_name), name, None)
    except ModuleNotFoundError as error:
        raise FuzzingError(
            f"target {target.name}: Python module {error.name} is not installed"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Subject)):
        raise FuzzingError(f"target {target.name}: {module_name} has no subject {name!r}")
    return found
