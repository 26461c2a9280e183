"""Changes in files of records and tables: bags, data sets, Parquet."""

from __future__ import annotations

import io
import sqlite3
import struct
import tempfile
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_bringup.fuzzing.drawing import Draw
from vla_bringup.fuzzing.formats import Plain
from vla_training.dataset.heap_check import check_heaps_of

_MCAP_MAGIC: Final = b"\x89MCAP0\r\n"
_MCAP_RECORD: Final = struct.Struct("<BQ")
_MCAP_CHUNK: Final = 0x06
_CHUNK_CHECKSUM: Final = slice(24, 28)


class Mcap:
    """Records: a code, a length, a body."""

    def change(self, data: bytes, draw: Draw, plain: Plain) -> bytes:
        """Change the body of a record, its length, or which records there are."""
        records = _records(data)
        choice = draw.random.random()
        if not records or choice < 0.2:
            return plain(data)
        at = draw.random.randrange(len(records))
        code, body = records[at]
        if choice < 0.75:
            body = plain(body)
            if code == _MCAP_CHUNK and draw.chance(0.9):
                body = body[: _CHUNK_CHECKSUM.start] + bytes(4) + body[_CHUNK_CHECKSUM.stop :]
            records[at] = (code, body)
        elif choice < 0.82:
            del records[at]
        elif choice < 0.88:
            records.insert(draw.random.randrange(len(records) + 1), records[at])
        elif choice < 0.93:
            records[at] = (draw.random.randrange(256), body)
        else:
            return _joined(records, wrong=at, length=int.from_bytes(draw.word(), "little"))
        return _joined(records)


def _records(data: bytes) -> list[tuple[int, bytes]]:
    records, position = [], len(_MCAP_MAGIC)
    while position + _MCAP_RECORD.size <= len(data) - len(_MCAP_MAGIC):
        code, length = _MCAP_RECORD.unpack_from(data, position)
        position += _MCAP_RECORD.size
        if position + length > len(data):
            break
        records.append((code, data[position : position + length]))
        position += length
    return records


def _joined(records: list[tuple[int, bytes]], wrong: int = -1, length: int = 0) -> bytes:
    parts = [
        _MCAP_RECORD.pack(code, length if number == wrong else len(body)) + body
        for number, (code, body) in enumerate(records)
    ]
    return b"".join([_MCAP_MAGIC, *parts, _MCAP_MAGIC])


class Sqlite:
    """Tables of a database."""

    def change(self, data: bytes, draw: Draw, plain: Plain) -> bytes:
        """Put something else into a field, remove rows or a table, or change any bytes."""
        if draw.chance(0.4):
            return plain(data)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "bag.db3")
            path.write_bytes(data)
            connection = sqlite3.connect(path)
            try:
                connection.execute("PRAGMA synchronous = OFF")
                self._change_table(connection, draw, plain)
            # Inputs were changed before: many are no database any more.
            except (sqlite3.Error, OverflowError, ValueError):
                return plain(data)
            finally:
                connection.close()
            return path.read_bytes()

    def _change_table(self, connection: sqlite3.Connection, draw: Draw, plain: Plain) -> None:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        table = draw.one_of([name for (name,) in tables] or ["messages"])
        names = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        rows = [row for (row,) in connection.execute(f'SELECT rowid FROM "{table}"')]
        choice = draw.random.random()
        if choice < 0.8 and rows and names:
            row, column = draw.one_of(rows), draw.one_of(names)
            where = f'"{table}" WHERE rowid = ?'  # names of our own files
            ((old,),) = connection.execute(f'SELECT "{column}" FROM {where}', (row,))
            new = _other_field(old, draw, plain)
            connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (new, row))
        elif choice < 0.9 and rows:
            connection.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (draw.one_of(rows),))
        elif choice < 0.95 and names:
            connection.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{names[0]}" TO "other"')
        else:
            connection.execute(f'DROP TABLE "{table}"')
        connection.commit()


def _other_field(old: Any, draw: Draw, plain: Plain) -> Any:
    if isinstance(old, bytes) and draw.chance(0.8):
        return plain(old)
    if isinstance(old, str) and draw.chance(0.5):
        return plain(old.encode()).decode("utf-8", "replace")
    value = draw.value()
    return value if isinstance(value, (int, float, str, type(None))) else str(value)


class Hdf5:
    """Groups, arrays and attributes."""

    def change(self, data: bytes, draw: Draw, plain: Plain) -> bytes:
        """Put something else into an array or an attribute, or change any bytes."""
        if draw.chance(0.5):
            return plain(data)
        stream = io.BytesIO(data)
        try:
            check_heaps_of(data)  # here nobody watches over how long it takes
            with h5py.File(stream, "r+") as file:
                self._change_object(file, draw, plain)
        # Damaged before; the library raises nearly everything.
        except Exception:
            return plain(data)
        return stream.getvalue()

    def _change_object(self, file: h5py.File, draw: Draw, plain: Plain) -> None:
        names: list[str] = []
        file.visit(names.append)
        name = draw.one_of(["/", *names])
        node = file[name]
        attributes = list(node.attrs)
        if attributes and draw.chance(0.7 if name == "/" else 0.1):
            attribute = draw.one_of(attributes)
            node.attrs[attribute] = self._other_value(node.attrs[attribute], draw, plain)
        elif isinstance(node, h5py.Dataset):
            self._change_array(file, node, draw)
        elif name != "/":
            del file[name]

    def _change_array(self, file: h5py.File, array: h5py.Dataset, draw: Draw) -> None:
        name, choice = array.name, draw.random.random()
        if choice < 0.5 and array.size:
            place = tuple(draw.random.randrange(size) for size in array.shape)
            array[place] = self._other_element(array.dtype, draw)
            return
        kind, shape = array.dtype, array.shape
        del file[name]
        if choice < 0.6:
            return
        if choice < 0.8:
            kind = draw.one_of(("f8", "i1", "u8", "S4", "c16", "f2", h5py.string_dtype()))
        else:
            sizes = (0, 1, 3, 7)
            shape = draw.one_of(((draw.one_of(sizes), *shape[1:]), shape[:1], (), (2, *shape)))
        file.create_dataset(name, shape, kind)

    def _other_element(self, dtype: np.dtype[Any], draw: Draw) -> Any:
        if dtype.kind == "f":
            return draw.one_of((np.nan, np.inf, -1.0, 3e38, 0.0))
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            return draw.one_of((info.min, info.max, 0, 1, 2))
        return draw.one_of(("", "[1]", "x" * 300, "\x00", "../../x", "[" * 5000))

    def _other_value(self, old: Any, draw: Draw, plain: Plain) -> Any:
        if isinstance(old, str) and draw.chance(0.8):
            return plain(old.encode()).decode("utf-8", "replace").replace("\x00", "")
        value = draw.one_of((draw.value(), int.from_bytes(draw.word(), "little"), "", b"\xff"))
        return value if isinstance(value, (int, float, str, bytes)) else str(value)


class Parquet:
    """Columns of a table."""

    def change(self, data: bytes, draw: Draw, plain: Plain) -> bytes:
        """Put something else into a cell, remove rows or columns, or change any bytes."""
        if draw.chance(0.4):
            return plain(data)
        try:
            table = pq.read_table(pa.BufferReader(data))
            return _parquet(self._changed(table, draw))
        # Inputs were changed before, and not every value fits every column.
        except (pa.ArrowException, ValueError, TypeError, KeyError, OverflowError, OSError):
            return plain(data)

    def _changed(self, table: pa.Table, draw: Draw) -> pa.Table:
        names = table.column_names
        at = draw.random.randrange(len(names))
        choice = draw.random.random()
        if choice < 0.6:
            values = table.column(at).to_pylist()
            if values:
                values[draw.random.randrange(len(values))] = draw.one_of(
                    (None, draw.value(), -1, 2**62, 0.5, float("nan"), "x", [])
                )
            keep_type = draw.chance(0.7)
            column = pa.array(values, table.schema.field(at).type if keep_type else None)
            return table.set_column(at, names[at], column)
        if choice < 0.75:
            return table.remove_column(at)
        if choice < 0.9:
            return table.slice(0, draw.random.randrange(table.num_rows + 1))
        names[at] = draw.one_of(("", "x", names[0]))
        return table.rename_columns(names)


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy", write_page_checksum=True)
    return bytes(sink.getvalue())
