"""Real time: drives a session by the clock and shows it on a page, and in a window if asked."""

import time
from collections.abc import Callable
from contextlib import ExitStack

from vla_simulation.config import CONTROL_PERIOD_S
from vla_simulation.viewer.page import PageServer
from vla_simulation.viewer.session import Session
from vla_simulation.viewer.window import Window

PICTURE_EVERY_TICKS = 2
"""Pictures per control period: 10 per second, where the machine renders that many."""
_FARTHEST_BEHIND_S = 0.5


def run_live(
    session: Session,
    page: PageServer,
    *,
    window: bool,
    episodes: int | None,
    on_end: Callable[[], None],
) -> None:
    """Show episodes until enough are over, the window is closed, or Ctrl-C.

    Time goes first: where a picture takes long, fewer are shown and the robot drives on.

    Args:
        session: what is driven.
        page: running, shows the pictures.
        window: whether to open MuJoCo's window, too.
        episodes: how many, or None for no end.
        on_end: called when an episode is over, before the next one begins.

    Raises:
        SimulationError: no window opens, or the next episode cannot be had.
    """
    with ExitStack() as stack:
        opened = stack.enter_context(Window(session)) if window else None
        clock = _Clock()
        tick, shown = 0, 0
        while True:
            session.advance()
            if session.over:
                on_end()
                shown += 1
                if episodes is not None and shown >= episodes:
                    return
                session.begin_next()
            tick += 1
            if opened is not None:
                if not opened.open:
                    return
                opened.show()
            if tick % PICTURE_EVERY_TICKS == 0 and clock.in_time:
                page.show(session.picture(shadows=False), page_state(session))
            clock.wait(CONTROL_PERIOD_S)


def page_state(session: Session) -> dict[str, object]:
    """What the page writes beside the picture."""
    moment = session.moment()
    return {
        "sentence": moment.sentence,
        "seed": moment.seed,
        "outcome": moment.outcome,
        "time_s": round(moment.truth.time_s, 2),
        "stations": len(moment.scene.stations),
        "goal": moment.scene.goal,
        "paused": moment.paused,
    }


class _Clock:
    """Keeps simulated time with the wall's."""

    def __init__(self) -> None:
        self._due_s = time.monotonic()

    @property
    def in_time(self) -> bool:
        """Whether the simulation is not behind by more than a control period."""
        return time.monotonic() <= self._due_s + CONTROL_PERIOD_S

    def wait(self, period_s: float) -> None:
        """Until the next period is due; what is far behind is given up."""
        self._due_s += period_s
        late_s = time.monotonic() - self._due_s
        if late_s < 0:
            time.sleep(-late_s)
        elif late_s > _FARTHEST_BEHIND_S:
            self._due_s = time.monotonic()
