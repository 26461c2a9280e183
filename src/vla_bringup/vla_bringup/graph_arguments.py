"""The launch arguments: their names, defaults and meaning, and how their text becomes values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vla_bringup.resources import default_contract, default_policy
from vla_core.errors import VlaError


class GraphError(VlaError):
    """An argument of a graph is unknown or has a value outside its range."""


@dataclass(frozen=True)
class Argument:
    """A launch argument; its value is always a string, as on the command line."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphOptions:
    """Values of the launch arguments, checked and typed."""

    sim: str = "mujoco"
    instruction: str = ""
    policy: Path = field(default_factory=default_policy)
    contract: Path = field(default_factory=default_contract)
    params_file: Path | None = None
    namespace: str = ""
    use_sim_time: bool = False
    record: bool = False
    teleop: bool = False
    record_directory: Path = Path("out/recordings")
    driver: str = "expert"
    suite: str = "nominal"
    seed: int = 1_000_000
    robots: str = ""
    shutdown_when_done: bool = False
    rviz: bool = False
    on_failure: str = "stop"
    log_level: str = "info"

    @property
    def simulated_time(self) -> bool:
        """Whether the nodes take the time from /clock; Gazebo has no other."""
        return self.use_sim_time or self.sim == "gazebo"

    @classmethod
    def from_arguments(
        cls, arguments: tuple[Argument, ...], values: Mapping[str, str]
    ) -> GraphOptions:
        """Check the values against their arguments and convert them.

        Args:
            arguments: those of the graph.
            values: by name; a missing one takes its default.

        Raises:
            GraphError: names every mistake at once.
        """
        known = {argument.name: argument for argument in arguments}
        mistakes = [
            f"unknown argument '{name}' (known: {', '.join(known)})"
            for name in values
            if name not in known
        ]
        typed: dict[str, object] = {}
        for name, argument in known.items():
            text = values.get(name, argument.default)
            try:
                typed[name] = _convert(argument, text)
            except ValueError as error:
                mistakes.append(f"{name}:={text}: {error}")
        if mistakes:
            raise GraphError("; ".join(mistakes))
        return cls(**typed)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- arguments

BOOLEAN: Final = ("true", "false")
_INTEGERS: Final = {"seed"}
_PATHS: Final = {"policy", "contract", "record_directory"}


def _convert(argument: Argument, text: str) -> object:
    """The typed value of an argument.

    Raises:
        ValueError: says what was expected.
    """
    if argument.choices == BOOLEAN:
        text = text.lower()  # launch files and YAML write True
    if argument.choices and text not in argument.choices:
        raise ValueError(f"expected one of {', '.join(argument.choices)}")
    if argument.choices == BOOLEAN:
        return text == "true"
    if argument.name in _INTEGERS:
        if not text.isdecimal():
            raise ValueError("expected a whole number, 0 or larger")
        return int(text)
    if argument.name in _PATHS:
        if not text:
            raise ValueError("expected a path")
        return Path(text).expanduser().absolute()
    if argument.name == "params_file":
        return _file(text)
    if argument.name == "namespace":
        return _namespace(text)
    if argument.name == "robots":
        return _robots(text)
    return text


def _namespace(text: str) -> str:
    parts = [part for part in text.split("/") if part]
    for part in parts:
        if not part.isidentifier() or not part.isascii():
            raise ValueError(
                "expected letters, digits and underscores, parts separated by slashes and none "
                "starting with a digit"
            )
    return "".join(f"/{part}" for part in parts)


def _file(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise ValueError("there is no such file; expected a ROS parameter file (YAML)")
    return path


def _robots(text: str) -> str:
    """Namespaces of the robots, without slashes around them, separated by commas."""
    names = [_namespace(part.strip()).lstrip("/") for part in text.split(",")]
    if text.strip() and ("" in names or len(set(names)) != len(names)):
        raise ValueError("expected different names separated by commas, e.g. robot_1,robot_2")
    return ",".join(names)


def _arguments(*own: Argument, seed: int) -> tuple[Argument, ...]:
    """The arguments of a graph: its own and those that all graphs share."""
    return (
        Argument(
            "sim",
            "mujoco",
            "What stands for the robot: the embedded MuJoCo simulator; Gazebo, where ros_gz is "
            "installed; none, where a robot or another simulator publishes the contract's topics",
            ("mujoco", "gazebo", "none"),
        ),
        *own,
        Argument("contract", str(default_contract()), "Contract of the robot (YAML file)"),
        Argument(
            "params_file",
            "",
            "ROS parameter file (YAML) for the nodes; what the launch arguments say counts first",
        ),
        Argument(
            "namespace",
            "",
            "Namespace of all nodes and relative topics, and of /tf, /tf_static and /diagnostics",
        ),
        Argument("use_sim_time", "false", "Take the time from /clock", BOOLEAN),
        Argument("suite", "nominal", "Simulator: suite that scene and start are drawn from"),
        Argument("seed", str(seed), "Simulator: seed of the start and the scene"),
        Argument(
            "on_failure",
            "stop",
            "When a node fails the robot stops, and the graph ends (stop) or begins anew and waits "
            "for the next goal (restart)",
            ("stop", "restart"),
        ),
        Argument(
            "log_level",
            "info",
            "Severity from which the nodes log",
            ("debug", "info", "warn", "error"),
        ),
    )


_RECORD_DIRECTORY: Final = Argument(
    "record_directory",
    str(GraphOptions.record_directory),
    "Folder that receives one bag per episode",
)

DOCK_ARGUMENTS: Final = _arguments(
    Argument(
        "instruction",
        "",
        "Sentence to dock with once everything is active; empty: wait for goals of the Dock action",
    ),
    Argument("policy", str(default_policy()), "Policy bundle (directory)"),
    Argument(
        "record",
        "false",
        "Run the recorder, and record the docking that `instruction` asks for",
        BOOLEAN,
    ),
    _RECORD_DIRECTORY,
    Argument(
        "teleop",
        "false",
        "Let a person take over with `vla teleop`: the policy's commands pass the command mux",
        BOOLEAN,
    ),
    Argument(
        "shutdown_when_done", "false", "End the graph when `instruction` is carried out", BOOLEAN
    ),
    Argument("rviz", "false", "Open RViz on the graph, where rviz2 is installed", BOOLEAN),
    seed=1_000_000,
)
RECORD_ARGUMENTS: Final = _arguments(
    Argument(
        "driver",
        "expert",
        "Who drives: the scripted expert (simulator only), or none",
        ("expert", "none"),
    ),
    _RECORD_DIRECTORY,
    seed=0,
)
SIM_ARGUMENTS: Final = _arguments(
    Argument(
        "robots",
        "",
        "MuJoCo: robots in one scene, each with a station of its own: their namespaces, separated "
        "by commas, e.g. robot_1,robot_2; empty: one robot in the graph's namespace",
    ),
    seed=0,
)
