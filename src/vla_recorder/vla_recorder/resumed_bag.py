"""A bag that exists and is gone on with, as if its writer had never been interrupted."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
    Qos,
)
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from rosbags.rosbag2.metadata import parse_qos
from rosbags.rosbag2.storage_mcap import PendingChunk, get_qos
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vla_recorder.durable_storage import DurableMcapWriter, DurableSqlite3Writer, DurableWriter
from vla_recorder.errors import BagError
from vla_recorder.mcap_salvage import SalvagedMcap
from vla_recorder.writer_settings import METADATA_VERSION

_FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}


class ResumedBag(DurableWriter):
    """A writer of a bag that is there already; its storage is set by one of the functions below."""

    def __init__(self, path: Path, plugin: StoragePlugin) -> None:
        self.path = path
        self.metapath = path / "metadata.yaml"
        self.version = METADATA_VERSION
        self.storage_plugin = plugin
        self.compression_mode = CompressionMode.NONE
        self.compression_format = ""
        self.storage = None
        self.connections = []
        self.counts = {}
        self.custom_data = {}
        self.added_types = set()
        self.min_timestamp = 2**63 - 1
        self.max_timestamp = 0

    def add_recorded(self, connection: Connection, count: int) -> None:
        """Note a topic that the storage has already, and its messages."""
        self.connections.append(connection)
        self.counts[connection.id] = count


class _ResumedMcapWriter(DurableMcapWriter):
    def __init__(self, path: Path, found: SalvagedMcap) -> None:
        self.path = path
        self.bio: Any = path.open("r+b")
        self.bio.seek(found.end)
        self.bio.write(found.missing)
        self.bio.truncate()
        self.schemas = list(found.schemas.values())
        self.channels = list(found.channels.values())
        self.chunks = found.chunks
        self.chunk = PendingChunk(2**63 - 1, 0, BytesIO(), defaultdict(list))
        self.compression = ""
        self.compressor = bytes
        self.message_start_time = found.start_ns if found.messages else 0
        self.message_end_time = found.end_ns
        self.channel_stats = dict(found.counts)


class _ResumedSqlite3Writer(DurableSqlite3Writer):
    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.conn = connection
        self.cursor = connection.cursor()


def resume_mcap(bag: ResumedBag, path: Path, found: SalvagedMcap) -> None:
    """Go on with an MCAP file behind what is sound of it.

    Raises:
        OSError: it cannot be written.
    """
    for channel in found.channels.values():
        schema = next(s for s in found.schemas.values() if s.name == channel.schema)
        definition = MessageDefinition(
            _FORMATS.get(schema.encoding, MessageDefinitionFormat.NONE), schema.data
        )
        qos = _known_qos(partial(get_qos, channel.metadata))
        ext = ConnectionExtRosbag2(channel.message_encoding, qos)
        bag.add_recorded(
            Connection(
                channel.id,
                channel.topic,
                channel.schema,
                definition,
                _type_hash(channel.schema, definition),
                0,
                ext,
                bag,
            ),
            found.counts[channel.id],
        )
    if found.messages:
        bag.min_timestamp, bag.max_timestamp = found.start_ns, found.end_ns
    bag.storage = _ResumedMcapWriter(path, found)


def resume_sqlite3(bag: ResumedBag, path: Path) -> None:
    """Go on with an SQLite file; what its last transaction left half done is undone.

    Raises:
        BagError: it is damaged or no bag.
        sqlite3.Error: it cannot be written.
    """
    connection = sqlite3.connect(path)
    try:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise BagError(f"{path} is damaged ({verdict}); it cannot be repaired")
        topics = connection.execute(
            "SELECT id, name, type, serialization_format, offered_qos_profiles, "
            "type_description_hash FROM topics ORDER BY id"
        ).fetchall()
        counts = dict(connection.execute("SELECT topic_id, count(*) FROM messages GROUP BY 1"))
        span = connection.execute("SELECT min(timestamp), max(timestamp) FROM messages").fetchone()
        connection.execute("DELETE FROM metadata")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise BagError(f"{path} is damaged ({error}); it cannot be repaired") from error
    except BaseException:
        connection.close()
        raise
    # SQLite holds anything in any column.
    are_texts = all(isinstance(text, str) for _, *texts in topics for text in texts)
    are_whole = all(isinstance(number, int) for number in (*counts, *(key for key, *_ in topics)))
    if not (are_texts and are_whole and all(isinstance(ns, int | None) for ns in span)):
        connection.close()
        raise BagError(f"{path} is damaged (a topic or a time is none); it cannot be repaired")
    for key, name, kind, encoding, qos, digest in topics:
        ext = ConnectionExtRosbag2(encoding, _known_qos(partial(parse_qos, qos)))
        definition = MessageDefinition(MessageDefinitionFormat.NONE, "")
        bag.add_recorded(
            Connection(key, name, kind, definition, digest, 0, ext, bag), counts.get(key, 0)
        )
    if span[0] is not None:
        bag.min_timestamp, bag.max_timestamp = span
    bag.storage = _ResumedSqlite3Writer(path, connection)


def _known_qos(parse: Callable[[], list[Qos]]) -> list[Qos]:
    """What a topic was offered with; nothing where that cannot be told."""
    try:
        return parse()
    except Exception:  # a foreign text may be anything; readers do without
        return []


def _type_hash(message_type: str, definition: MessageDefinition) -> str:
    """The hash (REP-2011) of a type by its definition; empty where that cannot be told."""
    if definition.format is not MessageDefinitionFormat.MSG:
        return ""
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(definition.data, message_type))
        return store.hash_rihs01(message_type)
    except Exception:  # a foreign definition may be anything; readers do without the hash
        return ""
