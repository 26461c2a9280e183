"""One input after the other through a subject, and what each did to it."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vla_bringup.fuzzing.errors import AcceptedError
from vla_bringup.fuzzing.findings import ACCEPTED, ERROR, MEMORY, Finding
from vla_bringup.fuzzing.shared_page import SharedPage
from vla_bringup.fuzzing.subject import Subject
from vla_core.errors import VlaError

_STATM: Final = Path("/proc/self/statm")
_DATA_PAGES: Final = 5
_PAGE_BYTES: Final = resource.getpagesize()


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Attributes:
        finding: None if all is well.
        answer: what a user would be told, without its numbers and names; empty if accepted.
    """

    finding: Finding | None = None
    answer: str = ""


class Execution:
    """Tries inputs.

    Args:
        target: name.
        subject: what they are given to.
        page: is told of each.
        memory_bytes: that one may take.
        keep: takes what is found, with its input.
    """

    def __init__(
        self,
        target: str,
        subject: Subject,
        page: SharedPage,
        memory_bytes: int,
        keep: Callable[[Finding, bytes], object],
    ) -> None:
        self._target = target
        self._subject = subject
        self._page = page
        self._memory_bytes = memory_bytes
        self._keep = keep

    def __call__(self, data: bytes) -> Outcome:
        """Try one."""
        self._page.begin(data)
        self._limit_memory()
        outcome = self._try(data)
        self._page.end(
            accepted=not outcome.answer and outcome.finding is None, refused=bool(outcome.answer)
        )
        if outcome.finding is not None:
            self._keep(outcome.finding, data)
        return outcome

    def _try(self, data: bytes) -> Outcome:
        try:
            self._subject.consume(data)
        except VlaError as error:
            text = str(error)
            if text.strip() and "\n" not in text:
                return Outcome(answer=f"{type(error).__name__}: {_shape(text)}")
            return self._found(ERROR, error)
        except AcceptedError as error:
            return self._found(ACCEPTED, error)
        except MemoryError as error:
            return self._found(MEMORY, error)
        except (KeyboardInterrupt, SystemExit):
            raise
        # Panics of libraries in Rust are no Exception.
        except BaseException as error:
            return self._found(ERROR, error)
        return Outcome()

    def _found(self, kind: str, error: BaseException) -> Outcome:
        return Outcome(finding=Finding.of_error(self._target, kind, error))

    def _limit_memory(self) -> None:
        """Let the process have so much more than it holds already."""
        held = int(_STATM.read_bytes().split()[_DATA_PAGES]) * _PAGE_BYTES
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (held + self._memory_bytes, hard))


def _shape(text: str) -> str:
    """A message without what differs from input to input."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|\d+", "_", text)[:80]
