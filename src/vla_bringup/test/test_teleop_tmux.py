"""`vla teleop` in tmux, as a person uses it: typed keys, a screen, Ctrl-Z, fg and Ctrl-C."""

import os
import shutil
import subprocess
import sys
import threading
import time

import psutil
import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.executors import SingleThreadedExecutor

REPEAT_S = 1.0 / 30.0
TMUX = shutil.which("tmux")


class Screen:
    """A shell in tmux."""

    def __init__(self, folder):
        self._socket = str(folder / "tmux.socket")
        self._run("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", "bash --norc")

    def _run(self, *arguments):
        command = [TMUX, "-S", self._socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def type(self, *keys):
        self._run("send-keys", *keys)

    def hold_until(self, key, condition):
        deadline_s = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < deadline_s, self.text
            self.type(key)
            time.sleep(REPEAT_S)

    @property
    def text(self):
        return self._run("capture-pane", "-p")

    def wait_for(self, text, timeout_s=40.0):
        deadline_s = time.monotonic() + timeout_s
        while text not in self.text:
            assert time.monotonic() < deadline_s, f"{text!r} is not on the screen:\n{self.text}"
            time.sleep(0.05)

    def end(self):
        self._run("kill-server")


@pytest.fixture
def screen(tmp_path):
    if TMUX is None:
        pytest.skip("tmux is not installed")
    screen = Screen(tmp_path)
    yield screen
    screen.end()


@pytest.fixture
def speeds(domain):
    """Forward commands [m/s] as a robot gets them, the newest last."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("robot", context=context)
    heard = []
    node.create_subscription(TwistStamped, "cmd_vel", lambda m: heard.append(m.twist.linear.x), 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield heard
    executor.shutdown()
    thread.join()
    node.destroy_node()
    context.shutdown()


def wait_until(condition, what):
    deadline_s = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def test_a_person_drives_in_tmux(screen, speeds):
    screen.type(f"{sys.executable} -m vla_bringup.cli teleop --operator Ada", "Enter")
    screen.wait_for("hands off")
    assert "hold to drive" in screen.text
    assert speeds == []
    screen.hold_until("Up", lambda: speeds)  # robot and operator have found each other
    screen.hold_until("Up", lambda: speeds[-1] > 0.0)
    screen.wait_for("you drive")
    assert max(speeds) <= 0.35 * 0.5 + 1e-9
    wait_until(lambda: speeds[-1] == 0.0, "let go is stop")
    screen.type("+")
    screen.wait_for("speed 50%")
    screen.type("r")
    screen.wait_for("an episode needs the sentence")

    screen.hold_until("w", lambda: speeds[-1] > 0.0)
    screen.type("C-z")
    screen.wait_for("Stopped")
    wait_until(lambda: speeds[-1] == 0.0, "the robot first, then the program")
    time.sleep(0.3)  # what was under way has come
    count = len(speeds)
    time.sleep(0.5)
    assert len(speeds) == count
    screen.type("stty -a", "Enter")
    screen.wait_for(" echo ")  # the shell has its terminal back
    screen.type("fg", "Enter")
    wait_until(lambda: len(speeds) > count, "it goes on")
    assert set(speeds[count:]) == {0.0}
    screen.hold_until("w", lambda: speeds[-1] > 0.0)

    programs = [p for p in psutil.process_iter(["cmdline"]) if _is_teleop(p)]
    assert len(programs) == 1
    screen.type("C-c")
    wait_until(lambda: not programs[0].is_running(), "Ctrl-C ends it")
    wait_until(lambda: speeds[-1] == 0.0, "its last word is a stop")
    screen.type("echo code $?", "Enter")
    screen.wait_for("code 0")


def test_window_that_is_closed_stops_the_robot(screen, speeds):
    screen.type(f"{sys.executable} -m vla_bringup.cli teleop", "Enter")
    screen.wait_for("hands off")
    screen.hold_until("w", lambda: speeds)
    screen.hold_until("w", lambda: speeds[-1] > 0.0)
    (program,) = [p for p in psutil.process_iter(["cmdline"]) if _is_teleop(p)]
    screen._run("kill-window")
    wait_until(lambda: not program.is_running(), "it ends with its window")
    wait_until(lambda: speeds[-1] == 0.0, "its last word is a stop")
    screen._run("-f", "/dev/null", "new-session", "-d")


def _is_teleop(process):
    """Whether a process is `vla teleop` of this test."""
    try:
        domain = process.environ().get("ROS_DOMAIN_ID")
        return "teleop" in process.info["cmdline"] and domain == os.environ["ROS_DOMAIN_ID"]
    except (psutil.Error, TypeError):
        return False
