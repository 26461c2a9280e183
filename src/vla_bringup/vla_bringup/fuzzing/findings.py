"""Inputs that broke something, each once, as files that break it again."""

from __future__ import annotations

import hashlib
import json
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from vla_bringup.fuzzing.errors import FuzzingError, ReportedError

CRASH: Final = "crash"
HANG: Final = "hang"
MEMORY: Final = "memory"
ACCEPTED: Final = "accepted"
ERROR: Final = "error"
KINDS: Final = (ERROR, ACCEPTED, CRASH, HANG, MEMORY)

_NEST: Final = 3


@dataclass(frozen=True)
class Finding:
    """What an input broke.

    Attributes:
        target: name.
        kind: one of `KINDS`.
        text: the error in one line, or how the process ended.
        signature: equal for inputs that break the same in the same place.
        trace: traceback, for people.
    """

    target: str
    kind: str
    text: str
    signature: str
    trace: str

    @classmethod
    def of_error(cls, target: str, kind: str, error: BaseException) -> Finding:
        """An exception that a user must not see."""
        if isinstance(error, ReportedError):
            trace = str(error)
            *frames, text = trace.splitlines()
            where = [line for line in frames if line.startswith("  File ")][-_NEST:]
        else:
            text = f"{type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            where = _places(error.__traceback__)
        text = " ".join(text.split())[:300]
        return cls(target, kind, text, _digest(kind, type(error).__name__, *where), trace)

    @classmethod
    def of_ending(cls, target: str, kind: str, text: str, stacks: str) -> Finding:
        """A process that ended, or had to be ended.

        Args:
            target: its target.
            kind: CRASH, HANG or MEMORY.
            text: how.
            stacks: of its threads, as `faulthandler` writes them.
        """
        places = [line.strip() for line in stacks.splitlines() if line.startswith("  File ")]
        return cls(target, kind, text, _digest(kind, text, *places[:_NEST]), stacks)


class FindingsFolder:
    """Keeps findings: the input, the traceback beside it, and what is known of it as JSON.

    Args:
        folder: of the files; made when the first comes.
        suffix: of inputs.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self._folder = folder
        self._suffix = suffix

    def keep(self, finding: Finding, data: bytes) -> bool:
        """Write a finding, unless the same was found with a smaller input.

        Returns:
            Whether it is new.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{finding.target}-{finding.kind}-{finding.signature}{self._suffix}"
        is_new = not path.exists()
        if is_new or len(data) < path.stat().st_size:
            path.write_bytes(data)
            text = f"{finding.kind}: {finding.text}\n\n{finding.trace}\n"
            path.with_name(path.name + ".txt").write_text(text, "utf-8", "backslashreplace")
            values = asdict(finding)
            del values["trace"]
            path.with_name(path.name + ".json").write_text(json.dumps(values) + "\n")
        return is_new


def kept_findings(folder: Path) -> list[tuple[Path, dict[str, str]]]:
    """Inputs in a folder of findings and what is known of each, by name."""
    found = []
    for note in sorted(folder.glob("*.json")):
        path = note.with_suffix("")
        if path.is_file():
            found.append((path, json.loads(note.read_text())))
    return found


def target_of_finding(path: Path) -> str:
    """The target of a file that was kept.

    Raises:
        FuzzingError: it is none.
    """
    note = path.with_name(path.name + ".json")
    try:
        return str(json.loads(note.read_text())["target"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FuzzingError(
            f"{path}: its target is not known ({note.name} beside it says it for a finding); name "
            "it: vla fuzz TARGET --replay FILE"
        ) from error


def _places(trace: TracebackType | None) -> list[str]:
    """The innermost calls of an exception, and the innermost of this project."""
    frames = traceback.extract_tb(trace)
    own = [
        frame for frame in frames if "vla_" in frame.filename and "fuzzing" not in frame.filename
    ]
    chosen = [*own[-_NEST:], *frames[-1:]]
    return [f"{Path(frame.filename).name}:{frame.name}:{frame.lineno}" for frame in chosen]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:10]
