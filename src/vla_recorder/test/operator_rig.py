"""A person at a terminal: the real program on a pseudo-terminal, and somebody who listens."""

import fcntl
import itertools
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

from geometry_msgs.msg import TwistStamped
from recorder_rig import wait_for
from vla_msgs.msg import Driver

PROGRAM = """
import sys
from vla_core.contract import Contract
from vla_recorder.teleop.joystick import JoystickMap
from vla_recorder.teleop.program import TeleopOptions, drive
joystick = JoystickMap() if "joy" in sys.argv else None
sys.exit(drive(TeleopOptions(
    contract=Contract.load(sys.argv[1]),
    instruction="dock by hand",
    operator="Ada",
    joystick=joystick,
)))
"""
REPEAT_S = 1.0 / 30.0
DELAY_S = 0.4
MATCHING_S = 0.4


class Operator:
    """`vla teleop` on a pseudo-terminal."""

    def __init__(self, contract_path, domain, *arguments):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 40, 200, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(contract_path), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "ROS_DOMAIN_ID": str(domain), "COLUMNS": "200"},
        )
        os.close(slave)
        self.text = ""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._is_open = True
        self._reading.start()
        wait_for(lambda: "hands off" in self.text, "status line")

    def _read(self):
        while self._is_open:
            try:
                if select.select([self.master], [], [], 0.05)[0]:
                    self.text += os.read(self.master, 4096).decode(errors="replace")
            except OSError:
                return

    @property
    def status(self):
        """The newest status line."""
        return re.split(r"\x1b\[K|\r|\n", self.text.rstrip("\r\n"))[-1]

    def type(self, keys):
        os.write(self.master, keys.encode())

    def hold(self, key, duration_s):
        """As a keyboard repeats it, as well as the machine lets us.

        Returns:
            How much later a press came than it should have, at the most [s].
        """
        late_s = 0.0
        end_s = time.monotonic() + duration_s
        due_s = time.monotonic()
        for pause_s in itertools.chain([DELAY_S], itertools.repeat(REPEAT_S)):
            late_s = max(late_s, time.monotonic() - due_s)
            self.type(key)
            due_s = time.monotonic() + pause_s
            if due_s > end_s:
                return late_s
            time.sleep(pause_s)
        return late_s

    def hold_until(self, key, condition, what):
        """Hold a key until something is the case."""

        def is_so():
            self.type(key)
            return condition()

        wait_for(is_so, what)

    def ask(self, key, answer):
        """Press a key until the answer is there, for as long as the recorder is not found."""
        complaints = ("no recorder", "does not answer")
        known = self.text.count(answer)

        def count_complaints():
            return sum(self.text.count(complaint) for complaint in complaints)

        for _ in range(20):
            complained = count_complaints()
            self.type(key)
            wait_for(
                lambda n=complained: self.text.count(answer) > known or count_complaints() > n,
                answer,
            )
            if self.text.count(answer) > known:
                return
            time.sleep(0.2)
        raise AssertionError(self.text)

    def close_terminal(self):
        self._is_open = False
        self._reading.join()
        os.close(self.master)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        if self._is_open:
            self.close_terminal()


class Listener:
    """Hears commands as the robot does, and who drives."""

    def __init__(self, robot):
        self.commands = []  # (when it was sent, linear, angular)
        self.drivers = []
        self.frames = set()
        self._subscription = robot.node.create_subscription(
            TwistStamped, "cmd_vel", self._on_command, 50
        )
        robot.node.create_subscription(Driver, "driver", self._on_driver, 50)

    def _on_command(self, message):
        twist = message.twist
        self.frames.add(message.header.frame_id)
        stamp = message.header.stamp
        sent_s = stamp.sec + stamp.nanosec / 1e9
        self.commands.append((sent_s, twist.linear.x, twist.angular.z))

    def _on_driver(self, message):
        self.drivers.append(message.driver)

    def wait_for_publisher(self):
        """Until whoever drives is known, both ways."""
        wait_for(self._subscription.get_publisher_count, "a publisher of commands")
        time.sleep(MATCHING_S)

    def since(self, moment_s):
        """Commands that were sent after a moment by `time.time`."""
        return [command for command in self.commands if command[0] >= moment_s]

    @property
    def speed_mps(self):
        return self.commands[-1][1] if self.commands else None
