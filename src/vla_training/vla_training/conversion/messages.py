"""The messages of one bag: where each is, of what topic, when it was sent and received."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import numpy as np

from vla_core.bag_checksums import ChecksumError, check
from vla_core.cdr import HEADED_TYPES, stamp_ns_of_cdr
from vla_core.errors import DecodeError
from vla_training.conversion.bags import BagFolder, BagHash, bag_files
from vla_training.conversion.mcap import scan
from vla_training.conversion.message_index import (
    INDEX_TYPE,
    Channel,
    DamagedFileError,
    MessageIndex,
    Spool,
    Track,
    release,
)
from vla_training.errors import ConversionError

_RELEASE_BYTES = 1 << 26
_NS_PER_S = 1_000_000_000


class BagMessages:
    """One open bag with every message located; a context manager.

    An MCAP file is mapped and its messages stay where they are. Of anything else (SQLite,
    compressed chunks, messages or files), messages are first unpacked into a temporary file.

    Args:
        folder: The bag, see `bags.open_folder`.
        scratch: Folder for the temporary file.

    Attributes:
        metadata: What the recorder wrote about the episode.
        sha256: Of the bag, see `bags.BagHash`.

    Raises:
        ConversionError: On entering, if the bag cannot be opened or is damaged.
    """

    def __init__(self, folder: BagFolder, scratch: Path | None = None) -> None:
        self._folder = folder
        self._path = folder.metadata.path
        self._scratch = scratch
        self._spool: Spool | None = None
        self._index = MessageIndex()
        self._released: dict[int, int] = {}
        self.metadata = folder.metadata
        self.sha256 = ""

    def __enter__(self) -> BagMessages:
        folder = self._folder
        try:
            is_plain = not folder.compression and all(
                storage.suffix == ".mcap" for storage in folder.storages
            )
            if is_plain:
                self._scan(folder)
            else:
                self._unpack()
        except (ChecksumError, DamagedFileError, DecodeError) as error:
            raise ConversionError(f"bag {self._path} is damaged: {error}") from error
        if self._spool is not None and self._spool.size:
            self._index.buffers.append(self._spool.map())
        self._check_count(folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._index = MessageIndex()

    def _scan(self, folder: BagFolder) -> None:
        """Map the storage files and walk over them; hash every file on the way."""
        total = BagHash()
        blocks: dict[Path, list[np.ndarray]] = {}
        for file in sorted({*bag_files(self._path), *folder.storages}):
            if file not in folder.storages:
                check(folder.checksums, file, total.add(file))
                continue
            with file.open("rb") as stream:
                if not file.stat().st_size:
                    raise DamagedFileError(f"{file.name} is empty")
                data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                self._index.buffers.append(data)
                self._index.blocks = blocks.setdefault(file, [])
                try:
                    self._scan_file(file, stream, data, total, folder.checksums.get(file.name))
                except DamagedFileError as error:
                    raise DamagedFileError(f"{file.name}: {error}") from error
        self._index.blocks = [block for file in folder.storages for block in blocks[file]]
        self.sha256 = total.hexdigest()

    def _scan_file(
        self,
        file: Path,
        stream: BinaryIO,
        data: mmap.mmap,
        total: BagHash,
        noted: str | None,
    ) -> None:
        """Walk over a file; hash it unless its own checksums tell that it is what was noted.

        SHA-256 takes longer than everything else that is done with a message.
        """
        if noted is None:
            total.begin(file)
            scan(stream, data, self._index, self._get_spool, total.update)
            total.end()
        elif scan(stream, data, self._index, self._get_spool, lambda _: None):
            total.know(file, noted)
        else:
            check({file.name: noted}, file, total.add(file))

    def _get_spool(self) -> Spool:
        if self._spool is None:
            # Without a name: it is gone with this process, however that ends.
            file = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115
            self._spool = Spool(cast(BinaryIO, file))
        return self._spool

    def _unpack(self) -> None:
        """Have rosbags read the bag and keep its messages in the temporary file."""
        from rosbags.rosbag2 import Reader  # a third of the start-up time of a process

        total = BagHash()
        for file in bag_files(self._path):
            check(self._folder.checksums, file, total.add(file))
        self.sha256 = total.hexdigest()
        spool = self._get_spool()
        rows: list[tuple[int, int, int, int]] = []
        heads: list[bytes] = []
        size = INDEX_TYPE["head"].itemsize
        try:
            with Reader(self._path) as reader:
                for connection, received_ns, data in reader.messages():
                    channel = self._index.channel(connection.topic, connection.msgtype)
                    rows.append((channel, received_ns, spool.append(data), len(data)))
                    heads.append(bytes(data[:size]).ljust(size, b"\0"))
            # SQLite holds anything in any column: here it has to be whole numbers of 64 bits.
            columns = np.array(rows, np.int64).reshape(-1, 4).T
        except Exception as error:
            # A damaged file makes the library fail in many ways; each means the same here.
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise DamagedFileError(text) from error
        block = np.zeros(len(rows), INDEX_TYPE)
        if rows:
            block["channel"], block["received_ns"], block["position"], block["length"] = columns
            block["head"] = np.frombuffer(b"".join(heads), np.uint8).reshape(-1, size)
        block["file"] = -1
        self._index.blocks.append(block)

    def _check_count(self, folder: BagFolder) -> None:
        if folder.messages is not None and folder.messages != len(self._all):
            raise ConversionError(
                f"bag {self._path} is damaged: its metadata.yaml speaks of {folder.messages} "
                f"messages, its files hold {len(self._all)}; run `ros2 bag reindex` on it"
            )

    @cached_property
    def _all(self) -> np.ndarray:
        """Records of all messages in the order in which they were received."""
        blocks = self._index.blocks
        records = np.concatenate(blocks) if blocks else np.zeros(0, INDEX_TYPE)
        self._index.blocks = []
        received_ns = records["received_ns"]
        if (np.diff(received_ns) < 0).any():
            records = records[np.argsort(received_ns, kind="stable")]
        return records

    @property
    def channels(self) -> Sequence[Channel]:
        """Topics of the bag and their types; a topic may have several."""
        return self._index.channels

    @property
    def count(self) -> int:
        """Messages of the whole bag."""
        return len(self._all)

    def counts(self) -> dict[Channel, int]:
        """Messages of each channel."""
        found = np.bincount(self._all["channel"], minlength=len(self.channels))
        return dict(zip(self.channels, found.tolist(), strict=True))

    def find(self, topic: str, types: Sequence[str]) -> Channel | None:
        """The channel of a topic, which may be remapped or stand in a namespace.

        Args:
            topic: Relative or absolute name.
            types: Message types that will do.

        Returns:
            None if the topic is not in the bag.

        Raises:
            ConversionError: If the type is another one or several namespaces have the topic.
        """
        tail = "/" + str(self.metadata.topics.get(topic, topic)).strip("/")
        found = [channel for channel in self.channels if channel.topic == tail]
        if not found:
            found = [channel for channel in self.channels if channel.topic.endswith(tail)]
        if not found:
            return None
        if len(found) > 1:
            names = ", ".join(f"{channel.topic} ({channel.type})" for channel in found)
            raise ConversionError(
                f"bag {self._path}: topic {topic} is ambiguous: {names}; convert one robot at a "
                "time, with its namespace in the contract"
            )
        if found[0].type not in types:
            raise ConversionError(
                f"bag {self._path}: topic {found[0].topic} is {found[0].type}, the contract "
                f"expects {' or '.join(types)}; use the contract of this robot"
            )
        return found[0]

    def track(self, channel: Channel) -> Track:
        """The messages of a channel, by their stamps.

        Raises:
            ConversionError: If a message is too short to have a stamp.
        """
        arrival = np.flatnonzero(self._all["channel"] == self.channels.index(channel))
        places = self._all[arrival]
        is_stamped = channel.type in HEADED_TYPES
        stamps_ns = self._stamps_ns(channel, places) if is_stamped else places["received_ns"]
        if (np.diff(stamps_ns) < 0).any():
            order = np.argsort(stamps_ns, kind="stable")
            stamps_ns, arrival, places = stamps_ns[order], arrival[order], places[order]
        return Track(channel, stamps_ns, arrival, places, is_stamped)

    def _stamps_ns(self, channel: Channel, places: np.ndarray) -> np.ndarray:
        """Header stamps, all at once where the messages are as they should be."""
        heads = places["head"]
        little = (heads[:, 0] == 0) & (heads[:, 1] == 1) & (places["length"] >= heads.shape[1])
        words = np.ascontiguousarray(heads[:, 4:12])
        stamps_ns = words[:, :4].copy().view("<i4").ravel().astype(np.int64) * _NS_PER_S
        nanoseconds = words[:, 4:].copy().view("<u4").ravel().astype(np.int64)
        stamps_ns += nanoseconds
        for index in np.flatnonzero(~little | (nanoseconds >= _NS_PER_S)):
            try:
                _, file, _, start, length, _ = places[index].tolist()
                stamps_ns[index] = stamp_ns_of_cdr(
                    self._buffer(file, start)[start : start + length]
                )
            except DecodeError as error:
                raise ConversionError(
                    f"bag {self._path}: topic {channel.topic}: {error}"
                ) from error
        return stamps_ns

    def data(self, track: Track, index: int) -> memoryview:
        """The bytes of a message, to be used before the next call.

        Pages long read are let go of: memory does not grow with the bag.
        """
        file, start, length = track.spots[index]
        return self._buffer(file, start)[start : start + length]

    def spans(
        self, track: Track, indices: np.ndarray
    ) -> tuple[memoryview, np.ndarray, np.ndarray] | None:
        """Buffer, first bytes (n,) and lengths (n,) of some messages; None if in several files."""
        places = track.places[indices]
        file = int(places["file"][0])
        if (places["file"] != file).any():
            return None
        return self._buffer(file, int(places["position"][0])), places["position"], places["length"]

    def _buffer(self, file: int, position: int) -> memoryview:
        """A mapped file that is about to be read somewhere."""
        read = position - self._released.setdefault(file, 0)
        if abs(read) > _RELEASE_BYTES:
            if read > 0:
                release(self._index.buffers[file], position - read, position)
            self._released[file] = position
        return self._views[file]

    @cached_property
    def _views(self) -> list[memoryview]:
        return [memoryview(buffer) for buffer in self._index.buffers]
