"""The operator's terminal: keys in, one status line out; and the signals that take it away."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import tty
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, TextIO

from vla_recorder.errors import TeleopError
from vla_recorder.teleop.keys import KeyDecoder

_READ_BYTES: Final = 1024
_MOST_READS: Final = 8
_ERASE: Final = "\r\x1b[K"


class Terminal:
    """A terminal without echo and line buffering; a context manager.

    Ctrl-C, Ctrl-Z and the end of the terminal stay signals: `Interruption` takes care of them.
    """

    def __init__(self, source: TextIO | None = None, target: TextIO | None = None) -> None:
        """Use a terminal, the process's own by default.

        Raises:
            TeleopError: it is none.
        """
        self._source = source or sys.stdin
        self._target = target or sys.stdout
        self._decoder = KeyDecoder()
        self._saved: list[Any] | None = None
        self._status = ""
        self.is_open = True
        if not self._source.isatty():
            raise TeleopError(
                "the keyboard needs a terminal, and standard input is none; run it in one "
                "(docker: -it, ssh: -t), or drive with --joy"
            )

    def __enter__(self) -> Terminal:
        self.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()

    def take(self) -> None:
        """Switch echo and line buffering off; what was typed before does not count."""
        descriptor = self._source.fileno()
        self._saved = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)
        self.discard()

    def give_back(self) -> None:
        """Leave the terminal as it was."""
        self._write("\n" if self._status else "")
        self._status = ""
        if self._saved is not None:
            try:
                termios.tcsetattr(self._source.fileno(), termios.TCSANOW, self._saved)
            except termios.error:
                self.is_open = False  # nobody is left to see it
            self._saved = None

    def keys(self) -> list[str]:
        """The keys that were pressed since the last call; `is_open` tells whether more can come."""
        descriptor, found = self._source.fileno(), []
        for _ in range(_MOST_READS):  # a flood of input must not hold up the commands
            if not self.is_open or not select.select([descriptor], [], [], 0.0)[0]:
                break
            try:
                data = os.read(descriptor, _READ_BYTES)
            except OSError:  # the other end of a pseudo-terminal is gone
                data = b""
            if not data:
                self.is_open = False
            found += self._decoder.feed(data)
        return found

    def discard(self) -> None:
        """Forget what was typed."""
        self._decoder.clear()
        try:
            termios.tcflush(self._source.fileno(), termios.TCIFLUSH)
        except termios.error:
            self.is_open = False

    def show(self, status: str) -> None:
        """Replace the status line, cut to the terminal's width."""
        width = shutil.get_terminal_size().columns - 1
        status = status[:width]
        if status != self._status:
            self._status = status
            self._write(f"{_ERASE}{status}")

    def say(self, text: str) -> None:
        """Write lines that stay, above the status line."""
        lines = text.replace("\n", "\r\n")
        self._write(f"{_ERASE}{lines}\r\n{self._status}")

    def _write(self, text: str) -> None:
        try:
            self._target.write(text)
            self._target.flush()
        except OSError:
            self.is_open = False
            self._forget_unwritten()

    def _forget_unwritten(self) -> None:
        """Keep the interpreter from trying once more at its end, which makes its exit code 120."""
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), self._target.fileno())


class Interruption:
    """Turns signals into wishes that the program sees to when the robot stands; a context manager.

    A process that Ctrl-Z has stopped cannot tell the robot to stop, so that has to come first.

    Attributes:
        is_end_wished: by Ctrl-C, SIGTERM, or because the terminal was closed.
        is_stop_wished: by Ctrl-Z.
    """

    _ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}
        self.is_end_wished = False
        self.is_stop_wished = False

    def __enter__(self) -> Interruption:
        for number in (*self._ENDING, signal.SIGTSTP):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def stop(self) -> None:
        """Let the process be stopped, as Ctrl-Z would have it; returns when it goes on."""
        self.is_stop_wished = False
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTSTP:
            self.is_stop_wished = True
        else:
            self.is_end_wished = True
