"""Values to put into a damaged file: drawn from hypothesis' strategies by a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import HealthCheck, given, settings

from vla_core.testing.damage import FILE_DAMAGES, damage_bytes, damage_once
from vla_core.testing.strategies import yaml_values

_POOL: Final = 64
_REFRESH: Final = 0.1
_ENTROPY_BYTES: Final = 512
_WORDS: Final = (0, 1, -1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
_LONG_WORDS: Final = (0, 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_KEYS: Final = ("", "name", "version", "shape", "dtype", "x", "\x00", "é", "__class__")


class Draw:
    """Draws for one run; the same seed draws the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._drawn: list[Any] = []
        self._pool: list[Any] = []

        # Given bytes in place of its own search, hypothesis is a generator of values.
        @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(yaml_values)
        def take(value: Any) -> None:
            self._drawn.append(value)

        self._take: Any = take

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return self.random.random() < probability

    def one_of(self, options: Sequence[Any]) -> Any:
        """One of some options."""
        return self.random.choice(options)

    def value(self) -> Any:
        """A scalar, a list or a mapping."""
        if len(self._pool) < _POOL or self.chance(_REFRESH):
            self._drawn.clear()
            self._take.hypothesis.fuzz_one_input(self.random.randbytes(_ENTROPY_BYTES))
            # Bytes that run out in the middle of a value give none.
            self._pool = [*self._pool, *self._drawn[-1:]][-_POOL:]
        return self.one_of(self._pool) if self._pool else None

    def damage(self, values: Any) -> None:
        """Replace, remove or add one to three values in nested mappings and lists."""
        for _ in range(self.random.randint(1, 3)):
            damage_once(values, self.one_of, self.value, lambda: self.one_of(_KEYS))

    def word(self) -> bytes:
        """An integer at the edge of its range, as files hold it."""
        size = self.one_of((1, 2, 4, 8))
        number = self.one_of(_LONG_WORDS if size == 8 else _WORDS)
        return (number % (1 << 8 * size)).to_bytes(size, self.one_of(("little", "big")))

    def damaged_bytes(self, data: bytes, others: Sequence[bytes] = ()) -> bytes:
        """Bytes with bits flipped, parts cut, copied or overwritten.

        Args:
            data: to damage.
            others: what parts may be taken from, besides the data themselves.
        """
        if self.chance(0.25):
            return self._overwritten(data)
        kind = self.one_of(("flip", *FILE_DAMAGES))
        places = [self.random.random() for _ in range(self.random.randint(1, 3))]
        return damage_bytes(data, kind, places, self.random.randrange(8), self._part(data, others))

    def _overwritten(self, data: bytes) -> bytes:
        word = self.word()
        at = self.random.randrange(len(data) + 1)
        return data[:at] + word + data[at + len(word) :]

    def _part(self, data: bytes, others: Sequence[bytes]) -> bytes:
        source = self.one_of((data, *others))
        if not source or self.chance(0.3):
            return self.random.randbytes(self.random.randint(1, 40))
        first = self.random.randrange(len(source))
        return source[first : first + self.random.randint(1, 256)]
