"""What the keys of the keyboard mean, and how they are read from a terminal's bytes."""

from __future__ import annotations

import codecs
from enum import Enum
from typing import Final, NamedTuple


class Direction(NamedTuple):
    """Where a held key drives: forward 1 or back -1, left 1 or right -1."""

    linear: int
    angular: int


class Action(Enum):
    """What a key does once."""

    EMERGENCY_STOP = "emergency stop"
    UNLOCK = "unlock after an emergency stop"
    FASTER = "faster"
    SLOWER = "slower"
    RELEASE = "give the robot back to the policy"
    START = "begin an episode"
    SUCCESS = "end the episode: success"
    FAILURE = "end the episode: failure"
    DISCARD = "end the episode: discard it"
    SAVE = "save the last seconds"
    HELP = "show the keys"
    QUIT = "quit"


DIRECTIONS: Final = {
    "q": Direction(1, 1),
    "w": Direction(1, 0),
    "e": Direction(1, -1),
    "a": Direction(0, 1),
    "s": Direction(0, 0),
    "d": Direction(0, -1),
    "z": Direction(-1, -1),
    "x": Direction(-1, 0),
    "c": Direction(-1, 1),
    "up": Direction(1, 0),
    "down": Direction(-1, 0),
    "left": Direction(0, 1),
    "right": Direction(0, -1),
}
"""Keys that drive while they are held; backwards, the turn is that of the wheel: z steers left."""

ACTIONS: Final = {
    " ": Action.EMERGENCY_STOP,
    "u": Action.UNLOCK,
    "+": Action.FASTER,
    "=": Action.FASTER,
    "-": Action.SLOWER,
    "g": Action.RELEASE,
    "r": Action.START,
    "y": Action.SUCCESS,
    "n": Action.FAILURE,
    "k": Action.DISCARD,
    "v": Action.SAVE,
    "h": Action.HELP,
    "?": Action.HELP,
    "Q": Action.QUIT,
    "\x03": Action.QUIT,  # Ctrl-C, where the terminal does not make a signal of it
}

HELP: Final = """\
hold to drive     q w e      forward, turning left / straight / turning right
(or arrow keys)   a s d      turn left / stop / turn right
                  z x c      back
+ -  speed        space  EMERGENCY STOP   u  unlock
r  begin episode  y  end it: success      n  end it: failure   k  discard it
v  save the last seconds                  g  give back to the policy
h  this help      Q or Ctrl-C  quit"""

_ESCAPE: Final = "\x1b"
_ARROWS: Final = {"A": "up", "B": "down", "C": "right", "D": "left"}
_LONGEST_SEQUENCE: Final = 16


class KeyDecoder:
    """Turns the bytes of a terminal into names of keys."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def feed(self, data: bytes) -> list[str]:
        """The keys in some bytes; a sequence that is not complete waits for the next ones.

        Args:
            data: as they were read.

        Returns:
            Characters, and "up", "down", "left", "right". Other sequences are left out.
        """
        text = self._pending + self._decoder.decode(data)
        self._pending = ""
        found = []
        place = 0
        while place < len(text):
            if text[place] != _ESCAPE:
                found.append(text[place])
                place += 1
                continue
            end = _sequence_end(text, place)
            if end is None:
                self._pending = text[place : place + _LONGEST_SEQUENCE]
                break
            if end - place == 3 and text[place + 2] in _ARROWS:
                found.append(_ARROWS[text[place + 2]])
            place = end
        return found

    def clear(self) -> None:
        """Forget a sequence that was begun."""
        self._decoder.reset()
        self._pending = ""


def _sequence_end(text: str, start: int) -> int | None:
    """Where an escape sequence ends (ECMA-48, section 5.4); None if it is not complete."""
    if start + 1 >= len(text):
        return None
    if text[start + 1] == "O":
        return start + 3 if start + 2 < len(text) else None
    if text[start + 1] != "[":
        return start + 1  # the escape key by itself
    for place in range(start + 2, len(text)):
        if "@" <= text[place] <= "~":
            return place + 1
    return None
