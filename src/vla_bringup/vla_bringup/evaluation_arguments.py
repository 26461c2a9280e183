"""The launch arguments of an evaluation, and the command that they stand for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from vla_bringup.graph_arguments import BOOLEAN, Argument, GraphError
from vla_bringup.resources import default_policy

EVALUATION_ARGUMENTS: Final = (
    Argument("policy", str(default_policy()), "Policy bundle (directory)"),
    Argument("suite", "nominal", "Suites that starts and scenes are drawn from, with blanks"),
    Argument("episodes", "100", "Simulated starts of each suite"),
    Argument("seed", "1000000", "First seed; from 1000000 on, no training has seen them"),
    Argument(
        "mode",
        "ros",
        "How an episode runs: ros, in real time through the nodes and the Dock action; lock_step, "
        "without ROS and much faster",
        ("ros", "lock_step"),
    ),
    Argument(
        "swap",
        "false",
        "Run each start with another station's sentence, too: does the robot obey?",
        BOOLEAN,
    ),
    Argument("json", "out/evaluation.json", "File for the figures; an interrupted run goes on"),
    Argument("report", "", "HTML page with paths and failures; empty: none"),
)


def evaluation_command(values: Mapping[str, str]) -> list[str]:
    """The command line of `vla evaluate`.

    Args:
        values: launch arguments by name; a missing one takes its default.

    Raises:
        GraphError: names every mistake at once.
    """
    known = {argument.name: argument for argument in EVALUATION_ARGUMENTS}
    mistakes = [
        f"unknown argument '{name}' (known: {', '.join(known)})"
        for name in values
        if name not in known
    ]
    given = {name: values.get(name, argument.default) for name, argument in known.items()}
    for name in ("episodes", "seed"):
        if not given[name].isdecimal():
            mistakes.append(f"{name}:={given[name]}: expected a whole number")
    for name, argument in known.items():
        choices = argument.choices
        if choices and given[name].lower() not in choices:
            mistakes.append(f"{name}:={given[name]}: expected one of {', '.join(choices)}")
    for name in ("policy", "suite", "json"):
        if not given[name].strip():
            mistakes.append(f"{name}:= is empty")
    if mistakes:
        raise GraphError("; ".join(mistakes))
    command = [sys.executable, "-m", "vla_bringup.cli", "evaluate"]
    command += ["--policy", given["policy"], "--suite", *given["suite"].split()]
    command += ["--episodes", given["episodes"], "--seed", given["seed"]]
    command += ["--mode", given["mode"], "--json", given["json"]]
    if given["swap"].lower() == "true":
        command.append("--swap")
    if given["report"]:
        command += ["--report", given["report"]]
    return command
