"""The scene in MuJoCo's own window, where there is a display."""

import math
import os
import sys
from types import TracebackType
from typing import Any, Final

from vla_simulation.environment import DockingEnv
from vla_simulation.errors import SimulationError
from vla_simulation.mjcf import DRAWN_GROUPS
from vla_simulation.viewer.session import Session, Wish

KEYS: Final = {" ": Wish.PAUSE, "N": Wish.NEXT, "O": Wish.SWAP}
"""Letters as GLFW names them; S is MuJoCo's own."""
_DISTANCE_M: Final = 3.2
_DOWN_DEG: Final = -28.0


def has_display() -> bool:
    """Whether windows can be opened."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Window:
    """MuJoCo's interactive view of a session's scene; a context manager."""

    def __init__(self, session: Session) -> None:
        """Open it.

        Raises:
            SimulationError: no window can be opened.
        """
        from mujoco import viewer

        self._session = session
        model, data = session.env.simulation
        try:
            self._handle: Any = viewer.launch_passive(
                model, data, key_callback=self._on_key, show_left_ui=False, show_right_ui=False
            )
        except Exception as error:  # GLFW and MuJoCo raise what they like
            raise SimulationError(
                f"no window opens on this display ({error}); use --view page"
            ) from error
        self._seed: int | None = None

    def __enter__(self) -> "Window":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.close()

    @property
    def open(self) -> bool:
        """Whether nobody has closed it."""
        return bool(self._handle.is_running())

    def show(self) -> None:
        """Show the present moment; a new episode is looked at from behind the robot."""
        env = self._session.env
        with self._handle.lock():
            if env.seed != self._seed:
                self._seed = env.seed
                self._handle.opt.geomgroup[:] = [group in DRAWN_GROUPS for group in range(6)]
                _look_at_robot(self._handle.cam, env)
        self._handle.sync()

    def _on_key(self, code: int) -> None:
        wish = KEYS.get(chr(code)) if 0 <= code < 128 else None
        if wish is not None:
            self._session.wish(wish)


def _look_at_robot(camera: Any, env: DockingEnv) -> None:
    base = env.truth.world_from_base
    camera.lookat[:] = (base.x, base.y, 0.3)
    camera.azimuth = math.degrees(base.yaw)
    camera.elevation = _DOWN_DEG
    camera.distance = _DISTANCE_M
