"""The page that shows an episode and takes wishes about it."""

from __future__ import annotations

import importlib.resources
import json
from http import HTTPStatus
from typing import Any, cast

import numpy as np

from vla_simulation.viewer.picture_server import PictureHandler, PictureServer
from vla_simulation.viewer.session import Session, Wish


class PageServer(PictureServer):
    """Serves picture and state of an episode; a context manager.

    Attributes:
        session: takes the wishes.
    """

    def __init__(self, session: Session, port: int = 0) -> None:
        """Bind the port.

        Args:
            session: takes the wishes.
            port: TCP port of the loopback interface, 0 for any that is free.

        Raises:
            SimulationError: the port is taken.
        """
        self.session = session
        self._state: dict[str, Any] = {}
        files = importlib.resources.files("vla_simulation.viewer")
        super().__init__(files.joinpath("page.html").read_bytes(), port, _Handler)

    def show(self, picture: np.ndarray, state: dict[str, Any] | None = None) -> None:
        """Hand out a new picture, (H, W, 3) uint8 RGB, and what the page writes beside it."""
        with self._condition:
            self._state = state or {}
            super().show(picture)

    def state(self) -> dict[str, Any]:
        """What the page writes beside the picture."""
        with self._condition:
            return dict(self._state)


class _Handler(PictureHandler):
    def get(self) -> None:
        """The page, its stream of pictures, one picture, or the state."""
        page = cast(PageServer, self.server.pictures)
        if self.path == "/state":
            self.answer("application/json", json.dumps(page.state()).encode())
        elif self.path == "/picture.jpg":
            picture = page.next_picture(after=0)
            if picture is not None:
                self.answer("image/jpeg", picture[1])
        else:
            super().get()

    def post(self) -> None:
        """A wish."""
        name = self.path.removeprefix("/wish/")
        if name not in [wish.value for wish in Wish]:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        cast(PageServer, self.server.pictures).session.wish(Wish(name))
        self.answer("text/plain", b"", HTTPStatus.ACCEPTED)
