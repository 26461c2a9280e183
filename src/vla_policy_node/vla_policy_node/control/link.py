"""The sockets between node, control process and watchdog.

Datagrams of JSON over socket pairs that only these three processes hold. Nobody ever waits for the
other side: what does not fit in the socket's buffer is dropped, and the sender is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Sequence
from typing import get_args

from vla_policy_node.control.messages import Message

_LARGEST_DATAGRAM = 1 << 20
_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}


class Link:
    """One end of a socket pair. Sending and receiving may be left to different threads.

    Args:
        end: a Unix socket of type SOCK_SEQPACKET, which is taken over.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self.closed = False

    @classmethod
    def inherited(cls, descriptor: int) -> Link:
        """The end that the parent process passed on."""
        # Duplicated to a low number, as select() needs it.
        low = os.dup(descriptor)
        os.close(descriptor)
        return cls(socket.socket(fileno=low))

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """Two connected ends."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        """Its descriptor, for `wait`."""
        return self._end.fileno()

    def send(self, message: Message) -> bool:
        """Send without waiting; False if it was dropped because nobody reads at the other end."""
        data = json.dumps([type(message).__name__, vars(message)], separators=(",", ":"))
        try:
            self._end.send(data.encode())
        except OSError:
            return False
        return True

    def receive(self) -> list[Message]:
        """All that has arrived; `closed` is set when the other end is gone."""
        messages: list[Message] = []
        while not self.closed:
            try:
                data = self._end.recv(_LARGEST_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
                break
            name, values = json.loads(data)
            messages.append(_KINDS[name](**values))
        return messages

    def hang_up(self) -> None:
        """Tell the other end that this one is gone, and wake whoever waits at this one."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back; nobody may be waiting at it any more."""
        self.closed = True
        self._end.close()


def wait(links: Sequence[Link], timeout_s: float | None) -> None:
    """Wait until one of the links has something, at most `timeout_s` (None: without limit)."""
    readable = [link for link in links if not link.closed]
    select.select(readable, [], [], None if timeout_s is None else max(0.0, timeout_s))
