import errno
import os

import pytest

from vla_recorder.file_sync import sync, sync_data, sync_files


@pytest.mark.parametrize("call", [sync, sync_data])
def test_what_cannot_be_synchronised_is_no_error_and_what_is_closed_is(call):
    reading, writing = os.pipe()
    try:
        call(writing)
    finally:
        os.close(reading)
        os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        call(writing)
    assert caught.value.errno == errno.EBADF


def test_files_of_a_folder(tmp_path):
    (tmp_path / "bag.mcap").write_bytes(b"data")
    (tmp_path / "inner").mkdir()
    sync_files(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_files(tmp_path / "gone")
