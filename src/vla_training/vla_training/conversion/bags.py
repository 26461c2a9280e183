"""Reading rosbag2 bags: which there are, what is in them, their messages in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from vla_core import bag_metadata as keys
from vla_training.errors import ConversionError

STORAGE_SUFFIXES = (".mcap", ".db3")
_HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class BagMetadata:
    """What the recorder wrote about an episode.

    Attributes:
        path: Folder of the bag, or its storage file where there is no folder.
        instruction: Sentence that was demonstrated; empty if unknown.
        outcome: "success", "failure" or "unknown".
        operator: Who drove; empty if unknown.
        robot: Which robot; empty if unknown.
        seed: Seed of the simulated episode, if it was one.
        contract_hash: Of the contract that was recorded with; empty if unknown.
        sha256: Over the names and contents of the bag's files, in order of their names.
        custom: Everything in the bag's custom metadata.
    """

    path: Path
    instruction: str = ""
    outcome: str = "unknown"
    operator: str = ""
    robot: str = ""
    seed: int | None = None
    contract_hash: str = ""
    sha256: str = ""
    custom: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Last part of the path, for people."""
        return self.path.name


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Bags at or below the given paths, sorted, each once.

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
                if file.name == "metadata.yaml" or file.suffix in STORAGE_SUFFIXES
            }
        )
        if not bags:
            raise ConversionError(f"no bag in {path}; record some first, or name another folder")
        found.update(dict.fromkeys(bags))
    return list(found)


class BagReader:
    """One open bag; a context manager.

    Args:
        path: Folder of the bag or storage file.

    Attributes:
        metadata: What the recorder wrote about the episode.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: Reader | None = None
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self.metadata = BagMetadata(path)

    def __enter__(self) -> BagReader:
        if self._path.is_dir() and not (self._path / "metadata.yaml").is_file():
            raise ConversionError(
                f"bag {self._path} has no metadata.yaml: its recording was not closed; run "
                "`ros2 bag reindex` on it or record it again"
            )
        try:
            reader = Reader(self._path)
            reader.open()
            self._reader = reader
            self.metadata = _read_metadata(self._path, reader.storage.metadata.custom)
        except Exception as error:
            # A damaged file makes the library fail in many ways; each means the same here.
            self.__exit__(None, None, None)
            raise ConversionError(f"bag {self._path} cannot be opened: {_said(error)}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @property
    def reader(self) -> Reader:
        """The open rosbags reader."""
        if self._reader is None:
            raise ValueError("bag is not open")
        return self._reader

    def connection(self, topic: str, types: Sequence[str]) -> Connection | None:
        """The connection of a topic, which may be remapped or stand in a namespace.

        Args:
            topic: Relative or absolute name.
            types: Message types that will do.

        Returns:
            None if the topic is not in the bag.

        Raises:
            ConversionError: If the type is another one or several namespaces have the topic.
        """
        tail = "/" + self._recorded_as(topic).strip("/")
        connections = [c for c in self.reader.connections if c.topic == tail]
        if not connections:
            connections = [c for c in self.reader.connections if c.topic.endswith(tail)]
        if not connections:
            return None
        if len(connections) > 1:
            names = ", ".join(f"{c.topic} ({c.msgtype})" for c in connections)
            raise ConversionError(
                f"bag {self._path}: topic {topic} is ambiguous: {names}; convert one robot at a "
                "time, with its namespace in the contract"
            )
        connection = connections[0]
        if connection.msgtype not in types:
            raise ConversionError(
                f"bag {self._path}: topic {connection.topic} is {connection.msgtype}, the contract "
                f"expects {' or '.join(types)}; use the contract of this robot"
            )
        return connection

    def _recorded_as(self, topic: str) -> str:
        """The name that the recorder noted for a topic of the contract, or the topic itself."""
        try:
            return str(json.loads(self.metadata.custom.get(keys.TOPICS, "{}")).get(topic, topic))
        except (ValueError, AttributeError):
            return topic

    def messages(self, connections: Sequence[Connection]) -> Iterator[tuple[Connection, int, Any]]:
        """Messages in order of reception: connection, receive time [ns], message.

        Raises:
            ConversionError: If the storage is damaged, with what the reader said.
        """
        iterator = self.reader.messages(connections)
        while True:
            try:
                connection, received_ns, raw = next(iterator)
                message = self._types.deserialize_cdr(raw, connection.msgtype)
            except StopIteration:
                return
            except Exception as error:
                raise ConversionError(f"bag {self._path} is damaged: {_said(error)}") from error
            yield connection, received_ns, message


def _read_metadata(path: Path, custom: Mapping[str, str] | None) -> BagMetadata:
    values = {str(key): str(value) for key, value in (custom or {}).items()}
    seed = values.get(keys.SEED, "")
    return BagMetadata(
        path=path,
        instruction=values.get(keys.INSTRUCTION, ""),
        outcome=values.get(keys.OUTCOME, "") or keys.Outcome.UNKNOWN.value,
        operator=values.get(keys.OPERATOR, ""),
        robot=values.get(keys.ROBOT, ""),
        seed=int(seed) if seed.isdecimal() else None,
        contract_hash=values.get(keys.CONTRACT_HASH, ""),
        sha256=bag_sha256(path),
        custom=values,
    )


def bag_sha256(path: Path) -> str:
    """SHA-256 over the names and contents of a bag's files, in order of their names."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + str(file.stat().st_size).encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(_HASH_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
