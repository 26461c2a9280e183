"""The index of a chunk finds what a walk over its messages finds, or nothing."""

import mmap

import numpy as np
import pytest

from vla_training.benchmarks.long_bags import write_long_bag
from vla_training.conversion import mcap
from vla_training.conversion.chunk_index import indexed_messages
from vla_training.conversion.message_index import MessageIndex


@pytest.fixture(scope="module")
def storage(tmp_path_factory, contract):
    bag = write_long_bag(tmp_path_factory.mktemp("bags") / "bag", contract, 3.0)
    return next(bag.glob("*.mcap"))


def scanned(storage):
    index = MessageIndex()
    with storage.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        index.buffers.append(data)
        assert mcap.scan(stream, data, index, lambda: None, lambda _: None)
    return index.channels, np.concatenate(index.blocks)


@pytest.mark.parametrize("shift", [None, 1])
def test_walk_and_index_agree(storage, monkeypatch, shift):
    channels, messages = scanned(storage)
    assert len(messages) > 500
    starts = mcap.indexed_starts

    def without(view, position):
        return np.zeros(0, np.int64) if shift is None else starts(view, position)[shift:] + shift

    monkeypatch.setattr(mcap, "indexed_starts", without)
    walked_channels, walked = scanned(storage)
    assert walked_channels == channels
    assert (walked == messages).all()


def test_an_index_with_a_gap_counts_for_nothing(storage, monkeypatch):
    calls = []

    def noted(records, starts, first_ns, last_ns):
        calls.append((bytes(records), starts, first_ns, last_ns))
        return indexed_messages(records, starts, first_ns, last_ns)

    monkeypatch.setattr(mcap, "indexed_messages", noted)
    scanned(storage)
    records, starts, first_ns, last_ns = calls[0]
    records = memoryview(records)
    assert len(indexed_messages(records, starts, first_ns, last_ns)) == len(starts) > 10
    for wrong in (np.delete(starts, 5), starts[:-1], starts + 1, starts - starts[-1]):
        assert indexed_messages(records, wrong, first_ns, last_ns) is None
    assert indexed_messages(records, starts, first_ns + 1, last_ns) is None
    assert indexed_messages(records, starts, first_ns, last_ns - 1) is None
