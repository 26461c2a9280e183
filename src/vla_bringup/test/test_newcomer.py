"""The tutorial's second part and the README's commands, as somebody new to it walks them.

It takes minutes, so it runs with VLA_SLOW_TESTS=1 alone. Whether so short a training docks is not
asked; whether every step hands the next one what that needs is.
"""

import json
import os
import pty
import re
import subprocess
import time

import pytest
from documentation import ROOT, commands
from processes import VLA, Program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.environ.get("VLA_SLOW_TESTS") != "1", reason="takes minutes; set VLA_SLOW_TESTS=1"
    ),
]
REPEAT_S = 1.0 / 30.0


class Keyboard:
    """A terminal with `vla teleop` in it, and the hands on its keys."""

    def __init__(self, instruction):
        self._screen = b""
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.execv(VLA[0], [*VLA, "teleop", "--instruction", instruction])
        os.set_blocking(self._terminal, False)

    @property
    def screen(self):
        while True:
            try:
                self._screen += os.read(self._terminal, 65536)
            except (BlockingIOError, OSError):
                return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self._screen).decode()

    def press(self, key):
        os.write(self._terminal, key.encode())

    def hold(self, key, seconds):
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.press(key)
            self.screen  # noqa: B018 (a terminal that nobody reads stops its program)
            time.sleep(REPEAT_S)

    def press_until(self, key, text):
        """Press again where the first time came before the recorder was found."""
        deadline_s = time.monotonic() + 60.0
        while text not in self.screen:
            assert time.monotonic() < deadline_s, f"no {text!r}:\n{self.screen}"
            self.press(key)
            again_s = time.monotonic() + 5.0
            while text not in self.screen and time.monotonic() < again_s:
                time.sleep(0.05)

    def wait_for(self, text, timeout_s=60.0):
        deadline_s = time.monotonic() + timeout_s
        while text not in self.screen:
            assert time.monotonic() < deadline_s, f"no {text!r}:\n{self.screen}"
            time.sleep(0.05)

    def quit(self):
        self.press("Q")
        deadline_s = time.monotonic() + 30.0
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            assert time.monotonic() < deadline_s, self.screen
            self.screen  # noqa: B018
            time.sleep(0.05)
        os.close(self._terminal)


@pytest.fixture
def finished(tmp_path):
    """Runs a command to its end, which has to be a good one."""
    number = 0

    def run(*arguments, timeout_s=300.0):
        nonlocal number
        number += 1
        program = Program([*VLA, *arguments], tmp_path, f"command_{number}")
        try:
            assert program.wait(timeout_s) == 0, program.output + program.errors
        finally:
            program.end()
        return program.output

    return run


def test_from_the_keyboard_to_the_dock(vla, finished, tmp_path):
    bags, data = tmp_path / "bags", tmp_path / "demonstrations.h5"
    graph = vla("up", "record", "driver:=none", f"record_directory:={bags}")
    graph.wait_for("all active")
    for episode in range(3):
        drawn = json.loads(finished("reset", "--seed", str(episode), "--json"))
        keyboard = Keyboard(drawn["instruction"])
        keyboard.wait_for("hold to drive")
        keyboard.press_until("r", "recording: ")
        keyboard.hold("w", 2.0)
        keyboard.hold("q", 1.0)
        keyboard.press("y")
        keyboard.wait_for("episode success ")
        keyboard.quit()
    graph.signal(2)
    assert graph.wait() == 130
    assert len(list(bags.iterdir())) == 3

    for bag in bags.iterdir():
        assert "success" in finished("inspect", str(bag))
    finished("convert", str(bags), "--out", str(data), "--validation-fraction", "0.34")
    training, policy = tmp_path / "training", tmp_path / "policy"
    finished("train", str(data), "--out", str(training), "--steps", "20", "--set", "batch_size=8")
    finished("export", str(training), "--out", str(policy), "--parity-frames", "20")

    # It drives, by the sentence, until the time is over or the robot stands.
    graph = vla("up", "dock", f"policy:={policy}", "seed:=1000001")
    graph.wait_for("all active")
    client = vla("dock", "park on the white charger", "--timeout", "5", "--json")
    assert client.wait(90) in (0, 1), client.output + client.errors
    result = json.loads(client.output)
    assert result["error_code"] in (0, 903, 905, 906, 907), result
    graph.signal(2)
    assert graph.wait() == 130


# Less of everything, so that a chain of an hour and a half takes minutes.
SMALLER = {"--episodes": "4", "--steps": "4", "--looks": "2"}


def test_the_readme_s_commands_one_after_the_other(tmp_path):
    """From demonstrations to figures, as they stand but for their numbers."""
    ran = []
    for words in commands(ROOT / "README.md"):
        if words[0] != "vla" or words[1] == "up":
            continue  # a robot is not at hand
        small = list(words[1:])
        for place, word in enumerate(small[:-1]):
            if word in SMALLER:
                small[place + 1] = SMALLER[word]
        if small[0] == "train":
            small += ["--set", "batch_size=8"] if "--set" not in small else ["batch_size=8"]
        done = subprocess.run(
            [*VLA, *small], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{' '.join(small)}\n{done.stdout}{done.stderr}"
        ran.append(small[0])
    chain = ["collect", "inspect", "convert", "rollout", "merge", "train", "export", "evaluate"]
    assert list(dict.fromkeys(ran)) == chain
    assert (tmp_path / "out" / "policy" / "policy.onnx").is_file()
