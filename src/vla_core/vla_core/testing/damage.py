"""Ways to damage a value or a file; who draws the choices, hypothesis or a generator, is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

FILE_DAMAGES: Final = ("flip", "cut", "cut head", "zero", "splice")

Choose = Callable[[Sequence[Any]], Any]


def damage_once(
    values: Any, choose: Choose, new_value: Callable[[], Any], new_key: Callable[[], str]
) -> None:
    """Replace, remove or add one value somewhere in nested mappings and lists, in place.

    Args:
        values: A mapping or a list; one without entries stays as it is.
        choose: One of some options.
        new_value: For what is replaced or added.
        new_key: For what is added to a mapping.
    """
    node = values
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not places:
            return
        place = choose(places)
        inner = node[place]
        if isinstance(inner, (dict, list)) and choose((False, True)):
            node = inner
            continue
        action = choose(("replace", "remove", "add"))
        if action == "replace":
            node[place] = new_value()
        elif action == "remove":
            del node[place]
        elif isinstance(node, dict):
            node[new_key()] = new_value()
        else:
            node.append(new_value())
        return


def damage_bytes(
    data: bytes, kind: str, places: Sequence[float], bit: int = 0, filling: bytes = b"\0"
) -> bytes:
    """Damage a file's bytes.

    Args:
        data: Of the file.
        kind: One of `FILE_DAMAGES`: bits flipped; the end or the beginning missing; a part
            overwritten by zeros; something put in between.
        places: Where, as shares of the length in [0, 1); only "flip" takes more than one.
        bit: To flip, 0 to 7.
        filling: To put in, or as long as what is overwritten.
    """
    spots = [int(place * len(data)) for place in places]
    changed = bytearray(data)
    if kind == "flip":
        for spot in spots if data else ():
            changed[spot] ^= 1 << bit
    elif kind == "cut":
        del changed[spots[0] :]
    elif kind == "cut head":
        del changed[: spots[0] + 1]
    elif kind == "zero":
        size = len(filling)
        changed[spots[0] : spots[0] + size] = bytes(len(changed[spots[0] : spots[0] + size]))
    else:
        changed[spots[0] : spots[0]] = filling
    return bytes(changed)
