"""A TCP link that can be cut or stalled: it passes on what both sides say until then."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Final

_CHUNK_BYTES: Final = 1 << 20


class Link:
    """Listens on the loopback and connects whoever comes to a port.

    Args:
        target_port: on the loopback, where connections are passed on to.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._open = threading.Event()
        self._open.set()
        self._closing = False
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Break all connections that there are; new ones are passed on."""
        with self._lock:
            broken, self._sockets = self._sockets, set()
        for each in broken:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def stall(self) -> None:
        """Keep what is said from now on."""
        self._open.clear()

    def restore(self) -> None:
        """Undo `stall`. What was kept is lost, with its connections."""
        if not self._open.is_set():
            self.cut()
            self._open.set()

    def close(self) -> None:
        """End everything."""
        self._closing = True
        self._open.set()
        # Wakes up the thread that waits for connections, which closing alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closing:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._sockets |= {near, far}
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._open.wait()
                sink.sendall(data)
        for each in (source, sink):
            with self._lock:
                self._sockets.discard(each)
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
