"""How inputs are built: what is changed is a value in a file, not only its bytes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

import yaml

from vla_bringup.fuzzing.drawing import Draw
from vla_bringup.fuzzing.errors import FuzzingError

Plain = Callable[[bytes], bytes]
"""Changes bytes of which nothing is known."""

Files = dict[str, bytes]
"""Contents by relative path."""

_DEEP: Final = 1200
_YAML_ODDITIES: Final = (
    "!!int ''",
    "!!timestamp x",
    "!!binary ='",
    "!!python/object:os.system x",
    "!!set {a, b}",
    "&a [*a]",
    "*missing",
    "<<: {a: 1}",
    "? [a, b] : c",
    "[" * _DEEP,
    "{a: " * _DEEP,
    "9" * 5000,
    "1e400",
    "-.inf",
    ".nan",
    "0x",
    "190:20:30",
    "2001-12-14t21:59:43.10-05:00",
    "\x00",
    "\ufeff",
    "\ud800",
    "%YAML 9.9\n---\n",
    "--- a\n--- b\n",
    "\t- a",
    "yes",
    "~",
    "''",
)
_JSON_ODDITIES: Final = (
    "NaN",
    "-Infinity",
    "1e999",
    "[" * _DEEP,
    '{"a":' * _DEEP,
    "9" * 5000,
    '"\\ud800"',
    '"\\u0000"',
    "null",
    "true",
    "[]",
    "{}",
    '""',
    "-1",
    "1.5",
    "18446744073709551616",
    "\ufeff",
)


class Format(Protocol):
    """Changes inputs of one kind."""

    def change(self, data: bytes, draw: Draw, plain: Plain) -> bytes:
        """A changed input; `plain` changes bytes of which nothing is known."""
        ...


class Bytes:
    """Nothing is known of the input."""

    def change(self, data: bytes, draw: Draw, plain: Plain) -> bytes:
        """Change any bytes."""
        return plain(data)


class Document:
    """Text that holds nested mappings, lists and scalars.

    Args:
        parse: text to values; may raise anything.
        dump: values to text; may raise anything.
        oddities: texts to put in somewhere.
    """

    def __init__(
        self,
        parse: Callable[[bytes], Any],
        dump: Callable[[Any], str],
        oddities: Sequence[str] = (),
    ) -> None:
        self._parse = parse
        self._dump = dump
        self._oddities = oddities

    def change(self, data: bytes, draw: Draw, plain: Plain) -> bytes:
        """Change a value, put an odd text in the place of a word, or change any bytes."""
        choice = draw.random.random()
        if choice < 0.5:
            changed = self._with_values_changed(data, draw)
            if changed is not None:
                return changed
        if choice < 0.75 and self._oddities:
            return self._with_oddity(data, draw)
        return plain(data)

    def _with_values_changed(self, data: bytes, draw: Draw) -> bytes | None:
        try:
            values = [self._parse(data)]
            draw.damage(values if draw.chance(0.05) else values[0])
            return self._dump(values[0] if values else None).encode("utf-8", "surrogatepass")
        # Inputs were changed before: most of them are no such document any more.
        except Exception:
            return None

    def _with_oddity(self, data: bytes, draw: Draw) -> bytes:
        oddity = draw.one_of(self._oddities).encode("utf-8", "surrogatepass")
        marks = [at for at, byte in enumerate(data) if byte in b" \n,:[]{}"] or [0]
        first = draw.one_of(marks)
        later = [mark for mark in marks if mark > first][:1]
        last = later[0] if later and draw.chance(0.7) else first
        return data[: first + 1] + oddity + data[last:]


def yaml_document() -> Document:
    """YAML, read and written by PyYAML."""
    return Document(
        yaml.safe_load,
        lambda values: yaml.safe_dump(values, sort_keys=False, allow_unicode=True),
        _YAML_ODDITIES,
    )


def json_document() -> Document:
    """JSON with the liberties of Python's module: NaN and infinity."""
    return Document(json.loads, lambda values: json.dumps(values, default=str), _JSON_ODDITIES)


class Folder:
    """Several files in one input, a tar archive.

    Args:
        formats: by suffix or name of the file.
        seal: makes checksums fit again after a change, most of the time.
    """

    def __init__(
        self, formats: Mapping[str, Format], seal: Callable[[Files], Files] | None = None
    ) -> None:
        self._formats = formats
        self._seal = seal

    def change(self, data: bytes, draw: Draw, plain: Plain) -> bytes:
        """Change one file, rarely remove it, empty it or give it the content of another."""
        try:
            files = unpack(data)
        except FuzzingError:
            return data
        if not files:
            return data
        name = draw.one_of(sorted(files))
        choice = draw.random.random()
        if choice < 0.9:
            files[name] = self._format_of(name).change(files[name], draw, plain)
        elif choice < 0.93:
            del files[name]
        elif choice < 0.96:
            files[name] = b""
        else:
            files[name] = files[draw.one_of(sorted(files))]
        if self._seal is not None and draw.chance(0.9):
            files = self._seal(files)
        return pack(files)

    def _format_of(self, name: str) -> Format:
        path = PurePosixPath(name)
        return self._formats.get(path.name) or self._formats.get(path.suffix) or Bytes()


def pack(files: Mapping[str, bytes]) -> bytes:
    """Files as one archive, the same bytes for the same files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def unpack(data: bytes) -> Files:
    """The files of an archive.

    Raises:
        FuzzingError: it is none, or has a file outside of its folder.
    """
    files: Files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for entry in archive:
                content = archive.extractfile(entry)
                if content is not None:
                    files[entry.name] = content.read()
    except (tarfile.TarError, ValueError, EOFError, OSError) as error:
        raise FuzzingError(f"input is no tar archive ({error}), expected one as a finding") from (
            error
        )
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise FuzzingError(f"input has a file {name!r}, expected relative paths without '..'")
    return files


def folder_bytes(folder: Path) -> bytes:
    """All files below a folder as one archive."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return pack({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


def write_folder(data: bytes, folder: Path) -> Path:
    """The files of an archive in a folder that is made for them.

    Raises:
        FuzzingError: it is no archive, see `unpack`.
    """
    for name, content in unpack(data).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
