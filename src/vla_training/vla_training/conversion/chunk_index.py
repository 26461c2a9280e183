"""The messages of an MCAP chunk all at once, by the index that follows it.

The index is a hint and nothing more: it counts only if its messages follow each other without a gap
up to the end of the chunk, which is what a walk from message to message would find.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import numpy as np

from vla_training.conversion.fixed_layout import gathered
from vla_training.conversion.message_index import HEAD_BYTES, INDEX_TYPE

_MESSAGE: Final = 0x05
_MESSAGE_INDEX: Final = 0x07
_RECORD: Final = Struct("<BQ")
_ARRAY_HEAD_BYTES: Final = 2 + 4
_ENTRY_BYTES: Final = 8 + 8
_HEADS: Final = np.dtype(
    [
        ("code", "u1"),
        ("length", "<i8"),
        ("channel", "<u2"),
        ("sequence", "<u4"),
        ("received_ns", "<i8"),
        ("sent_ns", "<i8"),
        ("head", "u1", HEAD_BYTES),
    ]
)
_HEADS_BYTES: Final = _HEADS.itemsize - HEAD_BYTES
_FIELDS_BYTES: Final = _HEADS_BYTES - _RECORD.size


def indexed_starts(view: memoryview, position: int) -> np.ndarray:
    """(n,) int64: where in a chunk its messages begin, in order, as the records after it say.

    Args:
        view: The file.
        position: End of the chunk; a record begins there.
    """
    entries = []
    while view[position] == _MESSAGE_INDEX:
        _, length = _RECORD.unpack_from(view, position)
        first = position + _RECORD.size + _ARRAY_HEAD_BYTES
        position += _RECORD.size + length
        if (position - first) % _ENTRY_BYTES or not first < position < len(view):
            break
        entries.append(view[first:position])
    starts = np.frombuffer(b"".join(entries), "<i8")[1::2].copy()
    starts.sort()
    return starts


def indexed_messages(
    records: memoryview, starts: np.ndarray, first_ns: int, last_ns: int
) -> np.ndarray | None:
    """The messages of a chunk from the first of the starts on.

    Args:
        records: The chunk, unpacked.
        starts: See `indexed_starts`.
        first_ns: Earliest reception that the chunk notes.
        last_ns: Latest.

    Returns:
        (n,) records of `INDEX_TYPE`, whose files are not set; channels are the numbers in the
        chunk, positions count from its first byte. None if a message is not where it should be,
        reaches elsewhere, is very short or was received at another time: then only a walk can tell.
    """
    size = len(records)
    if not len(starts) or starts[0] < 0 or starts[-1] > size - _HEADS.itemsize:
        return None
    heads = gathered(records, starts, _HEADS.itemsize).view(_HEADS).ravel()
    lengths, received_ns = heads["length"], heads["received_ns"]
    ends = starts + _RECORD.size + lengths
    if (
        (heads["code"] != _MESSAGE).any()
        or lengths.min() < _FIELDS_BYTES + HEAD_BYTES
        or (starts[1:] != ends[:-1]).any()
        or ends[-1] != size
        or received_ns.min() < first_ns
        or received_ns.max() > last_ns
    ):
        return None
    block = np.empty(len(starts), INDEX_TYPE)
    block["channel"], block["received_ns"] = heads["channel"], received_ns
    block["length"] = lengths - _FIELDS_BYTES
    block["position"] = starts + _HEADS_BYTES
    block["head"] = heads["head"]
    return block
