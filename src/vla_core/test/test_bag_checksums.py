import hashlib
import shutil
import subprocess

import pytest

from vla_core.bag_checksums import (
    FILE_NAME,
    ChecksumError,
    check,
    read_checksums,
    sha256_of,
    write_checksums,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "metadata.yaml").write_bytes(b"text\n")
    (tmp_path / "bag with spaces.mcap").write_bytes(bytes(range(256)) * 9000)
    (tmp_path / "below").mkdir()
    write_checksums(tmp_path)
    return tmp_path


def test_the_list_has_every_file_once(folder):
    write_checksums(folder)
    expected = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("bag with spaces.mcap", "metadata.yaml")
    }
    assert read_checksums(folder) == expected
    assert sorted(file.name for file in folder.iterdir()) == sorted([*expected, FILE_NAME, "below"])


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
def test_sha256sum_reads_the_list_and_writes_the_same(folder):
    assert (
        subprocess.run(["sha256sum", "--check", "--quiet", FILE_NAME], cwd=folder).returncode == 0
    )
    names = sorted(read_checksums(folder))
    written = subprocess.run(["sha256sum", *names], cwd=folder, capture_output=True, check=True)
    assert written.stdout == (folder / FILE_NAME).read_bytes()


def test_a_changed_file_shows(folder):
    checksums = read_checksums(folder)
    file = folder / "metadata.yaml"
    check(checksums, file)
    check(checksums, folder / "unlisted.txt", "0" * 64)
    with pytest.raises(ChecksumError, match="is not what was recorded"):
        check(checksums, file, "0" * 64)
    file.write_bytes(b"Text\n")
    with pytest.raises(ChecksumError, match=r"metadata.yaml is not what.*delete SHA256SUMS"):
        check(checksums, file)
    check(checksums, folder / "bag with spaces.mcap", sha256_of(folder / "bag with spaces.mcap"))


def test_without_a_list_nothing_is_known(tmp_path):
    assert read_checksums(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"\xff\xfe",
        b"0" * 63 + b"  name\n",
        b"0" * 64 + b"  \n",
        b"g" * 64 + b"  n",
        b"0" * 64 + b"  na\0me\n",
        b"0" * 64 + b"  ../name\n",
    ],
)
def test_a_damaged_list_is_named(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ChecksumError, match=f"{FILE_NAME} is damaged"):
        read_checksums(tmp_path)
