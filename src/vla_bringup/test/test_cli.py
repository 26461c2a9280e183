"""The `vla` command itself: help, usage, errors."""

import ctypes
import json
import os
import signal

import pytest

from vla_bringup import cli
from vla_bringup.verbs import dock, doctor
from vla_core.errors import VlaError

VERBS = [verb for verbs in cli.GROUPS.values() for verb in verbs]


def test_help_lists_every_verb(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in VERBS:
        assert f"  {verb} " in text


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    assert f"usage: vla {verb}" in capsys.readouterr().out


def test_wrong_usage(capsys):
    assert cli.main([]) == 2
    assert cli.main(["fly"]) == 2
    assert cli.main(["up", "nowhere"]) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "dock", "policy"],
        ["up", "dock", "policy:=/nowhere"],
        ["convert", "/nowhere"],
        ["to-lerobot", "/nowhere.h5", "--out", "/nowhere/out"],
        ["from-lerobot", "/nowhere", "--out", "/nowhere/out.h5"],
        ["train", "/nowhere.h5"],
        ["export", "/nowhere"],
        ["evaluate", "--policy", "/nowhere"],
        ["demo", "--policy", "/nowhere"],
        ["inspect", "/nowhere"],
    ],
)
def test_errors_are_one_line_and_exit_code_1(arguments, capsys):
    assert cli.main(arguments) == 1
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"vla {arguments[0]}: error: ")


def test_what_a_verb_raises(monkeypatch, capsys):
    def run(error):
        monkeypatch.setattr(doctor, "run", lambda args: (_ for _ in ()).throw(error))
        return cli.main(["doctor"])

    assert run(VlaError("two\nlines")) == 1
    assert capsys.readouterr().err == "vla doctor: error: two lines\n"
    assert run(KeyboardInterrupt()) == 130
    assert run(ModuleNotFoundError("No module named 'torch'", name="torch")) == 1
    assert "Python module torch is not installed" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())


def test_ctrl_c_in_a_foreign_function(monkeypatch, capsys):
    class Interrupting:
        @classmethod
        def from_param(cls, _value):
            os.kill(os.getpid(), signal.SIGINT)

    def run(_args):
        puts = ctypes.CDLL(None).puts
        puts.argtypes = [Interrupting]
        puts(b"never printed")

    monkeypatch.setattr(doctor, "run", run)
    with pytest.raises(ctypes.ArgumentError):
        run(None)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_show_args_as_json(capsys):
    assert cli.main(["up", "dock", "--show-args", "--json"]) == 0
    table = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert table["sim"]["choices"] == ["mujoco", "gazebo", "none"]
    assert all(row["description"] for row in table.values())


def test_dock_without_a_server(vla):
    program = vla("dock", "dock at the orange charger", "--wait", "1")
    assert program.wait() == 1
    assert program.error_lines[-1].startswith("vla dock: error: no docking server on action /dock")
    assert dock.HELP


def test_interrupted_dock(vla):
    program = vla("dock", "dock at the orange charger", "--wait", "60")
    program.wait_for("waiting for")
    program.signal(signal.SIGINT)
    assert program.wait() == 130
