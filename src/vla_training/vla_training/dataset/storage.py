"""Where the rows of an array are while training reads them: in memory, mapped, or on the device.

All three give the same rows. Which one is chosen changes how fast, never what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol
from weakref import WeakValueDictionary

import numpy as np
import psutil
import torch
from torch import Tensor

from vla_training.dataset.file import DatasetFile, Extent
from vla_training.dataset.layout import EpisodeRecord, RowSpec
from vla_training.dataset.page_advice import begin_to_read, expect_random_reads
from vla_training.errors import DatasetError

Storage = Literal["auto", "device", "memory", "mapped"]
STORAGES: Final = ("auto", "device", "memory", "mapped")

_MEMORY_SHARE: Final = 0.6
_DEVICE_SHARE: Final = 0.5


class RowStore(Protocol):
    """Rows of one array, numbered from 0."""

    def take(self, rows: Tensor) -> Tensor:
        """Some rows, (n,) int64, as (n, *shape): a copy."""
        ...  # pragma: no cover


class HeldRows:
    """Rows in memory, taken by numpy: it copies whole rows, in one thread.

    torch would spread the copies over all threads, which gains nothing, as one saturates the
    memory, and waits for the last of them whenever the machine has other work.

    Args:
        rows: (N, *shape).
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def take(self, rows: Tensor) -> Tensor:
        """See `RowStore`."""
        return torch.from_numpy(self._rows[rows.numpy()])


class DeviceRows:
    """Rows in one tensor on a device.

    Args:
        rows: (N, *shape).
    """

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows

    def take(self, rows: Tensor) -> Tensor:
        """See `RowStore`; `rows` are on the device."""
        return self._rows.index_select(0, rows)


class MappedRows:
    """Rows that stay in their files, of which the system keeps in memory what is used.

    A data set may be hundreds of files, and a shuffled batch touches most of them: one gather per
    file would cost more than copying the rows. So the maps are seen as one array: all places, byte
    by byte, of the part of the address space that they lie in. Its item i is the row that begins
    there. Only beginnings of rows are ever read, so what lies between the maps does not matter.

    Args:
        extents: Where the array lies, in order.
        episodes: Whose rows are wanted, one after the other.
        spec: Shape and type of a row.

    Raises:
        DatasetError: If a file is shorter than it should be.
    """

    def __init__(
        self, extents: Sequence[Extent], episodes: Sequence[EpisodeRecord], spec: RowSpec
    ) -> None:
        self._spec = spec
        maps = [_map(extent, spec) for extent in extents]
        self._windows, first = _windows(maps, spec.row_bytes)
        starts = np.array([extent.start for extent in extents])
        rows = np.concatenate([np.arange(e.start, e.start + e.length) for e in episodes])
        extent = np.searchsorted(starts, rows, side="right") - 1
        begins = np.array([data.ctypes.data - first for data in maps])
        self._first = first
        self._places = begins[extent] + (rows - starts[extent]) * spec.row_bytes

    def take(self, rows: Tensor) -> Tensor:
        """See `RowStore`."""
        places = self._places[rows.numpy()]
        begin_to_read(places + self._first, self._spec.row_bytes)
        taken = self._windows[places]
        return torch.from_numpy(taken.view(self._spec.dtype).reshape(-1, *self._spec.shape))


def open_rows(
    file: DatasetFile,
    episodes: Sequence[EpisodeRecord],
    spec: RowSpec,
    storage: Storage,
    device: torch.device,
) -> RowStore:
    """Make the rows of some episodes ready to be read.

    Args:
        file: The data set; it may be closed afterwards.
        episodes: Whose rows are wanted.
        spec: The array.
        storage: Not "auto", see `choose_storage`. What is compressed cannot be mapped and is held
            in memory instead.
        device: For "device".

    Raises:
        DatasetError: If a part is damaged or cut off.
    """
    extents = file.extents(spec.name) if storage == "mapped" else []
    if extents:
        return MappedRows(extents, episodes, spec)
    rows = file.gather(spec.name, list(episodes))
    return DeviceRows(torch.from_numpy(rows).to(device)) if storage == "device" else HeldRows(rows)


def choose_storage(size_bytes: int, device: torch.device) -> Storage:
    """The fastest storage that has room.

    On a CUDA device while the rows take at most half of its free memory; in memory up to 60 % of
    what is free; mapped beyond.

    Args:
        size_bytes: Of all rows.
        device: That trains.
    """
    if device.type == "cuda" and size_bytes < _DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    if size_bytes < _MEMORY_SHARE * psutil.virtual_memory().available:
        return "memory"
    return "mapped"


_files: WeakValueDictionary[tuple[int, ...], Tensor] = WeakValueDictionary()


def _map(extent: Extent, spec: RowSpec) -> np.ndarray:
    """(bytes,) uint8 of the extent's rows.

    A file is mapped once for all its arrays, and by torch, which closes it again: Python's maps
    keep it open, and a data set has more files than a process may have open.
    """
    end = extent.offset + extent.rows * spec.row_bytes
    try:
        stat = extent.path.stat()
        if stat.st_size < end:
            raise OSError(f"it has {stat.st_size} bytes, {end} were expected")
        identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        mapped = _files.get(identity)
        if mapped is None:
            mapped = torch.from_file(str(extent.path), size=stat.st_size, dtype=torch.uint8)
            _files[identity] = mapped
            expect_random_reads(mapped.numpy())
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"{extent.path} cannot be mapped ({error}); delete it and convert the bags again"
        ) from error
    return mapped.numpy()[extent.offset : end]


class _AddressSpan:
    """Gives numpy the addresses from the first map to the last, and keeps the maps alive."""

    def __init__(self, maps: Sequence[np.ndarray], first: int, row_bytes: int) -> None:
        self.maps = maps
        last = max(data.ctypes.data + data.nbytes for data in maps)
        self.__array_interface__ = {
            "data": (first, True),
            "shape": (last - first - row_bytes + 1, row_bytes),
            "strides": (1, 1),
            "typestr": "|u1",
            "version": 3,
        }


def _windows(maps: Sequence[np.ndarray], row_bytes: int) -> tuple[np.ndarray, int]:
    """(places, row_bytes) uint8 without a copy, and the address of the first place."""
    first = min(data.ctypes.data for data in maps)
    return np.asarray(_AddressSpan(maps, first, row_bytes)), first
