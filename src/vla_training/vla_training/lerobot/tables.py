"""Arrays to columns of Parquet files and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vla_core.opencv import cv2
from vla_training.errors import DatasetError
from vla_training.lerobot.layout import FILE_MB, FILES_PER_CHUNK, IMAGE_TYPE, Feature

_MB: Final = 1 << 20
_BATCH_ROWS: Final = 64


def column_of(feature: Feature, array: np.ndarray) -> pa.Array:
    """A column of (n, *shape) values; pictures, RGB, become PNG files, which lose nothing."""
    if feature.dtype == "image":
        files = pa.array([_png(picture) for picture in array], pa.binary())
        paths = pa.nulls(len(array), pa.string())
        return pa.StructArray.from_arrays([files, paths], fields=list(IMAGE_TYPE))
    flat = pa.array(np.ascontiguousarray(array, feature.dtype).reshape(-1))
    size = math.prod(feature.shape)
    return flat if size == 1 else pa.FixedSizeListArray.from_arrays(flat, size)


def _png(picture: np.ndarray) -> bytes:
    done, file = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise DatasetError(f"a picture of shape {picture.shape} cannot be written as PNG")
    return file.tobytes()


def values_of(column: pa.Array, size: int) -> np.ndarray:
    """(n, size) values of a column of numbers.

    Raises:
        ValueError: If values are missing, no numbers, or of another length.
    """
    if column.null_count:
        raise ValueError("values are missing")
    if isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if lengths not in ([size], []):
            raise ValueError(f"{lengths} values in a row, expected {size}")
        flat = column.flatten()
    else:
        flat = column
    kind = flat.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise ValueError(f"column is of type {column.type}, expected numbers")
    if flat.null_count or len(flat) != size * len(column):
        raise ValueError(f"{len(flat)} values in {len(column)} rows, expected {size} in each")
    return flat.to_numpy(zero_copy_only=False).reshape(len(column), size)


def files_of(column: pa.Array) -> list[bytes]:
    """The picture files of a column.

    Raises:
        ValueError: If the column is of another type, or a picture is not in it.
    """
    if not pa.types.is_struct(column.type) or column.type.get_field_index("bytes") < 0:
        raise ValueError(f"column is of type {column.type}, expected pictures")
    files = column.field("bytes")
    if files.null_count or column.null_count:
        raise ValueError("a picture is not in the file but beside it, which is not supported")
    return files.to_pylist()


class RollingTables:
    """Writes tables to numbered Parquet files, of about 100 MB each.

    Args:
        root: Folder that the pattern counts from.
        pattern: Path with `chunk_index` and `file_index`.
        schema: Of all tables.
    """

    def __init__(self, root: Path, pattern: str, schema: pa.Schema) -> None:
        self._root = root
        self._pattern = pattern
        self._schema = schema
        self._number = -1
        self._file: BinaryIO | None = None
        self._writer: pq.ParquetWriter | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Chunk and file that are written to."""
        return divmod(max(self._number, 0), FILES_PER_CHUNK)

    def roll(self) -> None:
        """Go on with a new file if the present one is full; between two calls, all goes to one."""
        if self._file is None or self._file.tell() >= FILE_MB * _MB:
            self.close()
            self._number += 1
            chunk, file = self.place
            path = self._root / self._pattern.format(chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
            self._writer = pq.ParquetWriter(
                self._file, self._schema, compression="snappy", write_page_checksum=True
            )

    def write(self, columns: Mapping[str, Any]) -> None:
        """Add rows, as a group of their own."""
        if self._writer is None:
            self.roll()
        arrays = [
            columns[field.name]
            if isinstance(columns[field.name], pa.Array)
            else pa.array(columns[field.name], field.type)
            for field in self._schema
        ]
        assert self._writer is not None  # roll() opened it
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Finish the present file."""
        if self._writer is not None and self._file is not None:
            self._writer.close()
            self._file.close()
        self._writer = self._file = None


def column_names(path: Path) -> list[str]:
    """Names of the columns of a file.

    Raises:
        DatasetError: If it is missing or damaged.
    """
    with _naming(path):
        return pq.read_schema(path).names


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole table.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    with _naming(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read(columns=None if columns is None else list(columns))


def read_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """A table piece by piece.

    Raises:
        DatasetError: If the file is missing or damaged, or lacks a column.
    """
    with _naming(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise DatasetError(f"{path} has no column {missing[0]!r}; fetch the data set again")
        yield from file.iter_batches(_BATCH_ROWS, columns=list(columns))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises into an error that names the file."""
    if not path.is_file():
        raise DatasetError(f"{path} is missing; fetch the data set again")
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{path} is damaged: {error}; fetch the data set again") from error
