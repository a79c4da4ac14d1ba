import os

import pytest

from corten.linux.page_cache import STEP, ReadOnce, WriteBehind


@pytest.fixture
def file(tmp_path):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def test_reads_what_the_file_has(file):
    os.pwrite(file, b"0123456789", 0)
    reader = ReadOnce(file)
    assert reader.pread(4, 3) == b"3456"
    assert reader.pread(100, 8) == b"89"
    assert reader.pread(100, 10) == b""


def test_earlier_pieces_do_not_change(file):
    os.pwrite(file, b"aaaabbbb", 0)
    reader = ReadOnce(file)
    first = reader.pread(4, 0)
    reader.pread(4, 4)
    assert first == b"aaaa"


def test_a_kernel_that_does_not_know_the_flag(file, monkeypatch):
    os.pwrite(file, b"content", 0)

    def refuse(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "preadv", refuse)
    assert ReadOnce(file).pread(7, 0) == b"content"


def test_what_is_written_stays_readable(file):
    behind = WriteBehind(file)
    piece = os.urandom(STEP // 2 + 1)
    end = 0
    for _ in range(7):
        end += os.pwrite(file, piece, end)
        behind.advance(end)
    assert os.pread(file, end, 0) == piece * 7
