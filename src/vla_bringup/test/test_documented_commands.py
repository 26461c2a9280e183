"""Every command line of the documentation is understood by what it calls.

Each program has its check here: its parser, its message type, its files. One without a check fails.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from ament_index_python.packages import get_package_share_directory
from documentation import PAGES, ROOT, commands, inline_code, split

from vla_bringup import cli
from vla_bringup.evaluation_arguments import evaluation_command
from vla_bringup.graph import GRAPHS
from vla_core.errors import VlaError
from vla_simulation.suite_mix import SuiteMix
from vla_training.pretraining_config import load_pretraining_config
from vla_training.reinforcement.config import load_finetune_config
from vla_training.training_config import load_training_config

VERBS = [verb for verbs in cli.GROUPS.values() for verb in verbs]
SOURCES = ROOT / "src"
# Files and folders that the commands before it leave, and the reader's own.
MADE = re.compile(r"out/|docs/|my_|sweep\.yaml|corrections\.h5|data\.h5|BAGS?$|DATA$|DIR$|~/")
# Executables of other packages, which are not installed everywhere.
FOREIGN_EXECUTABLES = {
    "foxglove_bridge": "foxglove_bridge",
    "plotjuggler": "plotjuggler",
    "robot_state_publisher": "robot_state_publisher",
    "ros_gz_bridge": "parameter_bridge",
}
FOREIGN_VARIABLES = (
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "GZ_SIM_RESOURCE_PATH",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "ROS_SECURITY_ENABLE",
    "ROS_SECURITY_ENCLAVE_OVERRIDE",
    "ROS_SECURITY_KEYSTORE",
    "ROS_SECURITY_STRATEGY",
)


class WrongCommandError(Exception):
    """What is wrong with a command."""


MISTAKES = (WrongCommandError, VlaError, AssertionError, ValueError)


def require(condition, problem):
    if not condition:
        raise WrongCommandError(problem)


@cache
def parser():
    modules = {verb: import_module(f"vla_bringup.verbs.{verb.replace('-', '_')}") for verb in VERBS}
    return cli.build_parser(modules)


@cache
def sources():
    """Text of all that reads environment variables."""
    files = {*SOURCES.rglob("*.py"), *(ROOT / "scripts").glob("*.sh")} - {Path(__file__).resolve()}
    return "\n".join(path.read_text() for path in files)


def launch_mistake(graph, words):
    """What is wrong with launch arguments, values included; empty where nothing is."""
    values = dict(word.split(":=", 1) for word in words if ":=" in word)
    if "params_file" in values:  # one that the reader makes
        values["params_file"] = str(ROOT / "pyproject.toml")
    try:
        evaluation_command(values) if graph == "evaluate" else GRAPHS[graph].from_values(values)
    except VlaError as error:
        return str(error)
    return ""


def vla(words):
    try:
        parsed = parser().parse_args(words)
    except SystemExit as ending:
        require(not ending.code, "not accepted")
        return
    values = vars(parsed)
    if parsed.verb == "up":
        mistake = launch_mistake(parsed.graph, parsed.arguments)
        require(not mistake, mistake)
    for suite in _listed(values.get("suite")):
        SuiteMix.parse(suite)
    if parsed.verb in ("train", "dagger"):
        overrides = [text for text in parsed.set if not text.startswith("initial=")]
        preset = parsed.preset
        load_training_config("data.h5", "out", preset=preset, overrides=overrides)
    if parsed.verb == "pretrain":
        load_pretraining_config("data.h5", "out", preset=parsed.preset, overrides=parsed.set)
    if parsed.verb == "finetune":
        load_finetune_config(parsed.checkpoint, parsed.out, overrides=parsed.set)


def _listed(value):
    return value if isinstance(value, list) else [value] if value else []


def ros2(words):
    verb = words[0]
    if verb == "launch":
        if words[1] == "vla_bringup" and len(words) > 2:
            graph = words[2].removesuffix(".launch.py")
            require((SOURCES / "vla_bringup/launch" / words[2]).is_file(), "no such launch file")
            mistake = launch_mistake(graph, words[3:])
            require(not mistake, mistake)
    elif verb == "run":
        _ros2_run(*words[1:3], words[3:])
    elif verb == "param":
        require(words[3] in _parameters(), f"no parameter {words[3]}")
    elif verb in ("action", "service"):
        require(words[1] in ("send_goal", "call"), "unknown verb")
        _check_message(words[3], yaml.safe_load(words[4]))
    else:
        require(verb in ("topic", "bag", "security", "pkg"), f"{verb} is not checked")


def _ros2_run(package, executable, arguments):
    if not (SOURCES / package).is_dir():
        require(FOREIGN_EXECUTABLES.get(package) == executable, "unknown executable")
        return
    setup = (SOURCES / package / "setup.py").read_text()
    require(f'"{executable} = ' in setup, f"{package} has no executable {executable}")
    for word, value in pairwise(arguments):
        if word == "-p":
            name = value.split(":=")[0]
            require(name in _parameters(), f"no parameter {name}")


@cache
def _parameters():
    """Names in the tables of parameters, which other tests compare with the declarations."""
    pages = (ROOT / "docs" / "interfaces.md", SOURCES / "vla_policy_node" / "README.md")
    rows = [row for page in pages for row in re.findall(r"^\| (`.*?) \|", page.read_text(), re.M)]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def _check_message(name, values):
    package, kind, type_name = name.split("/")
    interface = getattr(import_module(f"{package}.{kind}"), type_name)
    message = (interface.Goal if kind == "action" else interface.Request)(check_fields=True)
    for field, value in values.items():
        require(hasattr(message, field), f"{name} has no field {field}")
        setattr(message, field, value)  # raises AssertionError for another type


def docker(words):
    if words[0] == "compose":
        _compose(words[1:])
        return
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM .* AS (\w+)$", dockerfile, re.MULTILINE))
    if words[0] == "build":
        require((ROOT / words[words.index("-f") + 1]).is_file(), "no such Dockerfile")
        require(words[words.index("--target") + 1] in targets, f"targets are {sorted(targets)}")
        return
    require(words[0] == "run", f"docker {words[0]} is not checked")
    place = next(index for index, word in enumerate(words) if word.startswith("vla-docking:"))
    require(words[place].split(":")[1] in targets, f"targets are {sorted(targets)}")
    check(words[place + 1 :])


def _compose(words):
    file = words[words.index("-f") + 1]
    services = yaml.safe_load((ROOT / file).read_text())["services"]
    command = next(index for index, word in enumerate(words) if word in ("up", "run"))
    rest = [word for word in words[command + 1 :] if not word.startswith("-")]
    require(rest[0] in services, f"services are {sorted(services)}")
    profiles = services[rest[0]].get("profiles", [])
    if "--profile" in words:
        require(words[words.index("--profile") + 1] in profiles, f"profiles are {profiles}")
    if words[command] == "run":  # the image's entry point is vla
        vla(rest[1:])


def python(words):
    require(words[0] == "-m", "only modules are checked")
    module, arguments = words[1], words[2:]
    if module == "pytest":
        for word in arguments:
            if word.endswith(".py"):
                require(list(ROOT.glob(f"src/**/{Path(word).name}")), f"{word} does not exist")
    elif module == "vla_bringup.cli":
        vla(arguments)
    elif module.startswith("vla_"):
        require(find_spec(module), f"no module {module}")
        text = _help(module)
        for word in arguments:
            if word.startswith("--"):
                require(word in text, f"{module} has no option {word}")
    else:
        require(module in ("pip", "venv"), f"module {module} is not checked")


@cache
def _help(module):
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def make(words):
    rules = re.findall(r"^([a-z ]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = {name for rule in rules for name in rule.split()}
    require(set(words) - {"ARGS=--quick"} <= targets, f"targets are {sorted(targets)}")


def launcher(words):
    """Programs that start several processes of another one."""
    python(words[words.index("-m") :])


def gz(words):
    robot = ROOT / "src/vla_simulation/models/docking_robot/model.sdf"
    for flag in ("-t", "-s"):
        if flag in words:
            folder = words[words.index(flag) + 1].strip("/").rpartition("/")[0]
            require(folder in robot.read_text(), f"nothing of the robot's is at {folder}")


def exported(words):
    for word in words:
        _check_variable(word.split("=")[0])


def _check_variable(name):
    known = name in FOREIGN_VARIABLES or name.islower()
    require(known or re.search(rf"\b{name}\b", sources()), f"nothing reads {name}")


def existing(words):
    for word in words:
        require(MADE.match(word) or (ROOT / word).exists(), f"{word} does not exist")


def shell_file(words):
    existing(words[:1])


CHECKS: dict[str, Callable] = {
    "accelerate": launcher,
    "cd": existing,
    "cp": existing,
    "docker": docker,
    "export": exported,
    "gz": gz,
    "make": make,
    "pre-commit": lambda words: existing([".pre-commit-config.yaml"]),
    "python": python,
    "python3": python,
    "ros2": ros2,
    "rviz2": lambda words: existing(words[1:]),
    "source": shell_file,
    "torchrun": launcher,
    "vla": vla,
    "~/lerobot/bin/python": python,
}


def check(words):
    """Raise what is wrong with a command."""
    words = list(words)
    while words and re.match(r"\w+=", words[0]):
        _check_variable(words.pop(0).split("=")[0])
    if not words:
        return
    if words[0].startswith("scripts/"):
        existing(words[:1])
        return
    require(words[0] in CHECKS, "a program without a check")
    CHECKS[words[0]](words[1:])


def with_shares(page_commands):
    """The commands with the folders of packages put in, as a shell does."""
    prefix = re.compile(r"\$\(ros2 pkg prefix --share (\w+)\)")
    share = ""
    for words in page_commands:
        filled = [prefix.sub(lambda match: get_package_share_directory(match[1]), w) for w in words]
        if filled[0].startswith("share="):
            share = filled[0].removeprefix("share=")
        yield [word.replace("$share", share) if share else word for word in filled]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_understood(page, capsys):
    problems = []
    for words in with_shares(commands(page)):
        try:
            check(words)
        except MISTAKES as error:
            said = capsys.readouterr().err.strip().splitlines()
            problems.append(f"`{' '.join(words)}`: {error} {said[-1] if said else ''}")
        for path in re.findall(r"/\S*/share/vla_\S+", " ".join(words)):
            if not Path(path).exists():
                problems.append(f"`{' '.join(words)}`: {path} does not exist")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_prose_are_understood(page):
    """Those of other programs than `vla`, of which prose may name parts."""
    for code in inline_code(page):
        if re.match(r"(make|python3? -m|scripts/|VLA_\w+=\w+ python|ros2 (launch|run) vla_)", code):
            for words in split(code):
                check(words)


@pytest.mark.parametrize(
    "line",
    [
        "vla evaluate --no-such-option",
        "vla evaluate --suite no_such_suite",
        "vla train data.h5 --set no.such.key=1",
        "vla up dock sim:=no_such_simulator",
        "ros2 launch vla_bringup dock.launch.py no_such_argument:=1",
        "ros2 launch vla_bringup no_such.launch.py",
        "ros2 run vla_policy_node no_such_executable",
        "ros2 run vla_policy_node policy_node --ros-args -p no_such_parameter:=1",
        "ros2 param set /vla_policy no_such_parameter 1",
        "ros2 action send_goal /dock vla_msgs/action/Dock '{no_such_field: 1}'",
        "ros2 action send_goal /dock vla_msgs/action/Dock '{instruction: 1}'",
        "docker build -f docker/Dockerfile --target no_such_target .",
        "docker compose -f docker/compose.yaml up no_such_service",
        "docker compose -f docker/compose.yaml run --rm train no-such-verb",
        "python -m vla_no_such_package",
        "python -m pytest test_no_such_file.py",
        "make no_such_target",
        "gz topic -t /no_such/topic",
        "export VLA_NO_SUCH=1",
        "VLA_NOT_READ=1 make test",
        "source no_such_file.sh",
        "no-such-program",
    ],
)
def test_mistakes_are_found(line, capsys):
    (words,) = split(line)
    with pytest.raises(MISTAKES):
        check(words)


def test_there_are_commands():
    assert sum(len(commands(page)) for page in PAGES) > 200
