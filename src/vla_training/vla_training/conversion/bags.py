"""Which bags there are, and what their recorder wrote about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from vla_core import bag_metadata as keys
from vla_core.bag_checksums import FILE_NAME as CHECKSUMS_FILE
from vla_core.bag_checksums import ChecksumError, check, read_checksums
from vla_training.errors import ConversionError

STORAGE_SUFFIXES: Final = (".mcap", ".db3")
METADATA_FILE: Final = "metadata.yaml"
_ROOT: Final = "rosbag2_bagfile_information"
_LARGEST: Final = 2**63 - 1


@dataclass(frozen=True)
class BagMetadata:
    """What the recorder wrote about an episode.

    Attributes:
        path: Folder of the bag, or its storage file where there is no folder.
        instruction: Sentence that was demonstrated; empty if unknown.
        outcome: "success", "failure" or "unknown".
        operator: Who drove; empty if unknown.
        seed: Seed of the simulated episode, if it was one.
        suite: Of the simulated episode; empty if it was none.
        group: Bags of one group belong in the same split; empty for none.
        goal: Number of the commanded station from the left, if known.
        paraphrases: Further sentences that command the same.
        custom: Everything in the bag's custom metadata.
    """

    path: Path
    instruction: str = ""
    outcome: str = "unknown"
    operator: str = ""
    seed: int | None = None
    suite: str = ""
    group: str = ""
    goal: int | None = None
    paraphrases: tuple[str, ...] = ()
    custom: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Last part of the path, for people."""
        return self.path.name

    @property
    def start_ns(self) -> int:
        """Bag time at which the episode begins, after the pre-roll; 0 without one."""
        text = self.custom.get(keys.START_NS, "")
        return _whole(text) or 0

    @property
    def topics(self) -> Mapping[str, str]:
        """The name that the recorder noted for each topic of the contract."""
        try:
            noted = json.loads(self.custom.get(keys.TOPICS, "{}"))
        except (ValueError, RecursionError):
            return {}
        return noted if isinstance(noted, dict) else {}


@dataclass(frozen=True)
class BagFolder:
    """A bag on disk, before its storage is opened.

    Attributes:
        metadata: What the recorder wrote.
        storages: Storage files in the order of recording.
        compression: Of single messages or of files, as rosbag2 names it: "message", "file" or
            empty.
        messages: How many messages there should be, if that is known.
        checksums: SHA-256 (hex) of its files by name, as far as the recorder noted them.
    """

    metadata: BagMetadata
    storages: tuple[Path, ...]
    compression: str = ""
    messages: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Bags at or below the given paths, sorted, each once; hidden folders are not searched.

    A bag is a folder with a `metadata.yaml` or a storage file in it, or a storage file by itself.

    Raises:
        ConversionError: If a path does not exist or no bag is found at or below it.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ConversionError(f"bag {path} does not exist; name a bag or a folder with bags")
        if path.is_file():
            if path.suffix not in STORAGE_SUFFIXES:
                raise ConversionError(
                    f"{path} is no bag: expected a folder or a file that ends in "
                    f"{' or '.join(STORAGE_SUFFIXES)}"
                )
            found[path] = None
            continue
        bags = sorted(
            {
                file.parent
                for file in path.rglob("*")
                if (file.name == METADATA_FILE or file.suffix in STORAGE_SUFFIXES)
                # A recording that is not finished yet has no bag to show.
                and not any(name.startswith(".") for name in file.relative_to(path).parts)
            }
        )
        if not bags:
            raise ConversionError(f"no bag in {path}; record some first, or name another folder")
        found.update(dict.fromkeys(bags))
    return list(found)


def open_folder(path: Path) -> BagFolder:
    """Read the metadata of a bag.

    Raises:
        ConversionError: If it has none, or they cannot be read.
    """
    if path.is_file():
        return BagFolder(BagMetadata(path), (path,))
    file = path / METADATA_FILE
    if not file.is_file() or (path / keys.JOURNAL_FILE).exists():
        raise ConversionError(
            f"bag {path} was not closed by its recorder; if that does not write to it any more, "
            f"run `vla inspect --repair {path}`"
        )
    try:
        checksums = read_checksums(path) or {}
        check(checksums, file)
        values = _read_values(file.read_bytes())
        names = [str(name) for name in values["relative_file_paths"]]
        # Very old bags name their files from the folder above.
        storages = tuple(
            path / (name if (path / name).exists() else Path(name).name) for name in names
        )
        folder = BagFolder(
            metadata=_metadata(path, values.get("custom_data") or {}),
            storages=storages,
            compression=str(values.get("compression_mode") or "").lower().replace("none", ""),
            messages=int(values["message_count"]),
            checksums=checksums,
        )
    except ChecksumError as error:
        raise ConversionError(f"bag {path} is damaged: {error}") from error
    except (
        OSError,
        yaml.YAMLError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        text = " ".join(str(error).split())
        raise ConversionError(
            f"bag {path} is damaged: its {METADATA_FILE} cannot be read "
            f"({type(error).__name__}: {text}); run `ros2 bag reindex` on it"
        ) from error
    missing = [storage.name for storage in storages if not storage.is_file()]
    if missing or not storages:
        raise ConversionError(
            f"bag {path} is damaged: its {METADATA_FILE} names "
            f"{', '.join(missing) or 'no storage file'}, which is not there; copy the whole folder"
        )
    return folder


def _read_values(text: bytes) -> dict[str, Any]:
    """What matters of a metadata.yaml; to build the rest takes longer than to parse it."""
    loader = _LOADER(text)
    try:
        roots = {key.value: value for key, value in loader.get_single_node().value}
        return {
            key.value: loader.construct_object(value, deep=True)
            for key, value in roots[_ROOT].value
            if key.value in _WANTED
        }
    finally:
        loader.dispose()


_WANTED: Final = ("relative_file_paths", "custom_data", "compression_mode", "message_count")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _metadata(path: Path, custom: Mapping[Any, Any]) -> BagMetadata:
    values = {str(key): str(value) for key, value in custom.items()}
    seed, goal = values.get(keys.SEED, ""), values.get(keys.GOAL, "")
    return BagMetadata(
        path=path,
        instruction=values.get(keys.INSTRUCTION, ""),
        outcome=values.get(keys.OUTCOME, "") or keys.Outcome.UNKNOWN.value,
        operator=values.get(keys.OPERATOR, ""),
        seed=_whole(seed),
        suite=values.get(keys.SUITE, ""),
        group=values.get(keys.GROUP, ""),
        goal=_whole(goal),
        paraphrases=_sentences(values.get(keys.PARAPHRASES, "[]")),
        custom=values,
    )


def _whole(text: str) -> int | None:
    """A number of 64 bits in digits; None for anything else."""
    if not text.isdecimal() or len(text) > len(str(_LARGEST)):
        return None  # not even tried: thousands of digits take long
    return number if (number := int(text)) <= _LARGEST else None


def _sentences(text: str) -> tuple[str, ...]:
    """A JSON list of sentences; none if it is anything else, as a sentence was given anyway."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(found, list):
        return ()
    return tuple(sentence for sentence in found if isinstance(sentence, str) and sentence)


def bag_files(path: Path) -> list[Path]:
    """The files of a bag, by name; without the list of their checksums."""
    if not path.is_dir():
        return [path]
    return sorted(f for f in path.iterdir() if f.is_file() and f.name != CHECKSUMS_FILE)


def fingerprint(path: Path) -> str:
    """Names, sizes and times of change of a bag's files: equal ones mean an untouched bag."""
    return "\n".join(
        f"{file.name} {(status := file.stat()).st_size} {status.st_mtime_ns}"
        for file in bag_files(path)
    )


class BagHash:
    """SHA-256 over the SHA-256 of a bag's files, listed as `sha256sum *` does.

    Of a bag of our recorder that is the SHA-256 of its list of checksums.
    """

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._name = ""
        self._digest = hashlib.sha256()

    def begin(self, file: Path) -> None:
        """The next file, whose bytes follow."""
        self._name, self._digest = file.name, hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes of it."""
        self._digest.update(data)

    def end(self) -> str:
        """The last file is complete; its own hash."""
        self._files[self._name] = self._digest.hexdigest()
        return self._files[self._name]

    def add(self, file: Path) -> str:
        """A whole file; its own hash."""
        self.begin(file)
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                self._digest.update(block)
        return self.end()

    def know(self, file: Path, sha256: str) -> None:
        """A file whose hash is known."""
        self._files[file.name] = sha256

    def hexdigest(self) -> str:
        """The hash of the bag."""
        lines = (f"{sha256}  {name}\n" for name, sha256 in sorted(self._files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def bag_sha256(path: Path) -> str:
    """The hash of a bag, see `BagHash`."""
    total = BagHash()
    for file in bag_files(path):
        total.add(file)
    return total.hexdigest()
